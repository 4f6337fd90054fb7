"""What happened, written in the transaction in which it happened, for who follows an account.

A reader goes on from the last id it has seen. So ids must become visible in their order: on PostgreSQL
those who append take turns until their commit; SQLite has one writer anyway. Append last in a transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.models import Event, now

KEPT = timedelta(days=7)
PURGED_TOGETHER = 5000
ONE_AT_A_TIME = 0x65766E74
"""PostgreSQL's advisory lock of those who append; any number that nobody else takes."""

AREAS = ("call", "message", "recording", "fax", "registration", "delivery")
"""What stands before the dot of a kind: `message.kept`."""

_EVENTS: Any = Event.__table__


def take_turn(connection: Connection) -> None:
    """From here to the commit nobody else appends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})


def append(
    connection: Connection,
    account_id: str,
    kind: str,
    subject_id: str,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write that `kind` (`message.kept`) happened to `subject_id`; `data` must be JSON, and short."""
    append_many(connection, account_id, kind, {subject_id: data or {}})


def append_many(
    connection: Connection, account_id: str, kind: str, subjects: Mapping[str, Mapping[str, Any]]
) -> None:
    """`append` for each of `subjects`, by id."""
    if not subjects:
        return
    take_turn(connection)
    at = now()
    rows = [
        {"account_id": account_id, "at": at, "kind": kind, "subject_id": subject_id, "data": dict(data)}
        for subject_id, data in subjects.items()
    ]
    connection.execute(insert(_EVENTS), rows)


async def append_in(
    session: AsyncSession,
    account_id: str,
    kind: str,
    subject_ids: Iterable[str],
    data: Mapping[str, Any] | None = None,
) -> None:
    """`append_many` within a session, with the same `data` for all."""
    await append_each(session, account_id, kind, dict.fromkeys(subject_ids, data or {}))


async def append_each(
    session: AsyncSession, account_id: str, kind: str, subjects: Mapping[str, Mapping[str, Any]]
) -> None:
    """`append_many` within a session."""
    if subjects:
        await session.flush()
        connection = await session.connection()
        await connection.run_sync(append_many, account_id, kind, subjects)


async def read_events(
    session: AsyncSession, account_id: str, after: int, areas: Sequence[str], limit: int
) -> Sequence[Event]:
    """Give up to `limit` of the account's events after the one with the id `after`, in order."""
    rows = select(Event).where(Event.account_id == account_id, Event.id > after)
    if areas:
        rows = rows.where(or_(*(Event.kind.startswith(f"{area}.") for area in areas)))
    return (await session.scalars(rows.order_by(Event.id).limit(limit))).all()


async def newest_id(session: AsyncSession) -> int:
    """The id of the newest event of all accounts; 0 where there is none."""
    return await session.scalar(select(func.max(Event.id))) or 0


async def is_complete_after(session: AsyncSession, event_id: int) -> bool:
    """Whether everything that happened after this event is still there; False for an id that never was.

    After 0 comes whatever is there.
    """
    oldest, newest = (await session.execute(select(func.min(Event.id), func.max(Event.id)))).one()
    return event_id == 0 or (oldest is not None and oldest - 1 <= event_id <= newest)


async def purge_events(database: Database, at: datetime) -> int:
    """Forget what is older than a week as of `at`; give how many that were."""
    purged = 0
    while True:
        old = select(Event.id).where(Event.at < at - KEPT).order_by(Event.id).limit(PURGED_TOGETHER)
        async with database.session() as session:
            ids = list(await session.scalars(old))
            if ids:
                await session.execute(delete(Event).where(Event.id <= ids[-1], Event.at < at - KEPT))
        purged += len(ids)
        if len(ids) < PURGED_TOGETHER:
            return purged
