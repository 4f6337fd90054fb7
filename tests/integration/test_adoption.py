"""The spool's sweep with real files and both databases: everything is taken in, once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pbx.asterisk.supervisor import Supervisor
from pbx.spool.adopt import Adoption
from pbx.spool.keep import Keeping
from pbx.spool.slip import Slip, format_slip
from pbx.spool.sound import write_wav
from store.database import Database
from store.journal import CallJournal
from store.media import Media
from store.models import (
    Call,
    CallerKind,
    EndedBy,
    Job,
    JournalEntry,
    MessageOutcome,
    MessageSource,
    VoiceMessage,
)
from store.numbers import set_rusurepo
from tests.furnishing import Furnished

pytestmark = pytest.mark.integration

CALL_ID = "test-1795392000.7"
STARTED = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
VOICE = write_wav(b"\x00\x10\x00\xf0" * 8000)
"""Two seconds."""

LIMIT_S = 20.0
JOBS = ["report_message", "transcribe"]


class Switch:
    """The spool, its sweep, and who is on the line."""

    def __init__(self, folder: Path, database: Database, media: Media) -> None:
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.database, self.media = database, media
        self.busy: set[str] = set()
        self.channels: set[str] = set()
        self.begin_life()

    def begin_life(self) -> None:
        self.journal, self.supervisor = CallJournal(self.database), Supervisor()
        self.writing = asyncio.create_task(self.journal.run())
        self.adoption = Adoption(
            self.spool,
            self.database,
            self.journal,
            Keeping(self.media, self.journal, self.supervisor),
            lambda: self.busy,
            self._channels,
        )

    async def _channels(self) -> set[str]:
        return self.channels

    async def sweep(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            await self.adoption.sweep()
            await self.journal.flushed()
        await self.supervisor.drain(LIMIT_S)

    async def end_life(self) -> None:
        self.writing.cancel()
        await asyncio.gather(self.writing, return_exceptions=True)
        await self.supervisor.drain(0)

    def lay(self, name: str, content: bytes | Slip) -> Path:
        path = self.spool / name
        path.write_bytes(format_slip(content).encode() if isinstance(content, Slip) else content)
        return path

    @property
    def left(self) -> list[str]:
        found = (path for path in self.spool.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.spool)) for path in found)

    async def message(self, call_id: str = CALL_ID) -> VoiceMessage | None:
        async with self.database.session() as session:
            query = select(VoiceMessage).where(VoiceMessage.call_id == call_id)
            return (await session.scalars(query)).one_or_none()

    async def call(self, call_id: str = CALL_ID) -> Call | None:
        async with self.database.session() as session:
            return await session.get(Call, call_id)

    async def events(self, call_id: str = CALL_ID) -> list[str]:
        async with self.database.session() as session:
            query = (
                select(JournalEntry.event).where(JournalEntry.call_id == call_id).order_by(JournalEntry.id)
            )
            return list(await session.scalars(query))

    async def jobs_of(self, message: VoiceMessage) -> list[str]:
        async with self.database.session() as session:
            query = select(Job.kind).where(Job.subject_id == message.id).order_by(Job.kind)
            return list(await session.scalars(query))


@pytest.fixture
async def switch(tmp_path: Path, database: Database, media: Media, ours: Furnished) -> AsyncIterator[Switch]:
    switch = Switch(tmp_path, database, media)
    yield switch
    await switch.end_life()


async def test_the_rule_of_the_time_is_kept(switch: Switch, ours: Furnished) -> None:
    """As the slip says; where there is none, the one that is chosen now."""
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", replace(slip(ours), rule="of-the-time"))
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert message.rule_id == "of-the-time"


async def test_without_a_slip_it_is_the_rule_of_now(switch: Switch, ours: Furnished) -> None:
    async with switch.database.session() as session:
        await set_rusurepo(session, ours.account_id, ours.number_id, True, ours.rule_id)
    await a_call(switch, ours)
    switch.lay(f"{CALL_ID}.wav", VOICE)
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert message.rule_id == ours.rule_id


def slip(ours: Furnished, record: str = "DTMF", source: str = "dialplan", dial: str = "") -> Slip:
    return Slip(
        number=ours.e164,
        caller="09087654321",
        caller_name="",
        presentation="allowed_not_screened",
        started_at=STARTED,
        answered_at=STARTED + timedelta(seconds=1),
        recording_at=STARTED + timedelta(seconds=5),
        ended_at=STARTED + timedelta(seconds=20),
        record=record,
        dial=dial,
        source=source,
    )


async def a_call(switch: Switch, ours: Furnished, ended: bool = False) -> None:
    """The row of a call the control plane began to work on."""
    async with switch.database.session() as session:
        session.add(
            Call(
                id=CALL_ID,
                node="test",
                account_id=ours.account_id,
                number_id=ours.number_id,
                dialled=ours.e164,
                caller=None,
                caller_kind=CallerKind.WITHHELD,
                started_at=STARTED,
                ended_at=STARTED + timedelta(seconds=9) if ended else None,
                result="ended_unseen" if ended else None,
            )
        )


async def test_a_message_the_dialplan_took(switch: Switch, ours: Furnished) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", slip(ours))
    await switch.sweep()
    message, call = await switch.message(), await switch.call()
    assert message is not None
    assert call is not None
    assert (message.caller, message.caller_kind) == ("+819087654321", CallerKind.NUMBER)
    assert (message.ended_by, message.source) == (EndedBy.HASH, MessageSource.DIALPLAN)
    assert (message.started_at, message.duration_s) == (STARTED, 2.0)
    assert message.account_id == ours.account_id
    assert switch.media.path(message.media).read_bytes() == VOICE
    assert await switch.jobs_of(message) == JOBS
    assert (call.result, call.message_outcome) == ("message", MessageOutcome.KEPT)
    assert call.answered_at == STARTED + timedelta(seconds=1)
    # When the call was, not when it was taken in.
    assert call.ended_at == STARTED + timedelta(seconds=20)
    assert await switch.events() == ["arrived", "message_kept", "adopted", "ended"]
    assert switch.left == []


async def test_sweeping_again_changes_nothing(switch: Switch, ours: Furnished) -> None:
    for _ in range(3):
        switch.lay(f"{CALL_ID}.wav", VOICE)
        switch.lay(f"{CALL_ID}.slip", slip(ours))
        await switch.sweep()
        assert switch.left == []
    message = await switch.message()
    assert message is not None
    assert await switch.jobs_of(message) == JOBS
    assert (await switch.events()).count("ended") == 1


Interruption = Callable[[Switch, pytest.MonkeyPatch], None]


def before_the_commit(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    switch.writing.cancel()


def after_the_commit(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbx.spool.keep.tidy_spool", lambda *_: None)


def after_half_of_the_tidying(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbx.spool.keep.tidy_spool", lambda _, files, __: files[0].unlink())


@pytest.mark.parametrize("interrupt", [before_the_commit, after_the_commit, after_half_of_the_tidying])
async def test_a_sweep_that_was_interrupted_is_finished_by_the_next(
    switch: Switch, ours: Furnished, monkeypatch: pytest.MonkeyPatch, interrupt: Interruption
) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", slip(ours))
    with monkeypatch.context() as patch:
        interrupt(switch, patch)
        await switch.adoption.sweep()
        await switch.supervisor.drain(0.5)
        await switch.end_life()
    switch.begin_life()
    await switch.sweep()
    message, call = await switch.message(), await switch.call()
    assert message is not None
    assert call is not None
    assert await switch.jobs_of(message) == JOBS
    assert call.result == "message"
    assert switch.left == []


async def test_a_slip_without_a_recording_closes_the_call(switch: Switch, ours: Furnished) -> None:
    await a_call(switch, ours)
    switch.lay(f"{CALL_ID}.slip", slip(ours, record="", dial="ANSWER"))
    await switch.sweep()
    call = await switch.call()
    assert call is not None
    assert (call.result, call.ended_at) == ("answered", STARTED + timedelta(seconds=20))
    assert await switch.message() is None
    assert switch.left == []


@pytest.mark.parametrize(
    ("dial", "result"),
    [
        ("", "hung_up"),
        ("BUSY", "busy"),
        ("NOANSWER", "no_answer"),
        ("CANCEL", "hung_up"),
        ("CHANUNAVAIL", "no_answer"),
    ],
)
async def test_how_a_call_came_out_that_rang(switch: Switch, ours: Furnished, dial: str, result: str) -> None:
    switch.lay(f"{CALL_ID}.slip", slip(ours, record="", dial=dial))
    await switch.sweep()
    call = await switch.call()
    assert call is not None
    assert call.result == result


async def test_a_recording_of_a_controller_that_died(switch: Switch, ours: Furnished) -> None:
    await a_call(switch, ours, ended=True)
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}-2.wav", VOICE)
    await switch.sweep()
    message, call = await switch.message(), await switch.call()
    assert message is not None
    assert call is not None
    assert (message.duration_s, message.source) == (4.0, MessageSource.CONTROL_PLANE)
    assert (message.ended_by, message.caller_kind) == (EndedBy.HANGUP, CallerKind.WITHHELD)
    assert call.result == "message"
    assert switch.left == []


async def test_why_it_ended_is_taken_from_the_journal(switch: Switch, ours: Furnished) -> None:
    await a_call(switch, ours)
    switch.journal.note(CALL_ID, "recording_ended", ended_by="silence", files=1)
    switch.lay(f"{CALL_ID}.wav", VOICE)
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert message.ended_by is EndedBy.SILENCE


async def test_a_recording_nobody_can_be_named_for_is_set_aside(switch: Switch, ours: Furnished) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay("test-1.2.slip", Slip("+81399999999", "", "", "", STARTED))
    switch.lay("test-1.2.wav", VOICE)
    await switch.sweep()
    assert switch.left == ["unclaimed/test-1.2.slip", "unclaimed/test-1.2.wav", f"unclaimed/{CALL_ID}.wav"]
    assert await switch.message() is None


async def test_what_cannot_be_read_is_set_aside_and_told(switch: Switch, ours: Furnished) -> None:
    switch.lay(f"{CALL_ID}.wav", b"this is no recording" * 9)
    switch.lay(f"{CALL_ID}.slip", slip(ours))
    await switch.sweep()
    call = await switch.call()
    assert call is not None
    assert (call.result, call.message_outcome) == ("no_message", MessageOutcome.UNREADABLE)
    assert switch.left == [f"unreadable/{CALL_ID}.wav"]


async def test_what_cannot_be_read_is_set_aside_by_whoever_tidies_up_later_too(
    switch: Switch, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.lay(f"{CALL_ID}.wav", b"this is no recording" * 9)
    switch.lay(f"{CALL_ID}.slip", slip(ours))
    with monkeypatch.context() as patch:
        after_the_commit(switch, patch)
        await switch.sweep()
    await switch.sweep()
    assert switch.left == [f"unreadable/{CALL_ID}.wav"]


async def test_one_bad_file_does_not_cost_the_other(switch: Switch, ours: Furnished) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}-2.wav", VOICE[:20])
    switch.lay(f"{CALL_ID}.slip", slip(ours))
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert (message.duration_s, message.ended_by) == (2.0, EndedBy.ERROR)
    assert switch.left == [f"unreadable/{CALL_ID}-2.wav"]


@pytest.mark.parametrize("content", [b"", VOICE[:30], VOICE[:44]])
async def test_a_recording_without_a_sample_is_no_message(
    switch: Switch, ours: Furnished, content: bytes
) -> None:
    switch.lay(f"{CALL_ID}.wav", content)
    switch.lay(f"{CALL_ID}.slip", slip(ours, record="HANGUP"))
    await switch.sweep()
    call = await switch.call()
    assert call is not None
    assert (call.result, call.message_outcome) == ("hung_up", None)
    assert await switch.message() is None
    assert switch.left == []


async def test_who_stayed_for_the_dialplan_has_pressed_hash(switch: Switch, ours: Furnished) -> None:
    """The control plane recorded, died, and the dialplan said thank you."""
    await a_call(switch, ours)
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", slip(ours, record="EARLIER"))
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert message.ended_by is EndedBy.HASH


async def test_a_recording_that_a_crash_cut_is_kept_whole(switch: Switch, ours: Furnished) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE[:40] + bytes(4) + VOICE[44:])
    switch.lay(f"{CALL_ID}.slip", slip(ours, record=""))
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert (message.duration_s, message.ended_by) == (2.0, EndedBy.ERROR)
    assert switch.media.path(message.media).read_bytes() == VOICE


async def test_calls_that_go_on_are_not_touched(switch: Switch, ours: Furnished) -> None:
    switch.lay("test-1.1.wav", VOICE)
    switch.lay("test-1.2.slip", slip(ours))
    switch.lay("test-1.3.wav", VOICE)
    switch.lay("test-1.3-2.wav", VOICE)
    before = switch.left
    switch.busy, switch.channels = {"test-1.1"}, {"test-1.2", "test-1.3"}
    await switch.sweep()
    assert switch.left == before


async def test_one_call_that_cannot_be_taken_in_does_not_hold_up_the_others(
    switch: Switch, ours: Furnished
) -> None:
    (switch.spool / "test-1.1.slip").mkdir()
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", slip(ours))
    await switch.sweep()
    assert await switch.message() is not None


async def test_a_full_media_folder_leaves_everything_where_it_is(
    switch: Switch, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", slip(ours))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(switch.media, "take", full)
        await switch.sweep()
    assert await switch.message() is None
    assert switch.left == [f"{CALL_ID}.slip", f"{CALL_ID}.wav"]
    assert await switch.events() == ["arrived"]
    await switch.sweep()
    assert await switch.message() is not None
    assert switch.left == []


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "BEGAN"])
async def test_what_was_recorded_of_a_fax_is_no_message(switch: Switch, ours: Furnished, status: str) -> None:
    """Its tones are. The call's record says that it was one; `BEGAN`: Asterisk died meanwhile."""
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", replace(slip(ours), record="", fax=status))
    await switch.sweep()
    assert await switch.message() is None
    call = await switch.call()
    assert call is not None
    assert (call.result, call.ended_at is not None) == ("fax" if status == "SUCCESS" else "fax_failed", True)
    assert "fax_ended" in await switch.events()
    assert switch.left == []


async def test_who_had_spoken_before_a_fax_is_not_forgotten(switch: Switch, ours: Furnished) -> None:
    switch.lay(f"{CALL_ID}.wav", VOICE)
    switch.lay(f"{CALL_ID}.slip", replace(slip(ours), record="DTMF", fax="FAILED"))
    await switch.sweep()
    message = await switch.message()
    assert message is not None
    assert message.ended_by is EndedBy.HASH
