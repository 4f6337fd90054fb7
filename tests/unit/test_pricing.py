"""Prices: by the unit, never float, and back from yen to seconds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.pricing import Line, NoRate, PriceList, talk_s
from tests.tariffs import example_tariff

pytestmark = pytest.mark.unit

PRICES = PriceList(example_tariff())
LINES = st.builds(
    Line,
    st.just("x"),
    st.just("x"),
    st.one_of(st.none(), st.integers(0, 3600)),
    st.integers(1, 600),
    st.decimals(0, 500, places=2),
    st.sampled_from([0, 8, 10]),
)


@pytest.mark.parametrize(
    ("destination_class", "number", "seconds", "yen"),
    [
        ("fixed", "+81312345678", 0, 0),
        ("fixed", "+81312345678", 1, 8),
        ("fixed", "+81312345678", 180, 8),
        ("fixed", "+81312345678", 181, 16),
        ("mobile", "+819012345678", 61, 32),
        ("navi", "+81570123456", 3600, 2400),
        ("special", "117", 60, 8),
        ("special", "117", 61, 17),
        ("overseas", "+12125551234", 7, 1),
        ("overseas", "+18085551234", 60, 12),
        ("overseas", "+447911123456", 60, 35),
        ("overseas", "+442079460000", 60, 20),
        ("emergency", "110", 10_000, 0),
        ("free", "+81120123456", 10_000, 0),
        ("internal", "1002", 10_000, 0),
    ],
)
def test_the_examples_prices(destination_class: str, number: str, seconds: int, yen: int) -> None:
    assert PRICES.line_for(destination_class, number, None).price(seconds) == yen


def test_the_longest_prefix_counts() -> None:
    lines = {number: PRICES.line_for("overseas", number, None).code for number in ("+18085551", "+1212555")}
    assert lines == {"+18085551": "overseas:+1808", "+1212555": "overseas:+1"}


@pytest.mark.parametrize(
    ("destination_class", "number"), [("overseas", "+5511999"), ("overseas", "+"), ("nothing", "+1")]
)
def test_what_has_no_price_has_none(destination_class: str, number: str) -> None:
    with pytest.raises(NoRate):
        PRICES.line_for(destination_class, number, None)


def test_ten_minutes_are_free_with_the_plan_and_then_by_the_half_minute() -> None:
    line = PRICES.line_for("mobile", "+819012345678", "kakehodai10")
    assert [line.price(seconds) for seconds in (600, 601, 630, 631)] == [0, 20, 20, 40]
    assert line.code == "kakehodai10:mobile"
    assert PRICES.line_for("navi", "+81570123456", "kakehodai10").price(1) == 20
    assert PRICES.line_for("mobile", "+819012345678", "another").price(1) == 16


def test_overseas_is_free_of_tax() -> None:
    assert PRICES.line_for("overseas", "+1212", None).tax_percent == 0
    assert PRICES.line_for("mobile", "+8190", None).tax_percent == 10


@given(LINES, st.integers(0, 100_000))
def test_a_price_is_that_of_its_units_rounded_down(line: Line, seconds: int) -> None:
    paid_s = 0 if line.free_s is None else max(0, seconds - line.free_s)
    units = -(-paid_s // line.unit_s)
    assert line.units(seconds) == units
    assert line.price(seconds) == int(Fraction(line.yen) * units)


@given(LINES, st.integers(0, 100_000), st.integers(0, 1000))
def test_longer_is_never_cheaper(line: Line, seconds: int, more: int) -> None:
    assert line.price(seconds) <= line.price(seconds + more)


@given(LINES, st.integers(0, 100_000))
def test_what_can_be_afforded_is_the_longest_that_can(line: Line, yen: int) -> None:
    seconds = line.affordable_s(yen)
    if seconds is None:
        assert line.price(10**9) == 0
    else:
        assert line.price(seconds) <= yen < line.price(seconds + 1)


@given(st.integers(0, 10**9))
def test_seconds_begun_count(microseconds: int) -> None:
    answered = datetime(2026, 11, 25, 14, 59, 59, 999_999, tzinfo=UTC)
    ended = answered + timedelta(microseconds=microseconds)
    assert talk_s(answered, ended) == -(-microseconds // 1_000_000)
    assert talk_s(None, ended) == 0
    assert talk_s(ended + timedelta(seconds=1), ended) == 0


def test_money_is_decimal_from_the_file_on() -> None:
    special = example_tariff().calls["special"]
    assert special.yen == Decimal("8.5")
    assert isinstance(special.yen, Decimal)
