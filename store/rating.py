"""Rating: what a call costs, from its record, the tariff when it began, and the plan its ID had then.

Nothing else counts, so rating a call again gives the same.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from store.billing_month import day_of
from store.models import Subscription
from store.pricing import NoRate, talk_s
from store.tariffs import Published, all_tariffs

_sold: Any = Subscription.__table__


class RatableCall(NamedTuple):
    """An outbound call that has ended, as its record has it."""

    id: str
    account_id: str
    number_id: str | None
    device_id: str | None
    dialled: str
    destination_class: str
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime


class Rating(NamedTuple):
    """What a call cost, and by which line of which version of the tariff."""

    tariff_id: str
    line: str
    label: str
    seconds: int
    units: int
    amount: int
    tax_percent: int


class SoldPlan(NamedTuple):
    item: str
    starts_on: date
    ends_on: date | None


class Book:
    """All versions of the tariff and all plans sold: whatever rating needs beside the calls themselves."""

    def __init__(
        self, versions: Sequence[tuple[date, Published]], plans: Mapping[str, Sequence[SoldPlan]]
    ) -> None:
        self._versions = list(versions)
        self._plans = plans
        self._on: dict[date, Published | None] = {}

    def tariff_on(self, day: date) -> Published | None:
        if day not in self._on:
            self._on[day] = next((one for first, one in reversed(self._versions) if first <= day), None)
        return self._on[day]

    def rate(self, call: RatableCall) -> Rating:
        """Rate one call. Raises NoRate."""
        day = day_of(call.started_at)
        published = self.tariff_on(day)
        if published is None:
            raise NoRate("no tariff")
        plan = self._plan_on(published, call.device_id, day)
        line = published.prices.line_for(call.destination_class, call.dialled, plan)
        seconds = talk_s(call.answered_at, call.ended_at)
        units = line.units(seconds)
        amount = line.price(seconds) if units else 0
        return Rating(published.id, line.code, line.label, seconds, units, amount, line.tax_percent)

    def _plan_on(self, published: Published, device_id: str | None, day: date) -> str | None:
        sold = self._plans.get(device_id) if device_id else None
        if not sold:
            return None
        return min(
            (
                one.item
                for one in sold
                if one.item in published.tariff.plans
                and one.starts_on <= day
                and (one.ends_on is None or day <= one.ends_on)
            ),
            default=None,
        )


def open_book(connection: Connection) -> Book:
    versions = all_tariffs(connection)
    names = sorted({code for _, one in versions for code in one.tariff.plans})
    plans: dict[str, list[SoldPlan]] = {}
    rows = connection.execute(
        select(_sold.c.subject_id, _sold.c.item, _sold.c.starts_on, _sold.c.ends_on).where(
            _sold.c.item.in_(names)
        )
    )
    for subject_id, *sold in rows:
        plans.setdefault(subject_id, []).append(SoldPlan(*sold))
    return Book(versions, plans)
