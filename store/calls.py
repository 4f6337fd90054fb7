"""Call records, their legs and their journals, as the customer reads them: for six months."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store.e164 import NotAPhoneNumber, national, parse_e164
from store.errors import NotFound
from store.models import Call, CallLeg, JournalEntry, LegRole, now
from store.pages import Page, PageRequest, read_page

JAPAN = timezone(timedelta(hours=9))
SHOWN_MONTHS = 6
EXPORT_BATCH = 500


def shown_since(at: datetime) -> datetime:
    """Calls from before then are not shown at `at`: six months back to the day, in Japan."""
    day = at.astimezone(JAPAN)
    months = day.year * 12 + day.month - 1 - SHOWN_MONTHS
    first = day.replace(
        year=months // 12, month=months % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0
    )
    # Where the month has no such day, from its last.
    following = (first + timedelta(days=31)).replace(day=1)
    return min(first + timedelta(days=day.day - 1), following - timedelta(days=1))


def month_span(year: int, month: int) -> tuple[datetime, datetime]:
    """A month in Japan: its first moment, and the next month's."""
    first = datetime(year, month, 1, tzinfo=JAPAN)
    return first, (first + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True)
class CallFilter:
    """Which calls; None means any. `since` is within the period, `until` is past its end."""

    number_id: str | None = None
    device_id: str | None = None
    direction: str | None = None
    other_party: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must fulfil; a further way to search is a further line."""
        asked: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
            (self.number_id, lambda: Call.number_id == self.number_id),
            (self.device_id, lambda: _by_device(self.device_id or "")),
            (self.direction, lambda: Call.direction == self.direction),
            (self.other_party, lambda: _with(self.other_party or "")),
            (self.since, lambda: Call.started_at >= self.since),
            (self.until, lambda: Call.started_at < self.until),
        ]
        return [condition() for value, condition in asked if value is not None]


def _by_device(device_id: str) -> ColumnElement[bool]:
    """Calls that it made or answered; not those that it only rang for."""
    took_part = or_(CallLeg.role == LegRole.CALLER, CallLeg.answered_at.is_not(None))
    legs = select(CallLeg.call_id).where(CallLeg.device_id == device_id, took_part)
    return or_(Call.device_id == device_id, Call.id.in_(legs))


def _with(other: str) -> ColumnElement[bool]:
    spellings = {other}
    with suppress(NotAPhoneNumber):
        spellings |= {parse_e164(other), national(parse_e164(other))}
    inbound = Call.direction == "inbound"
    return or_(and_(inbound, Call.caller.in_(spellings)), and_(~inbound, Call.dialled.in_(spellings)))


def _of_account(account_id: str) -> Select[Call]:
    shown = select(Call).where(Call.account_id == account_id, Call.started_at >= shown_since(now()))
    return shown.options(joinedload(Call.number))


async def list_calls(
    session: AsyncSession, account_id: str, wanted: CallFilter, request: PageRequest
) -> Page[Call]:
    """Give a page of the account's calls, newest first, each with its `number`."""
    rows = _of_account(account_id).where(*wanted.conditions())
    return await read_page(session, rows, (Call.started_at, Call.id), request, newest_first=True)


async def get_call(session: AsyncSession, account_id: str, call_id: str) -> Call:
    """Give the call with its `number`. Raises NotFound."""
    call = await session.scalar(_of_account(account_id).where(Call.id == call_id))
    if call is None:
        raise NotFound(call_id)
    return call


async def read_journal(session: AsyncSession, account_id: str, call_id: str) -> Sequence[JournalEntry]:
    """Give the milestones of a call in the order they were written. Raises NotFound."""
    await get_call(session, account_id, call_id)
    entries = select(JournalEntry).where(JournalEntry.call_id == call_id).order_by(JournalEntry.id)
    return (await session.scalars(entries)).all()
