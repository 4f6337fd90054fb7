"""Billing months: M月分 is the 26th of the month before through the 25th of M, by Japan's calendar.

A call belongs to the month in which it began (`docs/billing.md`).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

JAPAN = timezone(timedelta(hours=9))
"""Japan has had no summer time since 1951."""

CLOSING_DAY = 25
WRITTEN = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, order=True)
class BillingMonth:
    """M月分; written `2026-11`."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def label(self) -> str:
        return f"{self.year}年{self.month}月分"

    @property
    def first_day(self) -> date:
        before = self.previous
        return date(before.year, before.month, CLOSING_DAY + 1)

    @property
    def last_day(self) -> date:
        return date(self.year, self.month, CLOSING_DAY)

    @property
    def days(self) -> int:
        """28 to 31."""
        return (self.last_day - self.first_day).days + 1

    @property
    def starts(self) -> datetime:
        """Its first moment, in UTC."""
        return midnight(self.first_day)

    @property
    def ends(self) -> datetime:
        """The first moment that is no longer in it, in UTC."""
        return midnight(self.last_day + timedelta(days=1))

    @property
    def previous(self) -> "BillingMonth":
        return self.later(-1)

    @property
    def next(self) -> "BillingMonth":
        return self.later(1)

    def later(self, months: int) -> "BillingMonth":
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return BillingMonth(year, month + 1)


def midnight(day: date) -> datetime:
    """The first moment of `day` in Japan, in UTC."""
    return datetime.combine(day, time(), JAPAN).astimezone(UTC)


def day_of(at: datetime) -> date:
    """The day in Japan."""
    return at.astimezone(JAPAN).date()


def month_of_day(day: date) -> BillingMonth:
    month = BillingMonth(day.year, day.month)
    return month if day.day <= CLOSING_DAY else month.next


def month_of(at: datetime) -> BillingMonth:
    """The billing month of what began at `at`."""
    return month_of_day(day_of(at))


def parse_month(text: str) -> BillingMonth:
    """Read what `str(month)` gave. Raises ValueError."""
    found = WRITTEN.fullmatch(text)
    if not found or not 1970 <= int(found[1]) <= 9000:
        raise ValueError("must be a month, as 2026-11")
    return BillingMonth(int(found[1]), int(found[2]))
