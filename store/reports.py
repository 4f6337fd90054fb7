"""How the parts of each node say they are doing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.models import PartReport, now
from store.upserts import insert_for

LONGEST_REASON = 500


def report_by(
    connection: Connection,
    part: str,
    ready: bool,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """Say how `part` (`<node>.pbx`) is doing; the last word counts. `reason` is cut to 500 signs."""
    said = {
        "ready": ready,
        "reason": reason[:LONGEST_REASON],
        "details": dict(details or {}),
        "reported_at": at or now(),
    }
    statement = insert_for(connection, PartReport).values(part=part, **said)
    connection.execute(statement.on_conflict_do_update(index_elements=["part"], set_=said))


async def report(
    database: Database,
    part: str,
    ready: bool,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """`report_by` in a transaction of its own."""
    said = partial(report_by, part=part, ready=ready, reason=reason, details=details, at=at)
    await database.transaction(said)


async def read_all(session: AsyncSession) -> Sequence[PartReport]:
    """Give the last report of every part, by name."""
    return (await session.scalars(select(PartReport).order_by(PartReport.part))).all()
