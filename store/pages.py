"""Pages of a list by key, not by offset: rows that come or go meanwhile neither repeat nor hide another."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from store.errors import BadCursor

T = TypeVar("T")


CURSOR = r"[0-9]{1,16}-[!-~]{1,64}"
TEXT_CURSOR = r"[0-9a-f]{32}-(?:[0-9a-f]{2}){0,800}"
"""What cursors look like. Whatever looks so is one: a place in a list, whether or not a row is there."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Cursor:
    """The last row of a page: its time and its id."""

    at: datetime
    id: str

    def __str__(self) -> str:
        return f"{(self.at - EPOCH) // MICROSECOND}-{self.id}"


def parse_cursor(text: str) -> Cursor:
    """Read what `str(cursor)` gave. Raises BadCursor."""
    if not re.fullmatch(CURSOR, text):
        raise BadCursor("not a cursor of ours")
    since_epoch, _, row_id = text.partition("-")
    return Cursor(EPOCH + int(since_epoch) * MICROSECOND, row_id)


@dataclass(frozen=True)
class TextCursor:
    """The same of a list in the order of a text."""

    text: str
    id: str

    def __str__(self) -> str:
        return f"{self.id}-{self.text.encode().hex()}"


def parse_text_cursor(text: str) -> TextCursor:
    """Read what `str(cursor)` gave. Raises BadCursor."""
    if not re.fullmatch(TEXT_CURSOR, text):
        raise BadCursor("not a cursor of ours")
    row_id, _, last = text.partition("-")
    # PostgreSQL has no NUL.
    return TextCursor(bytes.fromhex(last).decode(errors="replace").replace("\0", ""), row_id)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows, and where the next page starts; None after the last row."""

    items: list[T]
    next: Cursor | None

    @property
    def next_text(self) -> str | None:
        return str(self.next) if self.next else None


@dataclass(frozen=True)
class TextPage(Generic[T]):
    """The same of a list in the order of a text."""

    items: list[T]
    next: TextCursor | None

    @property
    def next_text(self) -> str | None:
        return str(self.next) if self.next else None


@dataclass(frozen=True)
class PageRequest:
    """At most `limit` rows after the one that `after` names."""

    limit: int = 50
    after: Cursor | None = None


async def read_page(
    session: AsyncSession,
    rows: Select[T],
    key: tuple[InstrumentedAttribute[datetime], InstrumentedAttribute[str]],
    request: PageRequest,
    newest_first: bool,
) -> Page[T]:
    """Read one page of `rows` in the order of `key` (a time and an id)."""
    columns = tuple_(*key)
    if request.after:
        last = tuple_(literal(request.after.at, key[0].type), literal(request.after.id, key[1].type))
        rows = rows.where(columns < last if newest_first else columns > last)
    order: list[Any] = [column.desc() if newest_first else column.asc() for column in key]
    found = list(await session.scalars(rows.order_by(*order).limit(request.limit + 1)))
    items = found[: request.limit]
    if len(found) <= request.limit:
        return Page(items, None)
    at, row_id = (getattr(items[-1], column.key) for column in key)
    return Page(items, Cursor(at, row_id))
