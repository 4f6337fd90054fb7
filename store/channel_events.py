"""How far Asterisk's notes of its channels were read, and those of calls that go on.

What was read and how far are one transaction: whoever dies in the middle reads the same again, and nobody
reads anything twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import ChannelEvent, EventsRead
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
    """How far the node's events were read; None: never."""
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


async def pending(session: AsyncSession, node: str) -> list[tuple[int, dict[str, Any]]]:
    """The events of calls that go on, in the order they were written, each with its row's id."""
    rows = select(ChannelEvent.id, ChannelEvent.event).where(ChannelEvent.node == node)
    return [(row.id, row.event) for row in await session.execute(rows.order_by(ChannelEvent.id))]


async def set_aside(session: AsyncSession, node: str, events: Sequence[dict[str, Any]]) -> None:
    """Keep events until their calls are over."""
    if events:
        await session.execute(insert(ChannelEvent), [{"node": node, "event": event} for event in events])


async def let_go(session: AsyncSession, ids: Sequence[int]) -> None:
    """Their calls are over, and their legs are kept in this transaction."""
    if ids:
        await session.execute(delete(ChannelEvent).where(ChannelEvent.id.in_(ids)))
