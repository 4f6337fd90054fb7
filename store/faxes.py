"""The trays: faxes that came in, and those that went out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store import revisions
from store.bulk_deletion import OpenSession, delete_many, remove_files
from store.e164 import E164
from store.errors import NotFound
from store.fax_settings import seen_by
from store.fax_submissions import SCOPE, UNDER_WAY
from store.media import Media
from store.models import (
    Fax,
    FaxAttempt,
    FaxDirection,
    FaxState,
    FaxSubmission,
    JournalEntry,
    PhoneNumber,
    now,
)
from store.pages import Page, PageRequest, read_page

Deleted = Literal["deleted", "not_found", "under_way", "failed"]


@dataclass(frozen=True)
class FaxFilter:
    """Which faxes; None means any. `since` is within the period, `until` is past its end."""

    number_id: str | None = None
    number: E164 | None = None
    direction: FaxDirection | None = None
    states: tuple[FaxState, ...] = ()
    other_party: E164 | None = None
    submission_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    read: bool | None = None
    device_id: str | None = None
    """Only those that this device may see."""

    def conditions(self) -> list[ColumnElement[bool]]:
        asked: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
            (self.number_id, lambda: Fax.number_id == self.number_id),
            (self.number, lambda: Fax.number.has(PhoneNumber.e164 == self.number)),
            (self.direction, lambda: Fax.direction == self.direction),
            (self.states or None, lambda: Fax.state.in_(self.states)),
            (self.other_party, lambda: Fax.other_party == self.other_party),
            (self.submission_id, lambda: Fax.submission_id == self.submission_id),
            (self.since, lambda: Fax.started_at >= self.since),
            (self.until, lambda: Fax.started_at < self.until),
            (self.read, lambda: Fax.read_at.is_not(None) if self.read else Fax.read_at.is_(None)),
            (self.device_id, lambda: seen_by(self.device_id or "")),
        ]
        return [condition() for value, condition in asked if value is not None]


@dataclass(frozen=True)
class FaxCount:
    """The trays of one number."""

    number_id: str
    number: str
    received: int
    unread: int
    sent: int


def _of_account(account_id: str) -> Select[Fax]:
    faxes = select(Fax).where(Fax.account_id == account_id)
    return faxes.options(joinedload(Fax.number, innerjoin=True))


async def list_faxes(
    session: AsyncSession, account_id: str, wanted: FaxFilter, request: PageRequest
) -> Page[Fax]:
    """Give a page of the account's faxes, newest first, each with its `number`."""
    rows = _of_account(account_id).where(*wanted.conditions())
    return await read_page(session, rows, (Fax.started_at, Fax.id), request, newest_first=True)


async def get_fax(session: AsyncSession, account_id: str, fax_id: str) -> Fax:
    """Give the fax with its `number`. Raises NotFound."""
    fax = await session.scalar(_of_account(account_id).where(Fax.id == fax_id))
    if fax is None:
        raise NotFound(fax_id)
    return fax


async def read_faxes(session: AsyncSession, account_id: str, fax_ids: Sequence[str]) -> dict[str, Fax]:
    """Those of `fax_ids` that are there, each with its `number`."""
    rows = await session.scalars(_of_account(account_id).where(Fax.id.in_(fax_ids)))
    return {fax.id: fax for fax in rows}


async def count_faxes(session: AsyncSession, account_id: str) -> list[FaxCount]:
    """The trays of each of the account's numbers that has any, oldest number first."""
    came = Fax.direction == FaxDirection.IN
    counted = (
        select(
            PhoneNumber.id,
            PhoneNumber.e164,
            func.count().filter(came),
            func.count().filter(came, Fax.read_at.is_(None)),
            func.count().filter(Fax.direction == FaxDirection.OUT),
        )
        .join(Fax, Fax.number_id == PhoneNumber.id)
        .where(PhoneNumber.account_id == account_id)
        .group_by(PhoneNumber.id, PhoneNumber.e164, PhoneNumber.created_at)
        .order_by(PhoneNumber.created_at, PhoneNumber.id)
    )
    return [FaxCount(*row) for row in await session.execute(counted)]


async def mark_faxes(
    session: AsyncSession, account_id: str, fax_ids: Sequence[str], read: bool, by: str
) -> set[str]:
    """Mark as read or unread; the ids of those that are there. Who read it first is kept."""
    ours = (Fax.account_id == account_id, Fax.id.in_(fax_ids))
    changes: dict[str, Any] = {"read_at": None, "read_by": None}
    if read:
        changes = {
            "read_at": func.coalesce(Fax.read_at, now()),
            "read_by": func.coalesce(Fax.read_by, by),
        }
    changed = update(Fax).where(*ours).values(**changes).execution_options(synchronize_session=False)
    return set(await session.scalars(changed.returning(Fax.id)))


async def delete_fax(session: AsyncSession, media: Media, account_id: str, fax_id: str, by: str) -> Deleted:
    """Delete the fax with its files."""
    return (await _delete_together(session, [fax_id], media, account_id, by))[fax_id]


async def delete_faxes(
    open_session: OpenSession, media: Media, account_id: str, fax_ids: Sequence[str], by: str
) -> dict[str, Deleted]:
    """Delete many, some together in a transaction; say of each how it went.

    `under_way` are those that must be cancelled first; `failed` those whose file could not be removed: they
    stay as they are, and stop nobody else.
    """
    some = partial(_delete_together, media=media, account_id=account_id, by=by)
    return await delete_many(open_session, some, fax_ids, "failed")


async def _delete_together(
    session: AsyncSession, fax_ids: Sequence[str], media: Media, account_id: str, by: str
) -> dict[str, Deleted]:
    # Whoever sends the same pages again waits: files must not go under their hands.
    await revisions.bump(session, SCOPE)
    ours = (Fax.account_id == account_id, Fax.id.in_(fax_ids))
    found = list(await session.scalars(select(Fax).where(*ours).order_by(Fax.id).with_for_update()))
    outcome: dict[str, Deleted] = dict.fromkeys(fax_ids, "not_found")
    outcome |= {fax.id: "under_way" for fax in found if fax.state in UNDER_WAY}
    gone = [fax for fax in found if fax.state not in UNDER_WAY]
    outcome |= {fax.id: "deleted" for fax in gone}
    ids = [fax.id for fax in gone]
    files = {name for fax in gone for name in (fax.pdf, fax.tiff) if name}
    for fax in gone:
        if fax.call_id:
            told = {"fax_id": fax.id, "by": by}
            session.add(JournalEntry(call_id=fax.call_id, at=now(), event="fax_deleted", details=told))
    await session.flush()
    await session.execute(delete(FaxAttempt).where(FaxAttempt.fax_id.in_(ids)))
    await session.execute(delete(Fax).where(Fax.id.in_(ids)).execution_options(synchronize_session=False))
    files |= await _delete_empty(session, {fax.submission_id for fax in gone if fax.submission_id})
    await _remove(session, media, files)
    return outcome


async def _delete_empty(session: AsyncSession, submission_ids: set[str]) -> set[str]:
    """Delete the submissions that have no fax any more; the names of their files."""
    files: set[str] = set()
    for submission_id in sorted(submission_ids):
        if await session.scalar(select(Fax.id).where(Fax.submission_id == submission_id).limit(1)):
            continue
        submission = await session.get_one(FaxSubmission, submission_id)
        files |= {name for name in (submission.document, submission.pdf, submission.tiff) if name}
        await session.delete(submission)
    await session.flush()
    return files


async def _remove(session: AsyncSession, media: Media, files: set[str]) -> None:
    """Remove the files that nothing names any more. Raises NotRemoved."""
    needed: set[str | None] = set()
    for column, table in (
        (Fax.pdf, Fax),
        (Fax.tiff, Fax),
        (FaxSubmission.document, FaxSubmission),
        (FaxSubmission.pdf, FaxSubmission),
        (FaxSubmission.tiff, FaxSubmission),
    ):
        needed |= set(await session.scalars(select(column).select_from(table).where(column.in_(files))))
    await remove_files(media, files - needed)


async def unknown_files(session: AsyncSession, names: Sequence[str]) -> set[str]:
    """Those of `names` that no fax and no submission knows."""
    known: set[str | None] = set()
    for columns in ((Fax.pdf, Fax.tiff), (FaxSubmission.document, FaxSubmission.pdf, FaxSubmission.tiff)):
        asked = or_(*(column.in_(names) for column in columns))
        for row in await session.execute(select(*columns).where(asked)):
            known |= set(row)
    return set(names) - known
