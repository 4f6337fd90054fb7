"""The journal against both databases: groups, order, poison, and a database that is away for a while."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from store.database import Database, open_database
from store.journal import CallJournal
from store.models import (
    Call,
    CallerKind,
    EndedBy,
    Job,
    JournalEntry,
    MessageOutcome,
    MessageSource,
    VoiceMessage,
    now,
)
from tests.furnishing import Furnished

pytestmark = pytest.mark.integration

LIMIT_S = 20.0


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[CallJournal]:
    journal = CallJournal(database)
    running = asyncio.create_task(journal.run())
    yield journal
    assert not running.done(), "the journal's task died"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def flushed(journal: CallJournal) -> None:
    async with asyncio.timeout(LIMIT_S):
        await journal.flushed()


def opened(journal: CallJournal, ours: Furnished, call_id: str, **columns: Any) -> "asyncio.Future[None]":
    row = {
        "id": call_id,
        "node": "test",
        "account_id": ours.account_id,
        "number_id": ours.number_id,
        "dialled": ours.e164,
        "caller": None,
        "caller_kind": CallerKind.WITHHELD,
        "started_at": now(),
    }
    return journal.open_call(**{**row, **columns})


def a_message(ours: Furnished, call_id: str) -> dict[str, Any]:
    return {
        "account_id": ours.account_id,
        "number_id": ours.number_id,
        "call_id": call_id,
        "caller": None,
        "caller_kind": CallerKind.WITHHELD,
        "started_at": now(),
        "duration_s": 3.5,
        "ended_by": EndedBy.HASH,
        "source": MessageSource.CONTROL_PLANE,
        "media": f"messages/2026/11/23/{call_id}.wav",
        "sha256": "0" * 64,
    }


async def events(database: Database, call_id: str) -> list[str]:
    async with database.session() as session:
        query = select(JournalEntry.event).where(JournalEntry.call_id == call_id).order_by(JournalEntry.id)
        return list(await session.scalars(query))


async def count(database: Database, table: Any) -> int:
    async with database.session() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


async def test_notes_stand_in_the_order_they_were_made(
    journal: CallJournal, database: Database, ours: Furnished
) -> None:
    await opened(journal, ours, "c-1.1")
    for number in range(300):
        journal.note("c-1.1", f"step_{number:03}")
        journal.change_call("c-1.1", result=f"r{number}")
        journal.change_call("c-1.1", result=f"s{number}", ended_at=now())
    await flushed(journal)
    assert await events(database, "c-1.1") == [f"step_{number:03}" for number in range(300)]
    async with database.session() as session:
        call = await session.get_one(Call, "c-1.1")
    assert call.result == "s299"
    assert journal.waiting == 0


async def test_a_call_may_be_noted_and_changed_in_the_moment_it_is_opened(
    journal: CallJournal, database: Database, ours: Furnished
) -> None:
    journal.note("c-1.1", "arrived")
    journal.change_call("c-1.1", result="message")
    done = opened(journal, ours, "c-1.1")
    journal.keep_message(a_message(ours, "c-1.1"))
    await flushed(journal)
    assert done.done()
    async with database.session() as session:
        call = await session.get_one(Call, "c-1.1")
    assert (call.result, call.message_outcome) == ("message", MessageOutcome.KEPT)


async def test_what_comes_together_is_committed_together(
    journal: CallJournal, database: Database, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = []
    write = journal._write_together

    async def counted(deeds: Any) -> None:
        groups.append(len(deeds))
        await write(deeds)

    monkeypatch.setattr(journal, "_write_together", counted)
    for number in range(100):
        journal.note("c-1.1", f"step_{number}")
    await flushed(journal)
    assert max(groups) >= 100


async def test_calls_of_different_kinds_keep_all_their_columns(
    journal: CallJournal, database: Database, ours: Furnished
) -> None:
    """They are written together, but a statement knows only the columns of its first row."""
    opened(journal, ours, "in-1")
    opened(journal, ours, "out-1", direction="outbound", destination_class="mobile", device_id=ours.device_id)
    opened(journal, ours, "in-2")
    await flushed(journal)
    async with database.session() as session:
        rows = {row.id: row for row in await session.scalars(select(Call).where(Call.node == "test"))}
    assert [rows[one].direction for one in ("in-1", "out-1", "in-2")] == ["inbound", "outbound", "inbound"]
    assert (rows["out-1"].destination_class, rows["out-1"].device_id) == ("mobile", ours.device_id)
    assert rows["in-2"].destination_class is None


async def test_a_message_its_job_and_its_outcome_are_one(
    journal: CallJournal, database: Database, ours: Furnished
) -> None:
    messages, jobs = await count(database, VoiceMessage), await count(database, Job)
    await opened(journal, ours, "c-1.1")
    await journal.keep_message(a_message(ours, "c-1.1"))
    async with database.session() as session:
        message = (await session.scalars(select(VoiceMessage).where(VoiceMessage.call_id == "c-1.1"))).one()
        mine = select(Job).where(Job.account_id == ours.account_id).order_by(Job.kind)
        report, signal, transcribe = (await session.scalars(mine)).all()
    assert (report.kind, report.subject_id) == ("report_message", message.id)
    assert (signal.kind, signal.subject_id) == ("signal_devices", ours.number_id)
    assert (transcribe.kind, transcribe.subject_id) == ("transcribe", message.id)
    assert signal.run_at == transcribe.run_at == report.run_at - timedelta(minutes=1)
    # A second message of one call is refused as a whole: no second job, nothing changed.
    with pytest.raises(SQLAlchemyError):
        await journal.keep_message(a_message(ours, "c-1.1"))
    assert (await count(database, VoiceMessage), await count(database, Job)) == (messages + 1, jobs + 3)


async def test_an_outcome_is_set_once(journal: CallJournal, database: Database, ours: Furnished) -> None:
    await opened(journal, ours, "c-1.1")
    await journal.keep_message(a_message(ours, "c-1.1"))
    await journal.settle_without_message("c-1.1", MessageOutcome.NOTHING_SAID)
    async with database.session() as session:
        assert (await session.get_one(Call, "c-1.1")).message_outcome is MessageOutcome.KEPT


POISON: dict[str, dict[str, Any]] = {
    "its number was deleted meanwhile": {"number_id": "gone"},
    "it is there already": {"id": "c-1.1"},
    "too long for its column": {"dialled": "0" * 60},
    "a naive time": {"started_at": now().replace(tzinfo=None)},
    "no such kind": {"caller_kind": "martian"},
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
async def test_a_note_that_cannot_be_written_does_not_stop_the_rest(
    journal: CallJournal, database: Database, ours: Furnished, poison: dict[str, Any]
) -> None:
    await opened(journal, ours, "c-1.1")
    journal.note("c-1.1", "before")
    refused = opened(journal, ours, "c-2.2", **poison)
    journal.note("c-1.1", "after")
    await flushed(journal)
    journal.note("c-1.1", "later")
    await flushed(journal)
    assert await events(database, "c-1.1") == ["before", "after", "later"]
    assert refused.done()
    assert journal.waiting == 0


async def test_details_that_are_no_json_do_not_stop_the_rest(
    journal: CallJournal, database: Database, ours: Furnished
) -> None:
    journal.note("c-1.1", "wrong", thing=object())
    journal.note("c-1.1", "right")
    await flushed(journal)
    assert await events(database, "c-1.1") == ["right"]


async def test_flushed_does_not_wait_for_what_is_noted_later(
    journal: CallJournal, database: Database, ours: Furnished
) -> None:
    async def keep_noting() -> None:
        while True:
            journal.note("c-1.1", "noise")
            await asyncio.sleep(0)

    noise = asyncio.create_task(keep_noting())
    try:
        journal.note("c-1.1", "mine")
        await flushed(journal)
        assert "mine" in await events(database, "c-1.1")
    finally:
        noise.cancel()
        await asyncio.gather(noise, return_exceptions=True)


# ---- SQLite, locked by somebody else -----------------------------------------------------------------


@pytest.fixture
def sqlite_only(request: pytest.FixtureRequest, database_url: str) -> str:
    if not database_url.startswith("sqlite"):
        pytest.skip("locks of SQLite")
    return database_url.partition("///")[2]


async def test_a_locked_database_gets_everything_once_when_it_is_free(
    sqlite_only: str, database: Database, ours: Furnished
) -> None:
    impatient = open_database(f"sqlite+aiosqlite:///{sqlite_only}", busy_timeout_s=0.05)
    journal = CallJournal(impatient)
    running = asyncio.create_task(journal.run())
    locker = sqlite3.connect(sqlite_only, isolation_level=None)
    try:
        locker.execute("BEGIN IMMEDIATE")
        done = opened(journal, ours, "c-1.1")
        for number in range(50):
            journal.note("c-1.1", f"step_{number:02}")
        kept = journal.keep_message(a_message(ours, "c-1.1"))
        async with asyncio.timeout(LIMIT_S):
            while not journal.problem:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not done.done()
        assert not kept.done()
        journal.note("c-1.1", "while it was locked")
        locker.execute("ROLLBACK")
        await flushed(journal)
        assert journal.problem == ""
    finally:
        locker.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await impatient.close()
    assert done.done()
    assert kept.done()
    assert await events(database, "c-1.1") == [
        *(f"step_{number:02}" for number in range(50)),
        "while it was locked",
    ]
    async with database.session() as session:
        query = select(func.count()).select_from(VoiceMessage).where(VoiceMessage.call_id == "c-1.1")
        assert await session.scalar(query) == 1


async def test_a_database_that_cannot_be_reached_at_all_does_not_end_the_journal(
    migrated_postgres: str,
) -> None:
    """A server that starts, or does not know the database, answers with errors of its own kind."""
    nowhere = open_database(migrated_postgres + "_of_nobody")
    journal = CallJournal(nowhere)
    running = asyncio.create_task(journal.run())
    try:
        journal.note("c-1.1", "arrived")
        async with asyncio.timeout(LIMIT_S):
            while not journal.problem and not running.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not running.done(), running.exception()
        assert journal.waiting == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await nowhere.close()


@pytest.mark.parametrize("problem", [TimeoutError(), OSError(28, "No space left"), RuntimeError("odd")])
async def test_no_trouble_of_the_database_ends_the_journal(
    journal: CallJournal,
    database: Database,
    ours: Furnished,
    monkeypatch: pytest.MonkeyPatch,
    problem: Exception,
) -> None:
    write, troubles = journal._write_together, [problem]

    async def troubled(deeds: Any) -> None:
        if troubles:
            raise troubles.pop()
        await write(deeds)

    monkeypatch.setattr(journal, "_write_together", troubled)
    journal.note("c-1.1", "arrived")
    await flushed(journal)
    assert await events(database, "c-1.1") == ["arrived"]
