"""What an invoice says: frozen when it is issued, the source of its PDF, CSV and of what the API shows.

適格請求書: issuer and registration number, period, what for, the sums per tax rate, the tax per rate, and
the recipient. Tax is rounded down once per rate and document, never per line.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from store.models import InvoiceKind, PaymentKind


class Section(StrEnum):
    BASIC = "basic"
    OPTION = "option"
    INITIAL = "initial"
    CALL = "call"
    USAGE = "usage"
    DEPOSIT = "deposit"
    """チャージ and what it paid for: no sale, so without tax (不課税)."""

    ADJUSTMENT = "adjustment"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class InvoiceLine(_Part):
    """Yen without tax. `tax_percent` 0: 免税; None: 不課税. `unit_price` None: each has its own."""

    section: Section
    label: str
    detail: str = ""
    quantity: int = 1
    unit: str = ""
    unit_price: int | None = None
    amount: int
    tax_percent: int | None


class TaxSum(_Part):
    """The lines of one rate together, and their tax."""

    percent: int
    net: int
    tax: int


class CallSum(_Part):
    """The month's calls from one number or one ID."""

    name: str
    calls: int
    seconds: int
    amount: int


class Issuer(_Part):
    name: str
    number: str
    address: str = ""
    contact: str = ""
    bank_account: str = ""


class Recipient(_Part):
    name: str
    postal_code: str = ""
    address: str = ""


class InvoiceContent(_Part):
    number: str
    kind: InvoiceKind
    month: str
    period_from: date
    period_to: date
    issued_on: date
    due_on: date
    issuer: Issuer
    recipient: Recipient
    payment_kind: PaymentKind
    lines: list[InvoiceLine]
    tax_sums: list[TaxSum]
    untaxed: int
    total: int
    calls_by_number: list[CallSum] = []
    calls_by_device: list[CallSum] = []
    corrects: str | None = None
    """The number of the document that this one corrects."""

    corrects_issued_on: date | None = None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = self.model_dump(mode="json")
        return said

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says."""
        canonical = json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def tax_of(net: int, percent: int) -> int:
    """Whole yen, rounded towards nothing: of a refund as much tax is given back as was taken."""
    tax = abs(net) * percent // 100
    return tax if net >= 0 else -tax


def tax_sums(lines: Iterable[InvoiceLine]) -> list[TaxSum]:
    """One per rate, the highest first."""
    nets: dict[int, int] = {}
    for line in lines:
        if line.tax_percent is not None:
            nets[line.tax_percent] = nets.get(line.tax_percent, 0) + line.amount
    return [
        TaxSum(percent=percent, net=net, tax=tax_of(net, percent))
        for percent, net in sorted(nets.items(), reverse=True)
    ]


def untaxed(lines: Iterable[InvoiceLine]) -> int:
    return sum(line.amount for line in lines if line.tax_percent is None)


def total(lines: list[InvoiceLine]) -> int:
    """What is to be paid, with tax."""
    return untaxed(lines) + sum(one.net + one.tax for one in tax_sums(lines))


def rate_label(percent: int | None) -> str:
    if percent is None:
        return "不課税"
    return f"{percent}%" if percent else "免税"
