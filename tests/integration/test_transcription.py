"""From a job to the text of its message, with the real libvosk, on both databases."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from store import messages, reports
from store.database import Database
from store.jobs import enqueue
from store.media import Media
from store.messages import MessageFilter
from store.models import Job, JobState, JournalEntry, Transcript, TranscriptState, VoiceMessage, now
from store.pages import PageRequest
from store.transcripts import (
    REPORT,
    TRANSCRIBE,
    Recognition,
    correct_transcript,
    is_unsure,
    keep_recognition,
    rerun_transcription,
)
from store.worker import Worker
from tests.furnishing import FIRST_CALL, Furnished, leave_message
from tests.running_switch import CHECKOUT
from tests.speech import MODELS, NUMBER, NUMBER_AS_TEXT, WORDS, WORDS_AS_TEXT, pcm, silence, spoken, wav_of
from transcribe.main import keep_reports_going
from transcribe.recognisers import RecogniserFailed, Recognisers
from transcribe.service import MOST_ATTEMPTS, Transcription

pytestmark = pytest.mark.integration

MODEL = MODELS / "ja-words-8k"
LIMIT_S = 30.0


@asynccontextmanager
async def transcribing(database: Database, media: Media, model: Path = MODEL) -> AsyncIterator[Recognisers]:
    """The service's parts at work, as its main wires them."""
    recognisers = Recognisers("vosk", model, 1, watch_s=0.05)
    service = Transcription(database, media, recognisers)
    worker = Worker(database, "tested", {TRANSCRIBE: service.transcribe}, may_take=lambda: recognisers.ready)
    tasks = [
        asyncio.create_task(one)
        for one in (recognisers.run(), worker.run(), keep_reports_going(database, recognisers))
    ]
    try:
        yield recognisers
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def leave(
    database: Database, media: Media, account: Furnished, content: bytes | None, minutes: int = 1
) -> str:
    """A message with this audio file, or none, and its jobs as the switch makes them."""
    async with database.session() as session:
        at = FIRST_CALL + timedelta(minutes=minutes)
        message = await leave_message(session, media, account.account_id, account.number_id, at)
        enqueue(session, TRANSCRIBE, message.id, account.account_id)
        enqueue(session, REPORT, message.id, account.account_id, run_at=now() + timedelta(minutes=1))
        if content is None:
            media.remove(message.media)
        else:
            media.put(content, message.media)
        return message.id


async def transcript_of(database: Database, message_id: str) -> Transcript | None:
    async with database.session() as session:
        return await session.get(Transcript, message_id)


async def job_of(database: Database, kind: str, message_id: str) -> Job:
    async with database.session() as session:
        wanted = select(Job).where(Job.kind == kind, Job.subject_id == message_id)
        return (await session.scalars(wanted.order_by(Job.created_at.desc()))).first() or Job()


async def report_is_due(database: Database, message_id: str) -> bool:
    return (await job_of(database, REPORT, message_id)).run_at <= now()


async def journal_of(database: Database, message_id: str) -> list[tuple[str, dict[str, object]]]:
    async with database.session() as session:
        call_id = await session.scalar(select(VoiceMessage.call_id).where(VoiceMessage.id == message_id))
        wanted = select(JournalEntry).where(JournalEntry.call_id == call_id).order_by(JournalEntry.id)
        told = await session.scalars(wanted)
        return [(entry.event, entry.details) for entry in told if entry.event.startswith("transcri")]


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await look():
                return
            await asyncio.sleep(0.05)


async def settled(database: Database, message_id: str) -> Transcript:
    """Wait for the job to have come to its end."""

    async def ended() -> bool:
        return (await job_of(database, TRANSCRIBE, message_id)).state in (JobState.DONE, JobState.DEAD)

    await until(ended)
    transcript = await transcript_of(database, message_id)
    assert transcript is not None
    return transcript


async def test_a_message_gets_its_text_and_is_reported(
    database: Database, media: Media, ours: Furnished
) -> None:
    message = await leave(database, media, ours, wav_of(pcm(silence(1), spoken(WORDS))))
    async with transcribing(database, media):
        transcript = await settled(database, message)
    assert (transcript.state, transcript.text) == (TranscriptState.DONE, WORDS_AS_TEXT)
    assert (transcript.engine, transcript.model) == ("vosk", "ja-words-8k")
    assert (
        "".join(word["word"] for word in transcript.words) == "明日の午後三時の打ち合わせの件でお電話しました"
    )
    assert transcript.words[0]["start"] > 1
    assert transcript.confidence is not None
    assert transcript.confidence > 0.9
    assert not is_unsure(transcript)
    assert await report_is_due(database, message)
    (told,) = await journal_of(database, message)
    assert told == ("transcribed", {"state": "done", "words": len(transcript.words), "model": "ja-words-8k"})


async def test_silence_is_empty_and_reported(database: Database, media: Media, ours: Furnished) -> None:
    message = await leave(database, media, ours, wav_of(pcm(silence(3))))
    async with transcribing(database, media):
        transcript = await settled(database, message)
    assert (transcript.state, transcript.text, transcript.words) == (TranscriptState.EMPTY, "", [])
    assert transcript.confidence is None
    assert await report_is_due(database, message)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "音声ファイルがありません"),
        (b"", "音声ファイルを読み取れません"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "音声ファイルを読み取れません"),
        (wav_of(bytes(800), channels=2), "音声ファイルを読み取れません"),
        (wav_of(bytes(800), rate_hz=1), "音声ファイルを読み取れません"),
    ],
)
async def test_audio_that_is_none_is_given_up_with_a_reason(
    database: Database, media: Media, ours: Furnished, content: bytes | None, reason: str
) -> None:
    message = await leave(database, media, ours, content)
    async with transcribing(database, media):
        transcript = await settled(database, message)
    assert transcript.state is TranscriptState.FAILED
    assert reason in (transcript.failure or "")
    job = await job_of(database, TRANSCRIBE, message)
    assert (job.state, job.last_error) == (JobState.DEAD, transcript.failure)
    assert await report_is_due(database, message)
    assert [event for event, _ in await journal_of(database, message)] == ["transcription_failed"]


async def test_a_message_is_reported_without_a_model_and_transcribed_when_one_comes(
    database: Database, media: Media, ours: Furnished, tmp_path: Path
) -> None:
    message = await leave(database, media, ours, wav_of(pcm(spoken(WORDS))))
    link = tmp_path / "model"
    async with transcribing(database, media, link):
        await until(lambda: report_is_due(database, message))
        waiting = await job_of(database, TRANSCRIBE, message)
        assert (waiting.state, waiting.attempts) == (JobState.WAITING, 0)
        assert "文字起こし待ち" in (waiting.last_error or "")
        assert await transcript_of(database, message) is None
        link.symlink_to(MODEL)
        assert (await settled(database, message)).text == WORDS_AS_TEXT
    assert (await job_of(database, TRANSCRIBE, message)).attempts == 1


async def test_a_model_that_goes_away_costs_no_attempt(
    database: Database, media: Media, ours: Furnished, tmp_path: Path
) -> None:
    link = tmp_path / "model"
    link.symlink_to(MODEL)
    async with transcribing(database, media, link) as recognisers:
        await until(lambda: _so(recognisers.ready))
        link.unlink()
        await until(lambda: _so(not recognisers.ready))
        message = await leave(database, media, ours, wav_of(pcm(spoken(WORDS))))
        await until(lambda: report_is_due(database, message))
        link.symlink_to(MODELS / "ja-words-16k")
        transcript = await settled(database, message)
    assert (transcript.text, transcript.model) == (WORDS_AS_TEXT, "ja-words-16k")
    assert (await job_of(database, TRANSCRIBE, message)).attempts == 1


async def _so(condition: bool) -> bool:
    return condition


async def test_a_message_that_brings_down_recognisers_is_given_up(
    database: Database, media: Media, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await leave(database, media, ours, wav_of(pcm(spoken(WORDS))))
    attempts: list[int] = []

    async def crash(_recognisers: Recognisers, _pcm: bytes, _rate_hz: int) -> None:
        attempts.append(1)
        raise RecogniserFailed("the recogniser died")

    monkeypatch.setattr(Recognisers, "recognise", crash)
    monkeypatch.setattr("transcribe.service.retry_s", lambda _attempts: 0.0)
    async with transcribing(database, media):
        transcript = await settled(database, message)
    assert len(attempts) == MOST_ATTEMPTS
    assert transcript.state is TranscriptState.FAILED
    assert f"{MOST_ATTEMPTS}回" in (transcript.failure or "")
    monkeypatch.undo()
    async with database.session() as session:
        await rerun_transcription(session, ours.account_id, message, keep_correction=True, by="t")
    async with transcribing(database, media):
        again = await settled(database, message)
    assert (again.state, again.text, again.failure) == (TranscriptState.DONE, WORDS_AS_TEXT, None)


async def test_a_message_deleted_meanwhile_is_no_trouble(
    database: Database, media: Media, ours: Furnished
) -> None:
    before = await leave(database, media, ours, wav_of(pcm(spoken(WORDS))))
    after = await leave(database, media, ours, wav_of(pcm(spoken(WORDS))), minutes=2)
    async with database.session() as session:
        await messages.delete_message(session, media, ours.account_id, before, by="t")
    async with transcribing(database, media):
        await settled(database, after)
        await until(lambda: _is_done(database, before))
    assert await transcript_of(database, before) is None
    async with database.session() as session:
        await messages.delete_message(session, media, ours.account_id, after, by="t")
    assert await transcript_of(database, after) is None


async def _is_done(database: Database, message_id: str) -> bool:
    return (await job_of(database, TRANSCRIBE, message_id)).state is JobState.DONE


async def test_a_correction_outlives_another_run(database: Database, media: Media, ours: Furnished) -> None:
    message = await leave(database, media, ours, wav_of(pcm(spoken(WORDS))))
    async with database.session() as session:
        await correct_transcript(session, ours.account_id, message, "正しい文", by="t")
    async with transcribing(database, media):
        transcript = await settled(database, message)
        assert (transcript.shown_text, transcript.text) == ("正しい文", WORDS_AS_TEXT)
        async with database.session() as session:
            await rerun_transcription(session, ours.account_id, message, keep_correction=False, by="t")
        await until(lambda: _is_done(database, message))
    again = await transcript_of(database, message)
    assert again is not None
    assert (again.shown_text, again.corrected_by) == (WORDS_AS_TEXT, None)


async def test_two_ask_for_another_run_and_one_is_made(
    database: Database, media: Media, ours: Furnished
) -> None:
    async def ask() -> None:
        async with database.session() as session:
            await rerun_transcription(session, ours.account_id, ours.message_id, True, by="t")

    await asyncio.gather(*(ask() for _ in range(4)))
    async with database.session() as session:
        jobs = list(await session.scalars(select(Job).where(Job.kind == TRANSCRIBE)))
    assert len(jobs) == 1


async def test_correcting_and_recognising_at_once_keep_both(
    database: Database, media: Media, ours: Furnished
) -> None:
    async def recognise() -> None:
        async with database.session() as session:
            await keep_recognition(session, ours.message_id, Recognition("聞こえた文", "vosk", "m"))

    async def correct() -> None:
        async with database.session() as session:
            await correct_transcript(session, ours.account_id, ours.message_id, "正しい文", by="t")

    await asyncio.gather(recognise(), correct(), recognise())
    transcript = await transcript_of(database, ours.message_id)
    assert transcript is not None
    assert (transcript.text, transcript.corrected_text) == ("聞こえた文", "正しい文")
    async with database.session() as session:
        for text, found in (("正しい", 1), ("聞こえた", 0)):
            page = await messages.list_messages(
                session, ours.account_id, MessageFilter(text=text), PageRequest()
            )
            assert len(page.items) == found


async def test_a_service_killed_in_the_middle_loses_and_doubles_nothing(
    database: Database, database_url: str, media: Media, ours: Furnished, tmp_path: Path
) -> None:
    long = wav_of(pcm(*[spoken(WORDS), spoken(NUMBER)] * 5))
    left = [await leave(database, media, ours, long, minutes) for minutes in range(1, 13)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DENWABAN_")}
    environment |= {
        "DENWABAN_VAR": str(tmp_path),
        "DENWABAN_DATABASE_URL": database_url,
        "DENWABAN_VOSK_MODEL": str(MODEL),
        "DENWABAN_TRANSCRIBE_PROCESSES": "1",
        "DENWABAN_NODE": "killed",
    }

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "transcribe", cwd=CHECKOUT, env=environment, start_new_session=True
        )

    async def count(state: JobState) -> int:
        async with database.session() as session:
            wanted = select(Job.id).where(Job.kind == TRANSCRIBE, Job.state == state)
            return len(list(await session.scalars(wanted)))

    async def in_the_middle() -> bool:
        return 0 < await count(JobState.DONE) < len(left) and await count(JobState.RUNNING) > 0

    service = await start()
    try:
        await until(in_the_middle)
    finally:
        service.send_signal(signal.SIGKILL)
        await service.wait()
    assert await count(JobState.RUNNING) > 0
    async with database.session() as session:
        # Their leases would run out within seconds; a test need not wait for it.
        for job in await session.scalars(select(Job).where(Job.state == JobState.RUNNING)):
            job.leased_until = now() - timedelta(seconds=1)
    service = await start()
    try:

        async def all_done() -> bool:
            return await count(JobState.DONE) == len(left)

        await until(all_done)
        async with database.session() as session:
            (told,) = [one for one in await reports.read_all(session) if one.part == "killed.transcribe"]
        assert told.ready
        assert (told.details["model"], told.reason) == ("ja-words-8k", "")
    finally:
        service.terminate()
        await asyncio.wait_for(service.wait(), 10)
    assert service.returncode == 0
    texts: set[str | None] = set()
    for message in left:
        transcript = await transcript_of(database, message)
        texts.add(transcript.text if transcript else None)
        assert len(await journal_of(database, message)) == 1
    (text,) = texts
    assert text is not None
    assert text.count(WORDS_AS_TEXT) + text.count(NUMBER_AS_TEXT) > 5
    shutil.rmtree(tmp_path / "log")
