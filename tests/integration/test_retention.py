"""What is past its time goes, at a time that the test chooses; files and rows find each other."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from store import calls, retention
from store.accounts import set_message_retention
from store.chores import claim
from store.database import Database
from store.housekeeping import Swept, sweep_files
from store.media import Media
from store.messages import delete_messages
from store.models import Account, Job, VoiceMessage, now
from store.retention import Purged, purge_messages
from store.signals import SIGNAL_DEVICES
from tests.furnishing import FIRST_CALL, Furnished, leave_message

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)


async def leave(database: Database, media: Media, account: Furnished, age: timedelta) -> VoiceMessage:
    async with database.session() as session:
        message = await leave_message(session, media, account.account_id, account.number_id, FIRST_CALL)
        message.created_at = now() - age
        return message


async def messages_of(database: Database, account: Furnished) -> set[str]:
    async with database.session() as session:
        mine = VoiceMessage.account_id == account.account_id
        return set(await session.scalars(select(VoiceMessage.id).where(mine)))


async def keep_for(database: Database, account: Furnished, days: int | None) -> None:
    async with database.session() as session:
        await set_message_retention(session, account.account_id, days)


def files(media: Media) -> set[Path]:
    return {path for path in (media.folder / "messages").rglob("*") if path.is_file()}


async def test_new_accounts_keep_messages_for_thirty_days(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        account = await session.get_one(Account, ours.account_id)
    assert account.message_retention_days == 30


async def test_each_account_has_its_own_time(
    database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    await keep_for(database, ours, 2)
    await keep_for(database, theirs, None)
    at = now()
    young = await leave(database, media, ours, 2 * DAY - timedelta(minutes=1))
    old = await leave(database, media, ours, 2 * DAY + timedelta(minutes=1))
    kept = await leave(database, media, theirs, 4000 * DAY)
    assert await purge_messages(database, media, at) == Purged(deleted=1)
    assert await messages_of(database, ours) == {ours.message_id, young.id}
    assert await messages_of(database, theirs) == {theirs.message_id, kept.id}
    assert media.path(old.media) not in files(media)
    assert len(files(media)) == 4
    async with database.session() as session:
        told = (await calls.read_journal(session, ours.account_id, old.call_id))[-1]
        signalled = list(await session.scalars(select(Job.subject_id).where(Job.kind == SIGNAL_DEVICES)))
    assert (told.event, told.details) == ("message_deleted", {"message_id": old.id, "by": "retention"})
    assert signalled == [ours.number_id]
    assert await purge_messages(database, media, at + timedelta(minutes=2)) == Purged(deleted=1)
    assert await purge_messages(database, media, at + 31 * DAY) == Purged(deleted=1)
    assert await messages_of(database, ours) == set()


async def test_file_that_cannot_be_removed_stops_no_other(
    database: Database, media: Media, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    left = [await leave(database, media, ours, (40 + older) * DAY) for older in range(5)]
    stuck = [left[4], left[1]]
    for message in stuck:
        media.path(message.media).unlink()
        media.path(message.media).mkdir()
    assert await purge_messages(database, media, now()) == Purged(deleted=3, failed=2)
    assert await messages_of(database, ours) == {ours.message_id, *(message.id for message in stuck)}
    for message in stuck:
        media.path(message.media).rmdir()
    assert await purge_messages(database, media, now()) == Purged(deleted=2)


async def test_death_before_the_commit_leaves_what_can_be_deleted_again(
    database: Database, media: Media, ours: Furnished
) -> None:
    old = await leave(database, media, ours, 40 * DAY)
    media.remove(old.media)
    assert await purge_messages(database, media, now()) == Purged(deleted=1)
    assert await messages_of(database, ours) == {ours.message_id}


async def test_hundreds_go_quickly(database: Database, media: Media, ours: Furnished) -> None:
    async with database.session() as session:
        left = [
            await leave_message(session, media, ours.account_id, ours.number_id, FIRST_CALL)
            for _ in range(250)
        ]
    began = now()
    ids = [message.id for message in left]
    outcome = await delete_messages(database.session, media, ours.account_id, [*ids, "unknown"], by="test")
    assert now() - began < timedelta(seconds=5)
    assert [outcome.pop("unknown"), set(outcome.values())] == ["not_found", {"deleted"}]
    assert await messages_of(database, ours) == {ours.message_id}
    assert len(files(media)) == 1


async def test_files_of_no_message(database: Database, media: Media, ours: Furnished) -> None:
    media.put(b"voice", "messages/2026/11/22/lost.wav")
    lost = media.path("messages/2026/11/22/lost.wav")
    # A recording that waited in the spool is old itself, but its name here is new.
    os.utime(lost, (0, 0))
    draft = lost.with_name(".0123.new")
    draft.touch()
    media.put(b"prompt", "prompts/other.wav")
    known = files(media) - {lost, draft}
    assert await sweep_files(database, media, now()) == Swept()
    assert await sweep_files(database, media, now() + 2 * DAY) == Swept(left=2)
    assert files(media) == known | {lost, draft}
    assert await sweep_files(database, media, now() + 31 * DAY) == Swept(removed=2)
    assert files(media) == known
    assert media.path("prompts/other.wav").exists()


async def test_sweep_without_any_folder(database: Database, tmp_path: Path) -> None:
    assert await sweep_files(database, Media(tmp_path / "none"), now()) == Swept()


async def test_chore_is_one_process_s(database: Database) -> None:
    async def claimed(at: datetime) -> bool:
        async with database.session() as session:
            return await claim(session, "test", at, timedelta(minutes=10))

    at = now()
    assert [await claimed(at), await claimed(at), await claimed(at + timedelta(minutes=9))] == [
        True,
        False,
        False,
    ]
    assert await claimed(at + timedelta(minutes=10))
