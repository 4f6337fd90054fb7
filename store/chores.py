"""Chores: what is done now and then by one process, however many there are."""

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import Chore
from store.upserts import insert_for


async def claim(session: AsyncSession, name: str, at: datetime, every: timedelta) -> bool:
    """True for one caller per period: it does the chore. Who dies meanwhile leaves it to the next period."""
    first = insert_for(session, Chore).values(name=name, due_at=at)
    await session.execute(first.on_conflict_do_nothing(index_elements=["name"]))
    due = update(Chore).where(Chore.name == name, Chore.due_at <= at).values(due_at=at + every)
    claimed = await session.execute(due.returning(Chore.name).execution_options(synchronize_session=False))
    return claimed.scalar() is not None
