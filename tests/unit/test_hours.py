"""Which rule applies when: midnight, holidays, exceptional days, and that every minute has one answer."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.hours import (
    JAPAN,
    WEEK,
    Choice,
    Day,
    ExceptionalDays,
    Override,
    Plan,
    Source,
    Span,
    applies,
    holiday_name,
    overlap,
    overlap_across_midnight,
    read_plan,
    read_span,
    rules_of,
    until,
)

pytestmark = pytest.mark.unit

OFFICE, NIGHT, CLOSED, NEW_YEAR = "office", "night", "closed", "new-year"
OPEN = (read_span("09:00", "12:00", None), read_span("13:00", "18:00", OFFICE))
OVERNIGHT = (read_span("22:00", "06:00", NIGHT),)
PLAN = Plan(
    weekly={
        **dict.fromkeys(WEEK[:4], OPEN),
        Day.FRI: (*OPEN, *OVERNIGHT),
        Day.HOLIDAY: (read_span("00:00", "24:00", CLOSED),),
    },
    holidays=Day.HOLIDAY,
    exceptions=(
        ExceptionalDays(
            "年末年始", date(2026, 12, 29), date(2027, 1, 3), (read_span("00:00", "24:00", NEW_YEAR),)
        ),
        ExceptionalDays("臨時営業", date(2026, 11, 23), date(2026, 11, 23), OPEN),
    ),
    default_rule_id=CLOSED,
)
CHOICE = Choice("manual", PLAN)


def jst(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=JAPAN)


@pytest.mark.parametrize(
    ("at", "rule_id", "source", "changes"),
    [
        ("2026-11-24 08:59:59.999", CLOSED, Source.DEFAULT, "2026-11-24 09:00"),
        ("2026-11-24 09:00", None, Source.WEEKLY, "2026-11-24 12:00"),
        ("2026-11-24 12:30", CLOSED, Source.DEFAULT, "2026-11-24 13:00"),
        ("2026-11-24 17:59:59", OFFICE, Source.WEEKLY, "2026-11-24 18:00"),
        ("2026-11-27 23:59", NIGHT, Source.WEEKLY, "2026-11-28 06:00"),
        ("2026-11-28 00:00", NIGHT, Source.WEEKLY, "2026-11-28 06:00"),
        ("2026-11-28 06:00", CLOSED, Source.DEFAULT, "2026-11-30 09:00"),
        # Labour Thanksgiving Day, on which the office is open for once.
        ("2026-11-23 10:00", None, Source.EXCEPTION, "2026-11-23 12:00"),
        # Health-and-Sports Day: the default before and after it is the same rule.
        ("2026-10-12 10:00", CLOSED, Source.HOLIDAY, "2026-10-13 09:00"),
        # The holiday between two holidays, and a substitute for one on a Sunday.
        ("2026-09-22 10:00", CLOSED, Source.HOLIDAY, "2026-09-24 09:00"),
        ("2027-03-22 10:00", CLOSED, Source.HOLIDAY, "2027-03-23 09:00"),
        ("2026-12-28 18:00", CLOSED, Source.DEFAULT, "2026-12-29 00:00"),
        ("2026-12-29 00:00", NEW_YEAR, Source.EXCEPTION, "2027-01-04 00:00"),
        ("2027-01-01 12:00", NEW_YEAR, Source.EXCEPTION, "2027-01-04 00:00"),
        ("2027-01-04 00:00", CLOSED, Source.DEFAULT, "2027-01-04 09:00"),
    ],
)
def test_what_applies_and_until_when(at: str, rule_id: str | None, source: Source, changes: str) -> None:
    found = applies(CHOICE, jst(at))
    assert (found.rule_id, found.source) == (rule_id, source)
    assert until(CHOICE, jst(at)) == jst(changes)


def test_the_reason_names_the_day_and_the_span() -> None:
    found = applies(CHOICE, jst("2026-11-28 05:59"))
    assert (found.day, str(found.span)) == (date(2026, 11, 27), "22:00-06:00")
    assert applies(CHOICE, jst("2027-01-01 00:00")).name == "年末年始"
    assert applies(CHOICE, jst("2026-09-22 00:00")).name == "国民の休日"


def test_the_clock_that_counts_is_japans() -> None:
    assert applies(CHOICE, datetime(2026, 11, 24, 0, 0, tzinfo=UTC)).source is Source.WEEKLY
    assert applies(CHOICE, datetime(2026, 11, 23, 23, 59, tzinfo=UTC)).source is Source.DEFAULT


def test_the_own_spans_of_a_day_come_before_the_rest_of_the_night() -> None:
    """A night that reaches into an exceptional day is not asked for there, but fills what is left."""
    early = ExceptionalDays(
        "棚卸し", date(2026, 11, 28), date(2026, 11, 28), (read_span("03:00", "05:00", OFFICE),)
    )
    plan = Plan(PLAN.weekly, PLAN.holidays, (early,), CLOSED)
    answers = [applies(Choice(None, plan), jst(f"2026-11-28 0{hour}:00")).rule_id for hour in range(8)]
    assert answers == [NIGHT, NIGHT, NIGHT, OFFICE, OFFICE, NIGHT, CLOSED, CLOSED]


@pytest.mark.parametrize(
    ("holidays", "rule_id"), [(None, OFFICE), (Day.SUN, CLOSED), (Day.TUE, OFFICE), (Day.HOLIDAY, CLOSED)]
)
def test_holidays_count_as_what_was_chosen(holidays: Day | None, rule_id: str) -> None:
    plan = Plan(PLAN.weekly, holidays, (), CLOSED)
    assert applies(Choice(None, plan), jst("2026-11-03 14:00")).rule_id == rule_id


@pytest.mark.parametrize(
    ("year", "days"),
    [
        (
            2026,
            "01-01 01-12 02-11 02-23 03-20 04-29 05-03 05-04 05-05 05-06 07-20 08-11 09-21 09-22 09-23 10-12 "
            "11-03 11-23",
        ),
        (
            2027,
            "01-01 01-11 02-11 02-23 03-21 03-22 04-29 05-03 05-04 05-05 07-19 08-11 09-20 09-23 10-11 11-03 "
            "11-23",
        ),
    ],
)
def test_national_holidays(year: int, days: str) -> None:
    """As the Cabinet Office announced those of 2026 and 2027."""
    every = (date(year, 1, 1) + timedelta(days=number) for number in range(365))
    assert [f"{day:%m-%d}" for day in every if holiday_name(day)] == days.split()


def test_a_number_without_a_schedule_follows_its_own_setting() -> None:
    for manual in ("manual", None):
        assert applies(Choice(manual), jst("2026-11-24 10:00")).rule_id == manual
        assert until(Choice(manual), jst("2026-11-24 10:00")) is None


def test_an_override_counts_until_its_end() -> None:
    choice = Choice("manual", PLAN, Override(CLOSED, jst("2026-11-24 15:00")))
    assert applies(choice, jst("2026-11-24 14:59")).source is Source.OVERRIDE
    assert applies(choice, jst("2026-11-24 15:00")).rule_id == OFFICE
    assert until(choice, jst("2026-11-24 10:00")) == jst("2026-11-24 15:00")
    # It ends in the lunch break, when the same rule applies anyway.
    same = Choice("manual", PLAN, Override(CLOSED, jst("2026-11-24 12:30")))
    assert until(same, jst("2026-11-24 10:00")) == jst("2026-11-24 13:00")


def test_an_override_without_an_end_stays() -> None:
    choice = Choice("manual", PLAN, Override(None, None))
    assert applies(choice, jst("2030-01-01 00:00")).source is Source.OVERRIDE
    assert until(choice, jst("2026-11-24 10:00")) is None


def test_what_never_changes_has_no_end() -> None:
    assert until(Choice("manual", Plan({}, Day.HOLIDAY, (), None)), jst("2026-11-24 10:00")) is None


def test_overlaps_are_found() -> None:
    morning, noon, night = read_span("09:00", "12:00", "a"), read_span("11:59", "13:00", "b"), OVERNIGHT[0]
    assert overlap((noon, morning)) == (morning, noon)
    assert overlap(OPEN) is None
    assert overlap_across_midnight((night,), (read_span("05:59", "09:00", "a"),)) is not None
    assert overlap_across_midnight((night,), (read_span("06:00", "09:00", "a"),)) is None


def test_a_plan_is_read_as_it_is_stored() -> None:
    stored = {
        "weekly": {"mon": [{"start": "22:00", "end": "06:00", "rule_id": NIGHT}]},
        "holidays": "sun",
        "exceptions": [
            {
                "name": "夏季休業",
                "first_day": "2026-08-13",
                "last_day": "2026-08-15",
                "spans": [{"start": "00:00", "end": "24:00", "rule_id": CLOSED}],
            }
        ],
        "default_rule_id": None,
    }
    plan = read_plan(stored)
    assert plan.weekly == {Day.MON: (Span(1320, 1800, NIGHT),)}
    assert plan.exceptions[0].spans == (Span(0, 1440, CLOSED),)
    assert (plan.holidays, plan.default_rule_id) == (Day.SUN, None)
    assert list(rules_of(plan)) == [NIGHT, CLOSED]


# ---- whatever the plan -------------------------------------------------------------------------------

rules = st.sampled_from([None, "a", "b", "c"])
starts = st.integers(0, 1439)
spans = st.builds(
    lambda start, length, rule: Span(start, start + length, rule), starts, st.integers(1, 1439), rules
)
days_spans = st.lists(spans, max_size=3).map(tuple)
first_days = st.dates(date(2026, 1, 1), date(2027, 12, 31))
exceptions = st.builds(
    lambda first, length, own: ExceptionalDays("x", first, first + timedelta(days=length), own),
    first_days,
    st.integers(0, 5),
    days_spans,
)
plans = st.builds(
    Plan,
    st.dictionaries(st.sampled_from(list(Day)), days_spans),
    st.none() | st.sampled_from(list(Day)),
    st.lists(exceptions, max_size=3).map(tuple),
    rules,
)
moments = st.integers(0, 729 * 86400).map(
    lambda seconds: jst("2026-01-01 00:00") + timedelta(seconds=seconds)
)
overrides = st.none() | st.builds(Override, rules, st.none() | moments)


@given(plans, overrides, moments)
@settings(max_examples=150, deadline=None)
def test_until_is_the_first_minute_that_differs(plan: Plan, override: Override | None, at: datetime) -> None:
    """Compared with going forward minute by minute, for three days."""
    choice = Choice(None, plan, override)
    now = applies(choice, at).rule_id
    found = until(choice, at, days=10)
    minute = at.replace(second=0, microsecond=0)
    steps = [minute + timedelta(minutes=number) for number in range(1, 3 * 1440)]
    if override is not None and override.until is not None:
        steps = sorted([*steps, override.until])
    walked = next((step for step in steps if step > at and applies(choice, step).rule_id != now), None)
    if walked is None:
        assert found is None or found >= steps[-1]
    else:
        assert found == walked


def test_every_minute_of_a_year_has_one_answer() -> None:
    """The plan's own answer, reckoned another way: painted minute by minute, the night first."""
    at, end = jst("2026-06-01 00:00"), jst("2027-06-01 00:00")
    painted: dict[tuple[date, int], str | None] = {}
    day = date(2026, 5, 31)
    while day < end.date():
        own = _spans_of(day)
        for span in own:
            for minute in range(span.start, span.end):
                if minute < 1440:
                    painted[day, minute] = span.rule_id
                else:
                    painted.setdefault((day + timedelta(days=1), minute - 1440), span.rule_id)
        day += timedelta(days=1)
    while at < end:
        expected = painted.get((at.date(), at.hour * 60 + at.minute), CLOSED)
        assert applies(CHOICE, at).rule_id == expected, at
        at += timedelta(minutes=1)


def _spans_of(day: date) -> tuple[Span, ...]:
    for exception in PLAN.exceptions:
        if exception.first_day <= day <= exception.last_day:
            return exception.spans
    if holiday_name(day):
        return PLAN.weekly[Day.HOLIDAY]
    return PLAN.weekly.get(WEEK[day.weekday()], ())
