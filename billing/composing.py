"""From a month's facts to the lines of its invoice: pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from store.billing_month import BillingMonth
from store.invoice_content import InvoiceLine, Section
from store.tariff import Item, Plan, Tariff, UsageRate

SECTIONS = {"account": Section.BASIC, "number": Section.OPTION, "device": Section.OPTION}


@dataclass(frozen=True)
class Sold:
    """An item or plan that was sold in the month, from and to its last day or beyond."""

    item: str
    subject: str
    """The number or ID as people know it; empty for the account."""

    starts_on: date
    ends_on: date | None


@dataclass(frozen=True)
class CallGroup:
    """The month's charged calls of one line of the tariff."""

    label: str
    tax_percent: int
    calls: int
    seconds: int
    amount: int


@dataclass(frozen=True)
class Used:
    """How many of something were used through one number."""

    usage: str
    subject: str
    count: int


@dataclass(frozen=True)
class MonthFacts:
    """All that an invoice is made of. `tariffs` has every version with its first day, oldest first."""

    month: BillingMonth
    tariffs: Sequence[tuple[date, Tariff]]
    sold: Sequence[Sold]
    calls: Sequence[CallGroup]
    used: Sequence[Used]
    top_ups: Sequence[int]
    covered: int
    """What top-ups, of this month or earlier, paid of the month's calls."""


def compose(facts: MonthFacts) -> list[InvoiceLine]:
    """The lines, in the order in which they are shown. Lines of nothing are left out."""
    lines = [
        *_fees(facts),
        *(_call_line(group) for group in facts.calls if group.calls),
        *_usage(facts),
        *_deposits(facts),
    ]
    order = list(Section)
    return sorted(lines, key=lambda line: order.index(line.section))


def prorated(monthly: int, month: BillingMonth, starts_on: date, ends_on: date | None) -> tuple[int, int]:
    """The fee for the days in use, rounded down, and how many days: by the days of the billing month."""
    first, last = max(starts_on, month.first_day), min(ends_on or month.last_day, month.last_day)
    days = max(0, (last - first).days + 1)
    return monthly * days // month.days, days


def _fees(facts: MonthFacts) -> Iterator[InvoiceLine]:
    month = facts.month
    for sold in sorted(facts.sold, key=lambda one: (one.item, one.subject, one.starts_on)):
        tariff = tariff_on(facts.tariffs, max(sold.starts_on, month.first_day))
        fee = _fee(tariff, sold.item) if tariff else None
        amount, days = prorated(fee.monthly if fee else 0, month, sold.starts_on, sold.ends_on)
        if tariff is None or fee is None or not days:
            continue
        whole = days == month.days
        section = SECTIONS[fee.per] if isinstance(fee, Item) else Section.OPTION
        period = "" if whole else f"日割 {days}/{month.days}日"
        yield InvoiceLine(
            section=section,
            label=fee.label,
            detail=" ".join(part for part in (sold.subject, period) if part),
            unit="か月" if whole else "",
            unit_price=fee.monthly,
            amount=amount,
            tax_percent=tariff.tax_percent,
        )
        if isinstance(fee, Item) and fee.initial and month.first_day <= sold.starts_on <= month.last_day:
            yield InvoiceLine(
                section=Section.INITIAL,
                label=f"{fee.label} 初期費用",
                detail=sold.subject,
                unit="件",
                unit_price=fee.initial,
                amount=fee.initial,
                tax_percent=tariff.tax_percent,
            )


def _fee(tariff: Tariff, code: str) -> Item | Plan | None:
    return tariff.items.get(code) or tariff.plans.get(code)


def _call_line(group: CallGroup) -> InvoiceLine:
    minutes, seconds = divmod(group.seconds, 60)
    return InvoiceLine(
        section=Section.CALL,
        label=f"通話料 {group.label}",
        detail=f"{minutes:,}分{seconds:02d}秒",
        quantity=group.calls,
        unit="件",
        amount=group.amount,
        tax_percent=group.tax_percent,
    )


def _usage(facts: MonthFacts) -> Iterator[InvoiceLine]:
    tariff = tariff_on(facts.tariffs, facts.month.first_day)
    for used in sorted(facts.used, key=lambda one: (one.usage, one.subject)):
        rate = tariff.usage.get(used.usage) if tariff else None
        if tariff is None or rate is None or used.count <= rate.included:
            continue
        paid = used.count - rate.included
        yield InvoiceLine(
            section=Section.USAGE,
            label=rate.label,
            detail=used.subject,
            quantity=paid,
            unit=rate.unit,
            unit_price=int(rate.yen) if rate.yen == int(rate.yen) else None,
            amount=usage_price(rate, used.count),
            tax_percent=tariff.percent_of(rate.tax),
        )


def usage_price(rate: UsageRate, count: int) -> int:
    """Whole yen, rounded down, for all beyond what is included."""
    return int(max(0, count - rate.included) * rate.yen)


def _deposits(facts: MonthFacts) -> Iterator[InvoiceLine]:
    """Top-ups are paid in advance: no sale yet. What they paid for is taxed as calls, and taken off here."""
    for amount in sorted(set(facts.top_ups), reverse=True):
        count = list(facts.top_ups).count(amount)
        yield InvoiceLine(
            section=Section.DEPOSIT,
            label="チャージ(前受金)",
            quantity=count,
            unit="回",
            unit_price=amount,
            amount=count * amount,
            tax_percent=None,
        )
    if facts.covered:
        yield InvoiceLine(
            section=Section.DEPOSIT, label="チャージからの充当", amount=-facts.covered, tax_percent=None
        )


def tariff_on(tariffs: Iterable[tuple[date, Tariff]], day: date) -> Tariff | None:
    """The version in force on `day`."""
    in_force = [tariff for first, tariff in tariffs if first <= day]
    return in_force[-1] if in_force else None
