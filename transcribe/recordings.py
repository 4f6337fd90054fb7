"""What becomes of a job `transcribe_recording`: both sides of a call are listened to, and it reads as a talk.

A call may last for hours: it goes by pieces, cut where both are quiet, so that a message that waits for its
own text is listened to in between.
"""

import asyncio
import logging
import wave
from array import array
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from sqlalchemy import select

from store.database import Database
from store.jobs import TakenJob, bury, finish
from store.media import BadMediaName, Media
from store.models import Recording
from store.recording_transcripts import RecordingText, keep_recording_failure, keep_recording_text
from store.worker import Later, retry_s
from transcribe.engine import Word
from transcribe.recognisers import NoModel, RecogniserFailed, Recognisers
from transcribe.wording import sentence

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 4
RATE_HZ = 8000
PIECE_S = 60
QUIET_S = 0.2
"""A piece ends in the quietest moment of so many seconds, in its last ten."""

SEARCHED_S = 10
BACK_IN_S = 5.0

Party = Literal["outside", "inside"]
PARTIES: tuple[Party, Party] = ("outside", "inside")
"""Left and right."""

NAMES: dict[Party, str] = {"outside": "相手", "inside": "自分"}


class NoRecording(Exception):
    """The file is no stereo WAV of ours."""


@dataclass(frozen=True)
class Said:
    """A word, who said it, and when: seconds from the beginning of the recording."""

    party: Party
    word: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Piece:
    """A stretch of both sides; `start` in seconds from the beginning."""

    start: float
    left: bytes
    right: bytes


def as_talk(said: Sequence[Said]) -> str:
    """Lines by turns, `相手: …` and `自分: …`, as they began to speak."""
    in_order = sorted(said, key=lambda one: (one.start, one.end))
    turns = groupby(in_order, key=lambda one: one.party)
    return "\n".join(f"{NAMES[party]}: {sentence([one.word for one in turn])}" for party, turn in turns)


def quiet_place(both: "array[int]") -> int:
    """Where to cut a piece, in frames: the middle of the quietest moment of its last seconds."""
    frames, step = len(both) // 2, round(QUIET_S * RATE_HZ)
    first = max(step, frames - SEARCHED_S * RATE_HZ)
    places = range(first, frames - step + 1, step)
    if not places:
        return frames
    # Every fourth frame shows whether anybody speaks.
    loudness = {at: sum(abs(one) for one in both[2 * at : 2 * (at + step) : 7]) for at in places}
    return min(places, key=lambda at: loudness[at]) + step // 2


async def pieces(path: Path) -> AsyncGenerator[Piece, None]:
    """The recording, piece by piece. Raises NoRecording, FileNotFoundError."""
    with await asyncio.to_thread(_opened, path) as file:
        rest: array[int] = array("h")
        done = 0
        while True:
            wanted = PIECE_S * RATE_HZ - len(rest) // 2
            read = await asyncio.to_thread(file.readframes, wanted)
            both = rest + array("h", read)
            if not both:
                return
            last = len(read) // 4 < wanted
            cut = len(both) // 2 if last else quiet_place(both)
            now_said, rest = both[: 2 * cut], both[2 * cut :]
            yield Piece(done / RATE_HZ, now_said[0::2].tobytes(), now_said[1::2].tobytes())
            done += cut
            if last:
                return


def _opened(path: Path) -> wave.Wave_read:
    try:
        file = wave.open(str(path), "rb")  # noqa: SIM115 (whoever asked closes it)
    except (wave.Error, EOFError) as wrong:
        raise NoRecording(str(wrong)) from None
    if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (2, 2, RATE_HZ):
        file.close()
        raise NoRecording("not 8 kHz 16-bit stereo")
    return file


class RecordingTranscription:
    """The handler of `transcribe_recording` jobs."""

    def __init__(self, database: Database, media: Media, recognisers: Recognisers) -> None:
        self._database, self._media, self._recognisers = database, media, recognisers

    async def transcribe(self, job: TakenJob) -> None:
        """Do one job. Raises Later, LeaseLost."""
        async with self._database.session() as session:
            name = await session.scalar(select(Recording.media).where(Recording.id == job.subject_id))
        if name is None:
            async with self._database.session() as session:
                await finish(session, job)
            return
        try:
            said = await self._listen(self._media.path(name))
        except NoModel as away:
            raise Later(str(away), BACK_IN_S, counts=False) from None
        except FileNotFoundError:
            await self._give_up(job, "音声ファイルがありません。")
        except (NoRecording, BadMediaName):
            await self._give_up(job, "音声ファイルを読み取れません。")
        except RecogniserFailed as failed:
            if job.attempts < MOST_ATTEMPTS:
                raise Later(str(failed), retry_s(job.attempts)) from None
            await self._give_up(job, f"音声認識が{job.attempts}回続けて異常終了しました({failed})。")
        else:
            await self._keep(job, said)

    async def _listen(self, path: Path) -> list[Said]:
        said: list[Said] = []
        async for piece in pieces(path):
            for party, pcm in zip(PARTIES, (piece.left, piece.right), strict=True):
                words = await self._recognisers.recognise(pcm, RATE_HZ)
                said += [_moved(party, word, piece.start) for word in words]
        return said

    async def _keep(self, job: TakenJob, said: list[Said]) -> None:
        words = [vars(one) for one in sorted(said, key=lambda one: one.start)]
        text = RecordingText(as_talk(said), self._recognisers.engine, self._recognisers.model, words)
        async with self._database.session() as session:
            await keep_recording_text(session, job.subject_id, text)
            await finish(session, job)
        log.info("a recording has %d words", len(words), extra={"action": "recording_transcribed"})

    async def _give_up(self, job: TakenJob, reason: str) -> None:
        log.error("a recording cannot be transcribed: %s", reason, extra={"action": "transcription_failed"})
        async with self._database.session() as session:
            await keep_recording_failure(session, job.subject_id, reason)
            await bury(session, job, reason)


def _moved(party: Party, word: Word, by_s: float) -> Said:
    start, end = round(word.start + by_s, 3), round(word.end + by_s, 3)
    return Said(party, word.word, start, end, word.confidence)
