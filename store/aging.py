"""Rows that are kept for a time, and then deleted."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import InstrumentedAttribute

from store.database import Database

BATCH = 1000
"""Nobody waits long for a transaction of so many rows."""


async def delete_before(
    database: Database,
    identifier: InstrumentedAttribute[str] | InstrumentedAttribute[int],
    moment: InstrumentedAttribute[datetime],
    end: datetime,
) -> int:
    """Delete rows whose `moment` is before `end`, some at a time; how many went."""
    old = select(identifier).where(moment < end).limit(BATCH)
    gone = 0
    while True:
        async with database.session() as session:
            ids = list(await session.scalars(old))
            await session.execute(delete(identifier.class_).where(identifier.in_(ids)))
        gone += len(ids)
        if len(ids) < BATCH:
            return gone
