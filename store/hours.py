"""Which rule a number follows at a moment, why, and until when. Pure.

Days and times are Japan's, which knows no summer time. A day is an exceptional day, else a national holiday,
else a day of the week, and has the spans of what it is. A span that crosses midnight belongs to the day on
which it begins; on the following day that day's own spans come first, and the rest of the night fills what
they leave. Outside every span the default applies. So every minute has exactly one answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Any

import jpholiday

JAPAN = timezone(timedelta(hours=9), "Asia/Tokyo")
DAY_MIN = 24 * 60
FAR_DAYS = 366
"""How far ahead `until` looks; what does not change for so long does not change."""


class Day(StrEnum):
    """A row of the weekly pattern; HOLIDAY stands for national holidays."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"
    HOLIDAY = "holiday"


WEEK = tuple(Day)[:7]


class Source(StrEnum):
    """Where an answer comes from."""

    MANUAL = "manual"
    OVERRIDE = "override"
    WEEKLY = "weekly"
    HOLIDAY = "holiday"
    EXCEPTION = "exception"
    DEFAULT = "default"


@dataclass(frozen=True)
class Span:
    """From `start` to before `end`, in minutes since its day's midnight; past 1440 it is the next day.

    `rule_id` None means OFF.
    """

    start: int
    end: int
    rule_id: str | None

    def __str__(self) -> str:
        end = self.end if self.end <= DAY_MIN else self.end - DAY_MIN
        return f"{_clock(self.start)}-{_clock(end)}"


@dataclass(frozen=True)
class ExceptionalDays:
    """Days from `first_day` to `last_day`, both included, with spans of their own."""

    name: str
    first_day: date
    last_day: date
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Plan:
    """A week and what breaks it. `holidays` says as which day national holidays count; None: as any other."""

    weekly: Mapping[Day, tuple[Span, ...]]
    holidays: Day | None
    exceptions: tuple[ExceptionalDays, ...]
    default_rule_id: str | None


@dataclass(frozen=True)
class Override:
    """What an administrator has set by hand over a schedule; `until` None: until it is taken back."""

    rule_id: str | None
    until: datetime | None


@dataclass(frozen=True)
class Choice:
    """All that decides which rule a number follows. `plan` None: there is no schedule, or it is off."""

    manual_rule_id: str | None
    plan: Plan | None = None
    override: Override | None = None


@dataclass(frozen=True)
class Applies:
    """The rule (None: OFF) and why: the day and span it comes from, and that day's name where it has one."""

    rule_id: str | None
    source: Source
    day: date | None = None
    span: Span | None = None
    name: str = ""

    def __str__(self) -> str:
        parts = (self.source.value, self.name, self.day and f"{self.day:%F}", self.span)
        return " ".join(str(part) for part in parts if part)


def applies(choice: Choice, at: datetime) -> Applies:
    """Say what applies at `at` (aware)."""
    if choice.plan is None:
        return Applies(choice.manual_rule_id, Source.MANUAL)
    override = choice.override
    if override is not None and (override.until is None or at < override.until):
        return Applies(override.rule_id, Source.OVERRIDE)
    return _planned(choice.plan, at)


def until(choice: Choice, at: datetime, days: int = FAR_DAYS) -> datetime | None:
    """Say when another rule will apply than at `at`; None: not within `days`."""
    now = applies(choice, at).rule_id
    changes = (moment for moment in _moments(choice, at, days) if applies(choice, moment).rule_id != now)
    return next(changes, None)


def overlap(spans: tuple[Span, ...]) -> tuple[Span, Span] | None:
    """Find two spans of one day that share a minute."""
    ordered = sorted(spans, key=lambda span: span.start)
    return next(((a, b) for a, b in pairwise(ordered) if b.start < a.end), None)


def overlap_across_midnight(spans: tuple[Span, ...], following: tuple[Span, ...]) -> tuple[Span, Span] | None:
    """Find a span that reaches into one of the following day."""
    pairs = ((a, b) for a in spans for b in following)
    return next(((a, b) for a, b in pairs if b.start < a.end - DAY_MIN), None)


def read_plan(stored: Mapping[str, Any]) -> Plan:
    """Read a plan as the API takes it and the store keeps it: times as `HH:MM`, days as `YYYY-MM-DD`."""
    return Plan(
        weekly={Day(day): _read_spans(spans) for day, spans in stored["weekly"].items()},
        holidays=Day(stored["holidays"]) if stored["holidays"] else None,
        exceptions=tuple(
            ExceptionalDays(
                days["name"],
                date.fromisoformat(days["first_day"]),
                date.fromisoformat(days["last_day"]),
                _read_spans(days["spans"]),
            )
            for days in stored["exceptions"]
        ),
        default_rule_id=stored["default_rule_id"],
    )


def read_span(start: str, end: str, rule_id: str | None) -> Span:
    """A span of two times `HH:MM`; one that ends no later than it starts ends on the next day."""
    first, last = _minutes(start), _minutes(end)
    return Span(first, last if last > first else last + DAY_MIN, rule_id)


def rules_of(plan: Plan) -> Iterator[str]:
    """Give every rule that the plan names."""
    days = [*plan.weekly.values(), *(exception.spans for exception in plan.exceptions)]
    named = [plan.default_rule_id, *(span.rule_id for spans in days for span in spans)]
    yield from dict.fromkeys(rule_id for rule_id in named if rule_id)


@lru_cache(maxsize=4096)
def holiday_name(day: date) -> str:
    """The name of a national holiday, substitutes included; empty for any other day."""
    return jpholiday.is_holiday_name(day) or ""


def _planned(plan: Plan, at: datetime) -> Applies:
    local = at.astimezone(JAPAN)
    today, minute = local.date(), local.hour * 60 + local.minute
    for day, since in ((today, minute), (today - timedelta(days=1), minute + DAY_MIN)):
        source, name, spans = _day(plan, day)
        for span in spans:
            if span.start <= since < span.end:
                return Applies(span.rule_id, source, day, span, name)
    return Applies(plan.default_rule_id, Source.DEFAULT, today)


def _day(plan: Plan, day: date) -> tuple[Source, str, tuple[Span, ...]]:
    for exception in plan.exceptions:
        if exception.first_day <= day <= exception.last_day:
            return Source.EXCEPTION, exception.name, exception.spans
    if plan.holidays is not None and (name := holiday_name(day)):
        return Source.HOLIDAY, name, plan.weekly.get(plan.holidays, ())
    return Source.WEEKLY, "", plan.weekly.get(WEEK[day.weekday()], ())


def _moments(choice: Choice, at: datetime, days: int) -> Iterator[datetime]:
    """Every moment after `at` at which something may change, in order."""
    if choice.plan is None:
        return
    override = choice.override
    if override is not None and (override.until is None or at < override.until):
        if override.until is None:
            return
        # Until then nothing else counts.
        at = override.until
        yield at
    today = at.astimezone(JAPAN).date()
    for number in range(days + 1):
        day = today + timedelta(days=number)
        midnight = datetime.combine(day, time(), JAPAN)
        for minute in _minutes_of_change(choice.plan, day):
            moment = midnight + timedelta(minutes=minute)
            if moment > at:
                yield moment


def _minutes_of_change(plan: Plan, day: date) -> list[int]:
    own, before = _day(plan, day)[2], _day(plan, day - timedelta(days=1))[2]
    minutes = {0, *(span.start for span in own), *(span.end for span in own)}
    minutes |= {span.end - DAY_MIN for span in before}
    return sorted(minute for minute in minutes if 0 <= minute < DAY_MIN)


def _read_spans(stored: list[dict[str, Any]]) -> tuple[Span, ...]:
    return tuple(read_span(span["start"], span["end"], span["rule_id"]) for span in stored)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
