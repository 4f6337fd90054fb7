"""From a call's seconds to yen and back: pure, in whole yen and Decimal, the same whenever asked."""

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property

from store.tariff import FREE_CLASSES, OVERSEAS, OverseasRate, Rate, Tariff, TaxClass


class NoRate(Exception):
    """The tariff has no price for this destination."""


@dataclass(frozen=True)
class Line:
    """A line of the tariff as it applies to one call: free for so long, then by the unit."""

    code: str
    """`mobile`, `overseas:+1808`, `kakehodai10:mobile`, or `free`."""

    label: str
    free_s: int | None
    """None: all of it is free."""

    unit_s: int
    yen: Decimal
    tax_percent: int

    def price(self, seconds: int) -> int:
        """Whole yen: every unit begun counts, and the call's fraction of a yen is dropped."""
        return int((self.units(seconds) * self.yen).to_integral_value(ROUND_FLOOR))

    def units(self, seconds: int) -> int:
        """How many units are paid for."""
        if self.free_s is None or seconds <= self.free_s:
            return 0
        return -((self.free_s - seconds) // self.unit_s)

    def affordable_s(self, yen: int) -> int | None:
        """The longest call whose price is at most `yen`; None where no length is too dear."""
        if self.free_s is None or self.yen == 0:
            return None
        # A price is rounded down, so it is within `yen` as long as it is below the next whole yen.
        units = math.ceil((Decimal(yen) + 1) / self.yen) - 1
        return self.free_s + units * self.unit_s


def talk_s(answered_at: datetime | None, ended_at: datetime) -> int:
    """Seconds from answer to end, each second begun counted; nothing where nobody answered."""
    if answered_at is None or ended_at <= answered_at:
        return 0
    return math.ceil((ended_at - answered_at).total_seconds())


class PriceList:
    """A tariff, made ready for many calls."""

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        self._lines: dict[tuple[str, str | None], Line] = {}

    @cached_property
    def _overseas(self) -> dict[str, OverseasRate]:
        return {rate.prefix: rate for rate in self.tariff.overseas}

    @cached_property
    def _longest(self) -> int:
        return max((len(prefix) for prefix in self._overseas), default=0)

    def line_for(self, destination_class: str, e164: str, plan: str | None) -> Line:
        """The line for a call to `e164`, from an ID with `plan`. Raises NoRate."""
        is_overseas = destination_class == OVERSEAS
        key = f"{OVERSEAS}:{self._prefix(e164)}" if is_overseas else destination_class
        known = self._lines.get((key, plan))
        if known is None:
            known = self._lines[key, plan] = self._make(key, plan)
        return known

    def _prefix(self, e164: str) -> str:
        for length in range(min(self._longest, len(e164)), 1, -1):
            if e164[:length] in self._overseas:
                return e164[:length]
        raise NoRate("overseas")

    def _make(self, key: str, plan_code: str | None) -> Line:
        if key in FREE_CLASSES:
            return Line("free", "無料", None, 1, Decimal(0), 0)
        plan = self.tariff.plans.get(plan_code) if plan_code else None
        if plan and key in plan.classes:
            percent = self.tariff.percent_of(TaxClass.STANDARD)
            return Line(f"{plan_code}:{key}", plan.label, plan.free_s, plan.unit_s, plan.yen, percent)
        is_overseas = key.startswith(f"{OVERSEAS}:")
        rate: Rate | None = (
            self._overseas[key.partition(":")[2]] if is_overseas else self.tariff.calls.get(key)
        )
        if rate is None:
            raise NoRate(key)
        return Line(key, rate.label, 0, rate.unit_s, rate.yen, self.tariff.percent_of(rate.tax))
