"""Audio prompts. A file lies under its content's SHA-256: equal ones share it, none is overwritten."""

import asyncio
import hashlib
import io
import wave
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, InUse, NotAudio, NotFound, Unusable, Use
from store.media import Media
from store.models import Base, PhoneNumber, Prompt, PromptPurpose, RecordingSetting, RusurepoRule
from store.pages import Page, PageRequest, read_page

MOST_PROMPTS = 300
"""Of one number: so that nobody fills the disk."""


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
    voice: str | None = None,
    purpose: PromptPurpose | None = None,
    file_name: str | None = None,
) -> Prompt:
    """Keep `wav` (8 kHz, 16-bit, mono, ready to play) as a prompt of a number.

    The file is on disk before the row exists. A transaction that fails leaves a file no row names: harmless.
    Raises NotAudio, Unusable `number_id`, or Conflict `too_many_prompts`.
    """
    duration_s = wav_duration_s(wav)
    await revisions.bump(session, revisions.PROMPT_FILES)
    await refuse_unfit_number(session, account_id, number_id)
    sha256 = hashlib.sha256(wav).hexdigest()
    await asyncio.to_thread(media.put, wav, media_name(sha256))
    prompt = Prompt(
        account_id=account_id,
        number_id=number_id,
        name=name,
        text=text,
        voice=voice,
        purpose=purpose,
        file_name=file_name,
        sha256=sha256,
        duration_s=duration_s,
    )
    session.add(prompt)
    await session.flush()
    return prompt


async def refuse_unfit_number(session: AsyncSession, account_id: str, number_id: str) -> None:
    """Raises Unusable `number_id` where the account has no such number, Conflict where it has its fill."""
    number = await session.get(PhoneNumber, number_id)
    if number is None or number.account_id != account_id:
        raise Unusable("number_id", "not_found")
    count = select(func.count()).select_from(Prompt).where(Prompt.number_id == number_id)
    if (await session.scalar(count) or 0) >= MOST_PROMPTS:
        raise Conflict("too_many_prompts")


async def change_prompt(
    session: AsyncSession,
    account_id: str,
    prompt_id: str,
    name: str | None = None,
    purpose: PromptPurpose | None = None,
) -> Prompt:
    """Set what is given and leave what is None. Raises NotFound."""
    prompt = await get_prompt(session, account_id, prompt_id)
    prompt.name = name or prompt.name
    prompt.purpose = purpose or prompt.purpose
    await session.flush()
    return prompt


async def delete_prompt(session: AsyncSession, media: Media, account_id: str, prompt_id: str) -> None:
    """Delete the prompt. Raises NotFound, or InUse naming the rules and numbers that play it.

    Its file stays: another prompt may have the same content, and a call that began before may be about to
    play it. `sweep_files` removes it later.
    """
    # The same order as a rule's change: no rule can choose it meanwhile.
    await revisions.bump(session)
    prompt = await get_prompt(session, account_id, prompt_id)
    choices = [column == prompt_id for column in _columns_naming_prompts(RusurepoRule)]
    rules = await session.scalars(select(RusurepoRule).where(or_(*choices)).order_by(RusurepoRule.created_at))
    used_by = [Use("rule", rule.id, rule.name) for rule in rules]
    announcing = select(PhoneNumber).join(RecordingSetting, RecordingSetting.number_id == PhoneNumber.id)
    numbers = await session.scalars(announcing.where(RecordingSetting.prompt_id == prompt_id))
    used_by += [Use("number", number.id, number.e164) for number in numbers]
    if used_by:
        raise InUse(used_by)
    await session.delete(prompt)
    await session.flush()
    await asyncio.to_thread(media.touch, media_name(prompt.sha256))


async def started_with(session: AsyncSession, prompt_ids: Iterable[str]) -> set[str]:
    """Those of `prompt_ids` that a rule plays first."""
    chosen = select(RusurepoRule.start_prompt_id).where(RusurepoRule.start_prompt_id.in_(list(prompt_ids)))
    return set(await session.scalars(chosen))


async def sweep_files(session: AsyncSession, media: Media, unneeded_since: datetime) -> int:
    """Remove the files that no prompt names and that nobody has needed since; give their number."""
    await revisions.bump(session, revisions.PROMPT_FILES)
    kept = {media_name(sha256) for sha256 in await session.scalars(select(Prompt.sha256))}
    old = await asyncio.to_thread(media.names_older, "prompts", unneeded_since)
    unneeded = [name for name in old if name not in kept]
    for name in unneeded:
        await asyncio.to_thread(media.remove, name)
    return len(unneeded)


def _columns_naming_prompts(model: type[Base]) -> list[ColumnElement[Any]]:
    return [column for column in model.__table__.columns if column.references(Prompt.__table__.c.id)]


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
