"""Recordings become talks: who said what, in turns, with the real libvosk."""

import asyncio
import wave
from array import array
from contextlib import suppress
from pathlib import Path

import numpy
import pytest

from store.database import Database
from store.jobs import enqueue
from store.media import Media
from store.models import Job, JobState, Recording, RecordingTranscript, TranscriptState
from store.recordings import TRANSCRIBE_RECORDING
from store.worker import Worker
from tests.furnishing import Furnished
from tests.running_switch import eventually
from tests.speech import MODELS, NUMBER, NUMBER_AS_TEXT, WORDS, WORDS_AS_TEXT, silence, spoken, wav_of
from transcribe.recognisers import Recognisers
from transcribe.recordings import PIECE_S, RATE_HZ, RecordingTranscription, Said, as_talk, pieces

pytestmark = pytest.mark.integration

LIMIT_S = 40.0


def stereo(left: numpy.ndarray, right: numpy.ndarray) -> bytes:
    longest = max(len(left), len(right))
    both = numpy.zeros((longest, 2), numpy.int16)
    both[: len(left), 0], both[: len(right), 1] = left, right
    return wav_of(both.astype("<i2").tobytes(), channels=2)


async def transcribed(
    database: Database, media: Media, ours: Furnished, content: bytes | None
) -> RecordingTranscript:
    """What becomes of the recording with this file, or none."""
    async with database.session() as session:
        row = await session.get_one(Recording, ours.recording_id)
        job_id = enqueue(session, TRANSCRIBE_RECORDING, row.id, ours.account_id)
        media.remove(row.media)
        if content is not None:
            media.put(content, row.media)
        await session.flush()
        asked = job_id.id
    recognisers = Recognisers("vosk", MODELS / "ja-words-8k", 1, watch_s=0.05)
    service = RecordingTranscription(database, media, recognisers)
    handlers = {TRANSCRIBE_RECORDING: service.transcribe}
    worker = Worker(database, "tested", handlers, 1, may_take=lambda: recognisers.ready)
    tasks = [asyncio.create_task(one) for one in (recognisers.run(), worker.run())]

    async def done() -> RecordingTranscript | None:
        async with database.session() as session:
            job = await session.get_one(Job, asked)
            over = job.state in (JobState.DONE, JobState.DEAD)
            return await session.get(RecordingTranscript, ours.recording_id) if over else None

    try:
        found = await eventually(done, LIMIT_S, "the text")
        assert found is not None
        return found
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def test_both_sides_in_turns(database: Database, media: Media, ours: Furnished) -> None:
    first, second = spoken(WORDS), spoken(NUMBER)
    later = numpy.concatenate([silence(len(first) / RATE_HZ + 0.5), second])
    text = await transcribed(database, media, ours, stereo(first, later))
    assert text.state is TranscriptState.DONE
    assert text.text == f"相手: {WORDS_AS_TEXT}\n自分: {NUMBER_AS_TEXT}"
    starts = [word["start"] for word in text.words]
    assert starts == sorted(starts)
    assert {word["party"] for word in text.words} == {"outside", "inside"}
    assert all(word["start"] >= len(first) / RATE_HZ for word in text.words if word["party"] == "inside")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("content", [None, b"RIFF", wav_of(b"\x00\x00" * 8000)])
async def test_what_cannot_be_read_says_so(
    database: Database, media: Media, ours: Furnished, content: bytes | None
) -> None:
    text = await transcribed(database, media, ours, content)
    assert (text.state, text.text) == (TranscriptState.FAILED, None)
    assert text.failure is not None
    assert "音声ファイル" in text.failure


@pytest.mark.parametrize("seconds", [PIECE_S - 1, PIECE_S, PIECE_S + 1, 2 * PIECE_S + 7.3])
async def test_pieces_are_cut_where_both_are_quiet(tmp_path: Path, seconds: float) -> None:
    """Nothing is lost or moved, and a word is not cut through."""
    frames = round(seconds * RATE_HZ)
    both = array("h", [value for at in range(frames) for value in (at % 1999 + 9000, -(at % 997) - 9000)])
    quiet = range(round(55 * RATE_HZ), round(55.5 * RATE_HZ))
    for at in quiet:
        if at < frames:
            both[2 * at] = both[2 * at + 1] = 0
    with wave.open(str(tmp_path / "talk.wav"), "wb") as file:
        file.setparams((2, 2, RATE_HZ, 0, "NONE", "NONE"))
        file.writeframes(both.tobytes())
    found = [piece async for piece in pieces(tmp_path / "talk.wav")]
    assert b"".join(piece.left for piece in found) == both[0::2].tobytes()
    assert b"".join(piece.right for piece in found) == both[1::2].tobytes()
    starts = [round(piece.start * RATE_HZ) for piece in found]
    assert starts[0] == 0
    if seconds > PIECE_S:
        assert starts[1] in quiet
    assert all(len(piece.left) <= 2 * PIECE_S * RATE_HZ for piece in found)


def test_a_talk_is_in_the_order_in_which_they_spoke() -> None:
    said = [
        Said("inside", "はい", 2.0, 2.3, 1.0),
        Said("outside", "もしもし", 0.5, 1.0, 1.0),
        Said("outside", "明日", 3.0, 3.3, 1.0),
        Said("outside", "です", 3.4, 3.6, 1.0),
    ]
    assert as_talk(said) == "相手: もしもし\n自分: はい\n相手: 明日です"
