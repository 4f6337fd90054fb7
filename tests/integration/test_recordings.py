"""Recordings of calls on both databases: taken in once, kept for thirty days, found again both ways."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pbx.recordings.adopt import RecordingAdoption
from store.database import Database
from store.events import read_events
from store.housekeeping import Swept, sweep_files
from store.media import Media
from store.models import Job, JournalEntry, Recording, new_id, now
from store.recording_retention import miss_recordings, purge_recordings
from store.recording_settings import RecordingChoice, set_recording
from store.recordings import KEPT_FOR, delete_recordings
from store.retention import Purged
from tests.furnishing import FIRST_CALL, Furnished, leave_recording

pytestmark = pytest.mark.integration

BEGUN = 1795392003.5
SECOND = b"\x01\x00\x02\x00" * 8000
CALL_ID = "test-1795392000.7"


class Spool:
    """The spool of calls, its sweep, and who is on the line."""

    def __init__(self, folder: Path, database: Database, media: Media) -> None:
        self.folder = folder / "calls"
        self.folder.mkdir()
        self.database, self.media = database, media
        self.channels: set[str] = set()
        self.adoption = RecordingAdoption(self.folder, database, media, self._channels)

    async def _channels(self) -> set[str]:
        return self.channels

    def lay(self, ours: Furnished, *events: str, seconds: int = 2, number: str | None = None) -> None:
        facts = [
            f"number={number or ours.e164}",
            "direction=inbound",
            "other=09012345678",
            "presentation=allowed",
            f"prompt={ours.prompt_ids[0]}",
            f"outside={CALL_ID}",
        ]
        (self.folder / f"{CALL_ID}.slip").write_text("\n".join([*facts, *events, ""]))
        (self.folder / f"{CALL_ID}-1.raw").write_bytes(SECOND * seconds)

    def grow_old(self) -> None:
        for path in self.folder.iterdir():
            os.utime(path, (0, 0))

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def spool(tmp_path: Path, database: Database, media: Media) -> Spool:
    return Spool(tmp_path, database, media)


async def recordings_of(database: Database, account: Furnished) -> list[Recording]:
    async with database.session() as session:
        mine = Recording.account_id == account.account_id, Recording.call_id == CALL_ID
        return list(await session.scalars(select(Recording).where(*mine)))


async def events_of(database: Database, call_id: str = CALL_ID) -> list[str]:
    async with database.session() as session:
        entries = select(JournalEntry.event).where(JournalEntry.call_id == call_id)
        return list(await session.scalars(entries.order_by(JournalEntry.id)))


async def test_a_recording_is_taken_in_once(database: Database, spool: Spool, ours: Furnished) -> None:
    """Not while the call goes on; and again where the spool was not emptied in time."""
    events = [f"announced={BEGUN}", f"begun={BEGUN}", f"ended={BEGUN + 2}"]
    spool.lay(ours, *events)
    spool.channels = {CALL_ID}
    await spool.adoption.sweep()
    assert await recordings_of(database, ours) == []
    spool.channels = set()
    await spool.adoption.sweep()
    spool.lay(ours, *events)
    await spool.adoption.sweep()
    (kept,) = await recordings_of(database, ours)
    assert (kept.duration_s, kept.complete, kept.other_party) == (2.0, True, "+819012345678")
    assert kept.started_at == datetime.fromtimestamp(BEGUN, UTC)
    assert kept.ended_at - kept.started_at == timedelta(seconds=2)
    assert (kept.announcement_prompt_id, kept.announcement_played_to_end) == (ours.prompt_ids[0], True)
    assert kept.announcement_sha256 is not None
    assert kept.announcement_started_at == kept.started_at - timedelta(seconds=1.5)
    assert spool.media.path(kept.media).read_bytes()[44:] == SECOND * 2
    assert spool.left() == []
    assert await events_of(database) == ["recording_announced", "recording_begun", "recording_kept"]
    async with database.session() as session:
        assert list(await session.scalars(select(Job).where(Job.kind == "transcribe_recording"))) == []
    delete = delete_recordings(database.session, spool.media, ours.account_id, [kept.id], "me")
    assert await delete == {kept.id: "deleted"}
    said = {"number_id": ours.number_id, "call_id": CALL_ID}
    async with database.session() as session:
        told = await read_events(session, ours.account_id, 0, ["recording"], 9)
    assert [(one.kind, one.subject_id, one.data) for one in told] == [
        ("recording.kept", kept.id, said),
        ("recording.deleted", kept.id, {}),
    ]


async def test_what_asterisk_left_behind_is_taken_in(
    database: Database, spool: Spool, ours: Furnished
) -> None:
    """Without an end, once nothing was written for a while and the channel is gone."""
    spool.lay(ours, f"begun={BEGUN}")
    await spool.adoption.sweep()
    assert await recordings_of(database, ours) == []
    spool.grow_old()
    await spool.adoption.sweep()
    (kept,) = await recordings_of(database, ours)
    assert (kept.duration_s, kept.complete) == (2.0, False)
    assert spool.left() == []


async def test_a_disk_that_was_full_shows(database: Database, spool: Spool, ours: Furnished) -> None:
    spool.lay(ours, f"begun={BEGUN}", f"ended={BEGUN + 60}")
    await spool.adoption.sweep()
    (kept,) = await recordings_of(database, ours)
    assert (kept.duration_s, kept.complete) == (2.0, False)


async def test_nothing_was_said(database: Database, spool: Spool, ours: Furnished) -> None:
    """Hung up while it was announced: the journal has the evidence, and there is no recording."""
    spool.lay(ours, f"broken={BEGUN}", f"ended={BEGUN}", seconds=0)
    await spool.adoption.sweep()
    assert await recordings_of(database, ours) == []
    assert spool.left() == []
    assert await events_of(database) == ["recording_announcement_broken_off"]


async def test_no_number_of_ours(database: Database, spool: Spool, ours: Furnished) -> None:
    """Kept aside, never deleted unread; what is empty goes."""
    spool.lay(ours, f"begun={BEGUN}", f"ended={BEGUN + 2}", number="+81399999999")
    (spool.folder / "test-1795392001.8-1.raw").touch()
    spool.grow_old()
    await spool.adoption.sweep()
    assert spool.left() == [f"{CALL_ID}-1.raw", f"{CALL_ID}.slip"]
    assert not list(spool.folder.glob("*.*"))


async def test_a_media_folder_that_cannot_be_written(
    database: Database, spool: Spool, ours: Furnished
) -> None:
    """The spool keeps it, and the others are taken in all the same."""
    spool.lay(ours, f"begun={BEGUN}", f"ended={BEGUN + 2}")
    day = spool.media.folder / f"recordings/{datetime.fromtimestamp(BEGUN, UTC):%Y/%m/%d}"
    shutil.rmtree(day.parent)
    day.parent.mkdir()
    day.write_text("a file where a folder should be")
    with pytest.raises(OSError):
        await spool.adoption.sweep()
    assert len(spool.left()) == 2
    day.unlink()
    await spool.adoption.sweep()
    assert len(await recordings_of(database, ours)) == 1


async def test_text_is_asked_for_where_it_is_set(database: Database, spool: Spool, ours: Furnished) -> None:
    async with database.session() as session:
        choice = RecordingChoice(inbound=True, transcribe=True)
        await set_recording(session, ours.account_id, ours.number_id, choice)
    spool.lay(ours, f"begun={BEGUN}", f"ended={BEGUN + 2}")
    await spool.adoption.sweep()
    (kept,) = await recordings_of(database, ours)
    async with database.session() as session:
        job = (await session.scalars(select(Job).where(Job.kind == "transcribe_recording"))).one()
    assert job.subject_id == kept.id


async def test_thirty_days(database: Database, media: Media, ours: Furnished, theirs: Furnished) -> None:
    """File and row go, and the journal says so; what is younger stays."""
    old = {}
    for account in (ours, theirs):
        async with database.session() as session:
            one = await leave_recording(session, media, account.account_id, account.number_id, FIRST_CALL)
            one.created_at = now() - KEPT_FOR - timedelta(minutes=1)
            old[one.call_id] = one.media
    assert await purge_recordings(database, media, now()) == Purged(2, 0)
    for call_id, name in old.items():
        assert not media.path(name).exists()
        assert await events_of(database, call_id) == ["recording_deleted"]
    async with database.session() as session:
        assert set(await session.scalars(select(Recording.id))) == {ours.recording_id, theirs.recording_id}
    # The clock goes on for a month.
    assert await purge_recordings(database, media, now() + KEPT_FOR) == Purged(2, 0)
    assert not [path for path in (media.folder / "recordings").rglob("*") if path.is_file()]


async def test_a_file_that_stays_keeps_its_recording(
    database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        stuck = await session.get_one(Recording, ours.recording_id)
        path = media.path(stuck.media)
    path.unlink()
    path.mkdir()
    assert await purge_recordings(database, media, now() + KEPT_FOR) == Purged(1, 1)
    path.rmdir()
    assert await purge_recordings(database, media, now() + KEPT_FOR) == Purged(1, 0)


async def test_files_and_rows_find_each_other(database: Database, media: Media, ours: Furnished) -> None:
    """A file without a row is reported and goes after a month; a row without a file says since when."""
    orphan = media.folder / f"recordings/2026/11/23/test-{new_id()}.wav"
    orphan.write_bytes(b"RIFF")
    assert await miss_recordings(database, media, now()) == 0
    # Its age is when it got its name, which no test can change: the sweep's clock goes on instead.
    assert await sweep_files(database, media, now() + timedelta(days=2)) == Swept(0, 1)
    assert await sweep_files(database, media, now() + timedelta(days=31)) == Swept(1, 0)
    async with database.session() as session:
        lost = await session.get_one(Recording, ours.recording_id)
    media.remove(lost.media)
    at = now()
    assert await miss_recordings(database, media, at) == 1
    assert await miss_recordings(database, media, now()) == 0
    async with database.session() as session:
        assert (await session.get_one(Recording, ours.recording_id)).missing_since == at
    assert await events_of(database, lost.call_id) == ["recording_missing"]
