"""What a month's calls and fees come to, reckoned by somebody else.

An accountant's check: it reads the call details (CSV) and the tariff (TOML) as the customer and the operator
have them, and shares no line of code, and no way of reckoning, with the product. Money is counted in
ten-thousandths of a yen, in whole numbers; months by the text of a date; tax by hand.
"""

import csv
import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

TEN_THOUSANDTHS = 10_000
MOBILE = ("060", "070", "080", "090")
FREE = ("0120", "0800")
SHORT = ("110", "118", "119")


@dataclass
class Expected:
    """What the invoice of one month must say. Sums by what stands in front of the line's tax rate."""

    charges: dict[str, int] = field(default_factory=dict)
    """Yen by call, free calls too."""

    calls: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """By name and tax rate: how many calls, seconds, yen."""

    messages: dict[str, int] = field(default_factory=dict)
    """Yen for messages beyond those included, by number."""

    fees: int = 0
    total: int = 0


def expected_month(
    month: str, details: str, tariff: str, plans: Mapping[str, str], fees: Iterable[tuple[str, date]]
) -> Expected:
    """`plans` are codes by ID, `fees` codes with their first days; both hold to this day."""
    done, prices = Expected(), prices_of(tariff)
    for row, name, percent, yen in rated(details, tariff, plans):
        if billing_month(row["開始日時"][:10]) == month:
            done.charges[row["通話ID"]] = yen
            sums = done.calls.setdefault((name, percent), [0, 0, 0])
            for place, value in enumerate((1, int(row["通話秒数"]), yen)):
                sums[place] += value
    done.messages = messages(month, details, prices)
    sold = prices["items"] | prices["plans"]
    done.fees = sum(fee(sold[code], month, since) for code, since in fees)
    taxed = done.fees + sum(done.messages.values())
    taxed += sum(sums[2] for (_, percent), sums in done.calls.items() if percent == 10)
    exempt = sum(sums[2] for (_, percent), sums in done.calls.items() if percent == 0)
    done.total = taxed + taxed // 10 + exempt
    return done


def messages(month: str, details: str, prices: Mapping[str, Any]) -> dict[str, int]:
    price = prices["usage"]["rusurepo_message"]
    left: dict[str, int] = {}
    for row in csv.DictReader(io.StringIO(details.lstrip("\ufeff"))):
        if row["結果"] == "伝言あり" and billing_month(row["開始日時"][:10]) == month:
            left[row["電話番号"]] = left.get(row["電話番号"], 0) + 1
    paid = {number: count - price["included"] for number, count in left.items()}
    each = ten_thousandths(str(price["yen"]))
    return {number: count * each // TEN_THOUSANDTHS for number, count in paid.items() if count > 0}


def rated(
    details: str, tariff: str, plans: Mapping[str, str]
) -> Iterator[tuple[dict[str, str], str, int, int]]:
    """Every call out: its row, the name of its price, the rate of its tax, and whole yen."""
    prices = prices_of(tariff)
    for row in csv.DictReader(io.StringIO(details.lstrip("\ufeff"))):
        if row["区分"] == "発信":
            yield row, *cost(prices, row["相手先"], int(row["通話秒数"]), plans.get(row["端末"]))


def prices_of(tariff: str) -> dict[str, Any]:
    (prices,) = tomllib.loads(tariff, parse_float=str)["tariff"]
    return dict(prices)


def billing_month(day: str) -> str:
    """`2026-11-26` is in the month of 2026-12."""
    year, month, number = (int(part) for part in day.split("-"))
    if number > 25:
        month += 1
    if month > 12:
        year, month = year + 1, 1
    return f"{year}-{month:02}"


def cost(prices: Mapping[str, Any], dialled: str, seconds: int, plan: str | None) -> tuple[str, int, int]:
    """The line's name, the rate of its tax, and whole yen."""
    kind = kind_of(dialled.lstrip("'"))
    if kind == "free":
        return "無料", 0, 0
    if kind == "overseas":
        foreign = dialled.lstrip("'")
        fitting = [one for one in prices["overseas"] if foreign.startswith(one["prefix"])]
        line, percent, free_s = max(fitting, key=lambda one: len(one["prefix"])), 0, 0
    elif plan and kind in prices["plans"][plan]["classes"]:
        line, percent = prices["plans"][plan], 10
        free_s = line["free_s"]
    else:
        line, percent, free_s = prices["calls"][kind], 10, 0
    units = 0
    while free_s + units * line["unit_s"] < seconds:
        units += 1
    return line["label"], percent, units * ten_thousandths(str(line["yen"])) // TEN_THOUSANDTHS


def kind_of(dialled: str) -> str:
    if dialled.startswith("+"):
        return "overseas"
    if dialled in SHORT or dialled.startswith(FREE):
        return "free"
    if dialled.startswith(MOBILE):
        return "mobile"
    if dialled.startswith("050"):
        return "ip"
    if dialled.startswith("0570"):
        return "navi"
    return "special" if len(dialled) == 3 else "fixed"


def ten_thousandths(yen: str) -> int:
    whole, _, part = yen.partition(".")
    return int(whole) * TEN_THOUSANDTHS + int((part + "0000")[:4])


def fee(item: Mapping[str, Any], month: str, since: date) -> int:
    """The month's share of a fee, day by day, and what is paid once."""
    year, number = (int(part) for part in month.split("-"))
    last = date(year, number, 25)
    day = first = (date(year, number, 1) - timedelta(days=1)).replace(day=26)
    whole = used = 0
    while day <= last:
        whole, used, day = whole + 1, used + (day >= since), day + timedelta(days=1)
    once = item.get("initial", 0) if first <= since <= last else 0
    return int(item["monthly"]) * used // whole + int(once)
