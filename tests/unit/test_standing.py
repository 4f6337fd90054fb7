"""Credit over months: ceilings, top-ups that carry over, in any order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.standing import MonthSums, Standing, standing_in

pytestmark = pytest.mark.unit

NAMES = [f"2026-{month:02d}" for month in range(1, 7)]
MONTHS = st.lists(
    st.builds(
        MonthSums, st.sampled_from(NAMES), st.just(10_000), st.integers(0, 30_000), st.sampled_from([0, 5000])
    ),
    unique_by=lambda one: one.month,
)


def test_a_month_of_its_own() -> None:
    assert standing_in("2026-11", 10_000, []) == Standing(10_000, 0, 0, 0, 0)
    assert standing_in("2026-11", 10_000, []).available == 10_000


def test_top_ups_pay_what_goes_beyond_the_ceiling_and_carry_over() -> None:
    october = MonthSums("2026-10", 10_000, 12_000, 5_000)
    state = standing_in("2026-10", 10_000, [october])
    assert (state.covered, state.balance, state.available) == (2_000, 3_000, 3_000)
    november = standing_in("2026-11", 10_000, [october])
    assert (november.balance, november.available) == (3_000, 13_000)


def test_what_a_later_month_has_used_is_gone_for_an_earlier_one() -> None:
    months = [MonthSums("2026-10", 10_000, 0, 5_000), MonthSums("2026-11", 10_000, 14_000, 0)]
    assert standing_in("2026-10", 10_000, months).available == 11_000


@given(MONTHS, st.sampled_from(NAMES), st.randoms())
def test_the_order_does_not_matter(months: list[MonthSums], name: str, chance: object) -> None:
    shuffled = list(months)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert standing_in(name, 10_000, shuffled) == standing_in(name, 10_000, months)


@given(MONTHS)
def test_no_yen_is_made_or_lost(months: list[MonthSums]) -> None:
    """Every top-up is either what some month was paid with, or the balance."""
    states = [standing_in(name, 10_000, months) for name in NAMES]
    assert sum(state.topped_up for state in states) == sum(s.covered for s in states) + states[-1].balance
    assert all(state.balance >= 0 and state.available >= 0 for state in states)


@given(MONTHS, st.sampled_from(NAMES), st.integers(1, 30_000))
def test_spending_what_is_available_is_always_covered(months: list[MonthSums], name: str, spent: int) -> None:
    state = standing_in(name, 10_000, months)
    spent = min(spent, state.available)
    before = {one.month: one for one in months}
    mine = before.get(name, MonthSums(name, 10_000, 0, 0))
    before[name] = MonthSums(name, mine.ceiling, mine.charged + spent, mine.topped_up)
    for month in NAMES:
        was, now = standing_in(month, 10_000, months), standing_in(month, 10_000, before.values())
        uncovered = max(0, was.charged - was.ceiling) - was.covered
        assert max(0, now.charged - now.ceiling) - now.covered == uncovered
