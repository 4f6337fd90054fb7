"""Calls that run on credit: what the meter looks at, and what it notes."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from store.models import Reservation

_held: Any = Reservation.__table__


class LimitedCall(NamedTuple):
    """A call that may last `limit_s` seconds from its answer, as far as we know of one."""

    call_id: str
    limit_s: int
    reserved_at: datetime
    answered_at: datetime | None


_RUNNING = select(_held.c.call_id, _held.c.limit_s, _held.c.reserved_at, _held.c.answered_at).where(
    _held.c.call_id.startswith(bindparam("node")),
    _held.c.limit_s.is_not(None),
    _held.c.released_at.is_(None),
)


def limited_calls(connection: Connection, node: str) -> list[LimitedCall]:
    """The calls of this node that go on, or were never said to have ended."""
    return [LimitedCall(*row) for row in connection.execute(_RUNNING, {"node": f"{node}-"})]


def note_answer(connection: Connection, call_id: str, at: datetime) -> None:
    """The call was answered: its time runs from here."""
    answered = update(_held).where(_held.c.call_id == call_id, _held.c.answered_at.is_(None))
    connection.execute(answered.values(answered_at=at))
