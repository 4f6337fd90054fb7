"""Recordings of calls (通話録音)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store.bulk_deletion import OpenSession, delete_many, remove_files
from store.e164 import E164
from store.errors import NotFound
from store.events import append, append_in
from store.media import Media
from store.models import (
    Job,
    JournalEntry,
    PhoneNumber,
    Recording,
    RecordingSetting,
    RecordingTranscript,
    TranscriptState,
    now,
)
from store.pages import Page, PageRequest, read_page
from store.upserts import insert_for

log = logging.getLogger(__name__)

TRANSCRIBE_RECORDING = "transcribe_recording"
"""Kind of job: make text of a recording (the subject)."""

KEPT_FOR = timedelta(days=30)
"""録音データは30日間分が保存されます。 Counted from when a recording was taken in."""

Deleted = Literal["deleted", "not_found", "failed"]
Direction = Literal["inbound", "outbound"]


@dataclass(frozen=True)
class RecordingFilter:
    """Which recordings; None means any. `since` is within the period, `until` is past its end."""

    number_id: str | None = None
    number: E164 | None = None
    since: datetime | None = None
    until: datetime | None = None
    other_party: E164 | None = None
    direction: Direction | None = None
    call_id: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must fulfil."""
        asked: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
            (self.number_id, lambda: Recording.number_id == self.number_id),
            (self.number, lambda: Recording.number.has(PhoneNumber.e164 == self.number)),
            (self.since, lambda: Recording.started_at >= self.since),
            (self.until, lambda: Recording.started_at < self.until),
            (self.other_party, lambda: Recording.other_party == self.other_party),
            (self.direction, lambda: Recording.direction == self.direction),
            (self.call_id, lambda: Recording.call_id == self.call_id),
        ]
        return [condition() for value, condition in asked if value is not None]


@dataclass(frozen=True)
class Milestone:
    """A line of a call's journal."""

    at: datetime
    event: str
    details: dict[str, Any]


def _of_account(account_id: str) -> Select[Recording]:
    recordings = select(Recording).where(Recording.account_id == account_id)
    transcript = joinedload(Recording.transcript).defer(RecordingTranscript.words)
    return recordings.options(joinedload(Recording.number), transcript)


async def list_recordings(
    session: AsyncSession, account_id: str, wanted: RecordingFilter, request: PageRequest
) -> Page[Recording]:
    """Give a page of the account's recordings, newest first, each with its `number` and `transcript`."""
    rows = _of_account(account_id).where(*wanted.conditions())
    key = (Recording.started_at, Recording.id)
    return await read_page(session, rows, key, request, newest_first=True)


async def get_recording(session: AsyncSession, account_id: str, recording_id: str) -> Recording:
    """Give the recording with its `number` and `transcript`. Raises NotFound."""
    recording = await session.scalar(_of_account(account_id).where(Recording.id == recording_id))
    if recording is None:
        raise NotFound(recording_id)
    return recording


async def read_recordings(
    session: AsyncSession, account_id: str, recording_ids: Sequence[str]
) -> dict[str, Recording]:
    """Give those that are there, by id in the order asked for, each with its `number` and `transcript`."""
    rows = await session.scalars(_of_account(account_id).where(Recording.id.in_(recording_ids)))
    found = {recording.id: recording for recording in rows}
    return {one: found[one] for one in recording_ids if one in found}


def keep_recording(
    connection: Connection, recording: Mapping[str, Any], milestones: Sequence[Milestone]
) -> bool:
    """Write a recording, what its call's journal says of it, and the job for its text where that is set.

    False where there is one of the same call already: it stays as it is. To be called last in a transaction.
    """
    new = insert_for(connection, Recording).on_conflict_do_nothing(index_elements=["call_id"])
    if connection.execute(new.values(**recording).returning(Recording.id)).scalar() is None:
        return False
    recording_id, account_id = recording["id"], recording["account_id"]
    note_by(connection, recording["call_id"], milestones)
    setting = select(RecordingSetting.transcribe).where(RecordingSetting.number_id == recording["number_id"])
    if connection.execute(setting).scalar():
        waiting = {"recording_id": recording_id, "state": TranscriptState.WAITING}
        connection.execute(insert(RecordingTranscript).values(waiting))
        job = {"kind": TRANSCRIBE_RECORDING, "subject_id": recording_id, "account_id": account_id}
        connection.execute(insert(Job).values(payload={}, run_at=now(), **job))
    said = {"number_id": recording["number_id"], "call_id": recording["call_id"]}
    append(connection, account_id, "recording.kept", recording_id, said)
    return True


def note(session: AsyncSession, call_id: str, milestones: Sequence[Milestone]) -> None:
    """Tell the call's journal."""
    for one in milestones:
        session.add(JournalEntry(call_id=call_id, at=one.at, event=one.event, details=one.details))


def note_by(connection: Connection, call_id: str, milestones: Sequence[Milestone]) -> None:
    """`note` without a session."""
    if milestones:
        rows = [
            {"call_id": call_id, "at": one.at, "event": one.event, "details": one.details}
            for one in milestones
        ]
        connection.execute(insert(JournalEntry), rows)


async def delete_recording(
    session: AsyncSession, media: Media, account_id: str, recording_id: str, by: str
) -> None:
    """Delete the recording's row and file, and tell the journal of its call who (`by`) did.

    Raises NotFound, or NotRemoved where the file stays, and with it the recording.
    """
    outcome = await _delete_together(session, [recording_id], media, account_id, by)
    if outcome[recording_id] == "not_found":
        raise NotFound(recording_id)


async def delete_recordings(
    open_session: OpenSession, media: Media, account_id: str, recording_ids: Sequence[str], by: str
) -> dict[str, Deleted]:
    """Delete many, some together in a transaction; say of each how it went.

    `failed` are those whose file could not be removed: they stay as they are, and stop nobody else.
    """
    some = partial(_delete_together, media=media, account_id=account_id, by=by)
    return await delete_many(open_session, some, recording_ids, "failed")


async def _delete_together(
    session: AsyncSession, recording_ids: Sequence[str], media: Media, account_id: str, by: str
) -> dict[str, Deleted]:
    ours = (Recording.account_id == account_id, Recording.id.in_(recording_ids))
    # Locked in one order: two bulk deletions must not wait for each other.
    locked = select(Recording.id).where(*ours).order_by(Recording.id).with_for_update()
    gone = delete(Recording).where(Recording.id.in_(locked)).execution_options(synchronize_session=False)
    columns = (Recording.id, Recording.call_id, Recording.media)
    rows = (await session.execute(gone.returning(*columns))).all()
    at = now()
    for row in rows:
        note(session, row.call_id, [Milestone(at, "recording_deleted", {"recording_id": row.id, "by": by})])
    await session.flush()
    await remove_files(media, [row.media for row in rows])
    await append_in(session, account_id, "recording.deleted", [row.id for row in rows])
    if rows:
        log.info("%d recordings were deleted", len(rows), extra={"action": "recordings_deleted", "by": by})
    outcome: dict[str, Deleted] = dict.fromkeys(recording_ids, "not_found")
    return outcome | dict.fromkeys([row.id for row in rows], "deleted")
