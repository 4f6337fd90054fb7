"""What becomes of a job `transcribe`: the message's audio is listened to, and its text is kept."""

import asyncio
import logging
import wave
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from store.database import Database
from store.errors import NotAudio
from store.jobs import TakenJob, bury, finish, hasten, postpone
from store.media import BadMediaName, Media
from store.models import VoiceMessage, now
from store.transcripts import REPORT, Recognition, keep_failure, keep_recognition
from store.worker import Later, retry_s
from transcribe.engine import Word
from transcribe.recognisers import NoModel, RecogniserFailed, Recognisers
from transcribe.wording import sentence

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 4
"""A message that brings down so many recognisers is given up; an administrator can have it tried again."""

BACK_IN = timedelta(seconds=1)
RATES_HZ = range(8000, 48001)


@dataclass(frozen=True)
class Audio:
    """Signed 16-bit little-endian mono samples."""

    pcm: bytes
    rate_hz: int


def read_wav(path: Path) -> Audio:
    """Raises FileNotFoundError, NotAudio."""
    try:
        with wave.open(str(path), "rb") as file:
            fits = (file.getnchannels(), file.getsampwidth()) == (1, 2) and file.getframerate() in RATES_HZ
            if not fits:
                raise NotAudio("not 16-bit mono")
            return Audio(file.readframes(file.getnframes()), file.getframerate())
    except (wave.Error, EOFError) as wrong:
        raise NotAudio(str(wrong)) from None


class Transcription:
    """The handler of `transcribe` jobs."""

    def __init__(self, database: Database, media: Media, recognisers: Recognisers) -> None:
        self._database = database
        self._media = media
        self._recognisers = recognisers

    async def transcribe(self, job: TakenJob) -> None:
        """Do one job. Raises Later, LeaseLost."""
        name = await self._media_name(job.subject_id)
        if name is None:
            await self._finish(job)
            return
        try:
            audio = await asyncio.to_thread(read_wav, self._media.path(name))
            words = await self._recognisers.recognise(audio.pcm, audio.rate_hz)
        except NoModel as away:
            await self._wait_for_model(job, str(away))
        except FileNotFoundError:
            await self._give_up(job, "音声ファイルがありません。")
        except (NotAudio, BadMediaName):
            await self._give_up(job, "音声ファイルを読み取れません。")
        except RecogniserFailed as failed:
            if job.attempts < MOST_ATTEMPTS:
                raise Later(str(failed), retry_s(job.attempts)) from None
            await self._give_up(job, f"音声認識が{job.attempts}回続けて異常終了しました({failed})。")
        else:
            await self._keep(job, words)

    async def _media_name(self, message_id: str) -> str | None:
        wanted = select(VoiceMessage.media).where(VoiceMessage.id == message_id)
        async with self._database.session() as session:
            return (await session.scalars(wanted)).one_or_none()

    async def _keep(self, job: TakenJob, words: list[Word]) -> None:
        text = sentence([said.word for said in words])
        recognition = Recognition(
            text, self._recognisers.engine, self._recognisers.model, [vars(said) for said in words]
        )
        async with self._database.session() as session:
            await keep_recognition(session, job.subject_id, recognition)
            await finish(session, job)
        log.info("a message has %d words", len(words), extra={"action": "transcribed"})

    async def _give_up(self, job: TakenJob, reason: str) -> None:
        log.error("a message cannot be transcribed: %s", reason, extra={"action": "transcription_failed"})
        async with self._database.session() as session:
            await keep_failure(session, job.subject_id, reason)
            await bury(session, job, reason)

    async def _wait_for_model(self, job: TakenJob, reason: str) -> None:
        """A model that is gone may stay away; one that is being loaded or restarted is soon back."""
        async with self._database.session() as session:
            if self._recognisers.problem:
                await hasten(session, REPORT, job.subject_id)
            await postpone(session, job, now() + BACK_IN, reason, counts=False)

    async def _finish(self, job: TakenJob) -> None:
        async with self._database.session() as session:
            await finish(session, job)
