"""From where on Asterisk's notes of its channels are still to be read.

What came of them and how far they were read are one transaction: whoever dies in the middle reads the same
again.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import EventsRead
from store.upserts import insert_for


class ReadByAnother(Exception):
    """Somebody else has read on: what we read must not be kept."""


@dataclass(frozen=True)
class Place:
    """A place in a file: the file by its inode, for it is renamed when it is turned over."""

    inode: int
    position: int
    alive_at: datetime | None = None
    """When open channels were last seen alive."""


async def where_read(session: AsyncSession, node: str) -> Place | None:
    """Where the node's events are to be read on; None: from the beginning."""
    row = await session.get(EventsRead, node)
    return Place(row.inode, row.position, row.alive_at) if row else None


async def move(session: AsyncSession, node: str, old: Place | None, new: Place) -> None:
    """Note that all up to `new` was read. Raises ReadByAnother where it stood elsewhere than at `old`."""
    values = {"inode": new.inode, "position": new.position, "alive_at": new.alive_at}
    if old is None:
        first = insert_for(session, EventsRead).values(node=node, **values).on_conflict_do_nothing()
        done = await session.execute(first.returning(EventsRead.node))
    else:
        here = update(EventsRead).where(
            EventsRead.node == node, EventsRead.inode == old.inode, EventsRead.position == old.position
        )
        done = await session.execute(here.values(**values).returning(EventsRead.node))
    if done.scalar() is None:
        raise ReadByAnother(node)
