"""The tariff: what calls, options and top-ups cost, from a file that the operator edits.

A file holds versions, each valid from a day on (`[[tariff]]`, TOML). `asterisk-conf` has nothing of it:
prices change without a restart. `billing/tariff.toml` is a full example.
"""

import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

FREE_CLASSES = frozenset({"emergency", "internal", "free"})
"""Destinations that never cost anything and that no ceiling touches."""

OVERSEAS = "overseas"
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,29}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Yen = Annotated[int, Field(ge=0, le=100_000_000)]
UnitYen = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=12, decimal_places=4)]
Prefix = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{0,14}$")]


class TariffRefused(Exception):
    """The file cannot be used; `problems` says why, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the tariff cannot be used:\n" + "\n".join(f"  - {line}" for line in problems))


class TaxClass(StrEnum):
    STANDARD = "standard"
    EXEMPT = "exempt"
    """免税: international calls."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Part):
    """So much for every unit of time that was begun."""

    label: Label
    unit_s: int = Field(ge=1, le=3600)
    yen: UnitYen
    tax: TaxClass = TaxClass.STANDARD


class OverseasRate(Rate):
    prefix: Prefix
    tax: TaxClass = TaxClass.EXEMPT


class Plan(_Part):
    """かけ放題 of one ID: calls to `classes` are free, or free for `free_s` seconds; then by the unit."""

    label: Label
    monthly: Yen
    classes: frozenset[Code] = Field(min_length=1)
    free_s: int | None = Field(default=None, ge=1, le=86400)
    """None: without a limit."""

    unit_s: int = Field(default=30, ge=1, le=3600)
    yen: UnitYen = Decimal(0)


class Item(_Part):
    """A fee per month, and once at the start; `per` what it is sold for."""

    label: Label
    per: Literal["account", "number", "device"]
    monthly: Yen
    initial: Yen = 0


class UsageRate(_Part):
    """So much for each, beyond those that are included per month and number."""

    label: Label
    yen: UnitYen
    unit: Annotated[str, StringConstraints(max_length=4)] = "件"
    included: int = Field(default=0, ge=0)
    tax: TaxClass = TaxClass.STANDARD


class CreditRules(_Part):
    """All without tax."""

    ceiling: Yen = 10_000
    top_up: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    warn_at: Yen = 7_500


class Tariff(_Part):
    """One version: everything that holds from `valid_from` (a day in Japan) until the next."""

    valid_from: date
    name: Label
    tax_percent: int = Field(default=10, ge=0, le=99)
    credit: CreditRules = CreditRules()
    calls: dict[Code, Rate]
    overseas: list[OverseasRate] = []
    plans: dict[Code, Plan] = {}
    items: dict[Code, Item] = {}
    usage: dict[Code, UsageRate] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        for code in FREE_CLASSES & set(self.calls):
            yield f"calls.{code}: never costs anything, and stands in no tariff"
        if OVERSEAS in self.calls:
            yield "calls.overseas: overseas calls are rated by [[tariff.overseas]] with a prefix"
        prefixes = [one.prefix for one in self.overseas]
        for prefix in sorted({one for one in prefixes if prefixes.count(one) > 1}):
            yield f"overseas: {prefix} stands twice"
        for code, plan in self.plans.items():
            for unknown in sorted(plan.classes - set(self.calls)):
                yield f"plans.{code}.classes: there is no calls.{unknown}"
            if code in self.items:
                yield f"plans.{code}: there is an item of the same name"

    def percent_of(self, tax: TaxClass) -> int:
        return self.tax_percent if tax is TaxClass.STANDARD else 0

    def as_json(self) -> dict[str, Any]:
        """What `Tariff.model_validate` reads again, the same for the same tariff."""
        said: dict[str, Any] = self.model_dump(mode="json")
        for plan in said["plans"].values():
            plan["classes"].sort()
        return said


class _File(_Part):
    tariff: list[Tariff] = Field(min_length=1)


def parse_tariffs(text: str) -> list[Tariff]:
    """Read a tariff file, oldest version first. Raises TariffRefused."""
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as wrong:
        raise TariffRefused([f"no TOML: {wrong}"]) from None
    try:
        read = _File.model_validate(content)
    except ValidationError as wrong:
        raise TariffRefused([_in_words(dict(error)) for error in wrong.errors()]) from None
    versions = sorted(read.tariff, key=lambda version: version.valid_from)
    days = [version.valid_from for version in versions]
    twice = sorted({day for day in days if days.count(day) > 1})
    if twice:
        raise TariffRefused([f"two versions are valid from {day}" for day in twice])
    return versions


def _in_words(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" + (f" (is {error['input']!r})" if error["type"] != "missing" else "")
