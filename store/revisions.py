"""Revisions: counters of changes that a part must notice."""

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import Revision
from store.upserts import insert_for

ASTERISK = "asterisk"
"""Counts changes that Asterisk must be told of: devices, numbers, rules, 留守レポ."""

PROMPT_FILES = "prompt_files"
"""Puts those who keep a prompt's file and those who remove one after the other."""


async def bump(session: AsyncSession, scope: str = ASTERISK) -> int:
    """Count one more change and give the new value, starting at 1.

    Bumped first in a transaction, it puts the changes of one scope one after the other on both databases:
    what is read after it cannot change before the commit.
    """
    counted = insert_for(session, Revision).values(scope=scope, value=1)
    counted = counted.on_conflict_do_update(index_elements=["scope"], set_={"value": Revision.value + 1})
    value: int = (await session.scalars(counted.returning(Revision.value))).one()
    return value


_ASTERISK_VALUE = select(Revision.__table__.c.value).where(Revision.__table__.c.scope == ASTERISK)


def asterisk_revision(connection: Connection) -> int:
    """The same for Asterisk, for who asks all the time."""
    return connection.scalar(_ASTERISK_VALUE) or 0


async def current(session: AsyncSession, scope: str = ASTERISK) -> int:
    """Give the number of changes so far, 0 before the first."""
    return await session.scalar(select(Revision.value).where(Revision.scope == scope)) or 0
