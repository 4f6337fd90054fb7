"""Audio prompts. A file lies under its content's SHA-256: equal ones share it, none is overwritten."""

import asyncio
import hashlib
import io
import wave

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import NotAudio, NotFound
from store.media import Media
from store.models import Prompt
from store.pages import Page, PageRequest, read_page


async def list_prompts(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[Prompt]:
    """Give a page of the account's prompts, oldest first; of one number where `number_id` is given."""
    rows = select(Prompt).where(Prompt.account_id == account_id)
    if number_id is not None:
        rows = rows.where(Prompt.number_id == number_id)
    key = (Prompt.created_at, Prompt.id)
    return await read_page(session, rows, key, request, newest_first=False)


async def get_prompt(session: AsyncSession, account_id: str, prompt_id: str) -> Prompt:
    """Give the prompt. Raises NotFound."""
    prompt = await session.get(Prompt, prompt_id)
    if prompt is None or prompt.account_id != account_id:
        raise NotFound(prompt_id)
    return prompt


async def add_prompt(
    session: AsyncSession,
    media: Media,
    account_id: str,
    number_id: str,
    name: str,
    wav: bytes,
    text: str | None = None,
) -> Prompt:
    """Keep `wav` (8 kHz, 16-bit, mono, ready to play) as a prompt of a number. Raises NotAudio.

    The file is on disk before the row exists. A transaction that fails leaves a file no row names: harmless.
    """
    duration_s = wav_duration_s(wav)
    sha256 = hashlib.sha256(wav).hexdigest()
    await asyncio.to_thread(media.put, wav, media_name(sha256))
    prompt = Prompt(
        account_id=account_id,
        number_id=number_id,
        name=name,
        text=text,
        sha256=sha256,
        duration_s=duration_s,
    )
    session.add(prompt)
    await session.flush()
    return prompt


def media_name(sha256: str) -> str:
    """Where the prompt with this content lies within the media folder."""
    return f"prompts/{sha256[:2]}/{sha256}.wav"


def wav_duration_s(wav: bytes) -> float:
    """Give the length of an 8 kHz 16-bit mono WAV in seconds. Raises NotAudio for anything else."""
    try:
        with wave.open(io.BytesIO(wav)) as audio:
            shape = (audio.getframerate(), audio.getsampwidth(), audio.getnchannels())
            frames = len(audio.readframes(audio.getnframes())) // 2
    except (wave.Error, EOFError, OverflowError) as wrong:
        raise NotAudio(str(wrong)) from None
    if shape != (8000, 2, 1) or not frames:
        raise NotAudio("not 8 kHz 16-bit mono, or empty")
    return frames / 8000
