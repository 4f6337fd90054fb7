"""Pages of a list by key, not by offset: rows that come or go meanwhile neither repeat nor hide another."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from store.errors import BadCursor

T = TypeVar("T")


@dataclass(frozen=True)
class Cursor:
    """The last row of a page: its time and its id."""

    at: datetime
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.at.isoformat()}|{self.id}".encode()).decode().rstrip("=")


def parse_cursor(text: str) -> Cursor:
    """Read what `str(cursor)` gave. Raises BadCursor."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
        at, _, row_id = raw.partition("|")
        cursor = Cursor(datetime.fromisoformat(at).astimezone(UTC), row_id)
    except (ValueError, OverflowError, binascii.Error):
        raise BadCursor("not a cursor of ours") from None
    if not row_id or not row_id.isprintable():
        raise BadCursor("not a cursor of ours")
    return cursor


@dataclass(frozen=True)
class TextCursor:
    """The same of a list in the order of a text."""

    text: str
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.id}|{self.text}".encode()).decode().rstrip("=")


def parse_text_cursor(text: str) -> TextCursor:
    """Read what `str(cursor)` gave. Raises BadCursor."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise BadCursor("not a cursor of ours") from None
    row_id, bar, last = raw.partition("|")
    if not bar or not row_id.isalnum() or not row_id.isascii() or "\0" in last:
        raise BadCursor("not a cursor of ours")
    return TextCursor(last, row_id)


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
