"""Billing months: the 26th to the 25th, in Japan, over years' ends and leap years."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.billing_month import BillingMonth, day_of, midnight, month_of, month_of_day, parse_month

pytestmark = pytest.mark.unit

MONTHS = st.builds(BillingMonth, st.integers(1990, 2100), st.integers(1, 12))
MOMENTS = st.integers(0, 4 * 10**15).map(
    lambda us: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@pytest.mark.parametrize(
    ("month", "first", "last", "days"),
    [
        (BillingMonth(2026, 3), date(2026, 2, 26), date(2026, 3, 25), 28),
        (BillingMonth(2028, 3), date(2028, 2, 26), date(2028, 3, 25), 29),
        (BillingMonth(2026, 1), date(2025, 12, 26), date(2026, 1, 25), 31),
        (BillingMonth(2026, 5), date(2026, 4, 26), date(2026, 5, 25), 30),
    ],
)
def test_a_month_is_what_the_manual_says(month: BillingMonth, first: date, last: date, days: int) -> None:
    assert (month.first_day, month.last_day, month.days) == (first, last, days)


def test_the_25ths_midnight_is_japans() -> None:
    """2026-11-25 24:00 in Japan is 15:00 UTC."""
    boundary = datetime(2026, 11, 25, 15, tzinfo=UTC)
    assert month_of(boundary - timedelta(microseconds=1)) == BillingMonth(2026, 11)
    assert month_of(boundary) == BillingMonth(2026, 12)
    assert month_of(datetime(2026, 12, 25, 15, tzinfo=UTC)) == BillingMonth(2027, 1)


@given(MOMENTS)
def test_every_moment_is_in_one_month(at: datetime) -> None:
    month = month_of(at)
    assert month.starts <= at < month.ends
    assert month.first_day <= day_of(at) <= month.last_day


@given(MONTHS)
def test_months_follow_each_other_without_a_gap(month: BillingMonth) -> None:
    assert month.ends == month.next.starts
    assert month.next.previous == month
    assert month.last_day + timedelta(days=1) == month.next.first_day
    assert month_of_day(month.first_day) == month_of_day(month.last_day) == month
    assert midnight(month.first_day) == month.starts
    assert 28 <= month.days <= 31


@given(MONTHS, st.integers(-500, 500))
def test_later_goes_there_and_back(month: BillingMonth, months: int) -> None:
    assert month.later(months).later(-months) == month
    assert (month.later(months) > month) == (months > 0)


@given(MONTHS)
def test_what_is_written_is_read(month: BillingMonth) -> None:
    assert parse_month(str(month)) == month


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "26-1", "2026-1", "2026/11", "", "9999-12", "２０２６-11"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="month"):
        parse_month(text)
