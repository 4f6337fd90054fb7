"""Invoices that the tests draw and read."""

from datetime import date

from billing.composing import CallGroup, MonthFacts, Sold, Used, compose
from store.billing_month import BillingMonth
from store.invoice_content import (
    CallSum,
    InvoiceContent,
    InvoiceLine,
    Issuer,
    Recipient,
    tax_sums,
    total,
    untaxed,
)
from store.models import InvoiceKind, PaymentKind
from tests.tariffs import example_tariff

NOVEMBER = BillingMonth(2026, 11)


def usual_facts(month: BillingMonth = NOVEMBER) -> MonthFacts:
    """A small company's month: a device since the 10th, ten-minute plan, calls over the ceiling."""
    tariff = example_tariff()
    return MonthFacts(
        month=month,
        tariffs=[(tariff.valid_from, tariff)],
        sold=[
            Sold("basic", "", date(2025, 1, 1), None),
            Sold("number", "03-1234-5678", date(2025, 1, 1), None),
            Sold("number", "03-1234-5679", date(2025, 1, 1), date(2026, 11, 5)),
            Sold("rusurepo", "03-1234-5678", date(2025, 1, 1), None),
            Sold("device", "1001", date(2025, 1, 1), None),
            Sold("device", "1002", date(2026, 11, 10), None),
            Sold("kakehodai10", "1001", date(2025, 1, 1), None),
        ],
        calls=[
            CallGroup("固定電話", 10, 120, 21_600, 1_000),
            CallGroup("携帯電話", 10, 300, 36_000, 11_111),
            CallGroup("アメリカ・カナダ", 0, 3, 1_234, 185),
        ],
        used=[Used("rusurepo_message", "03-1234-5678", 112), Used("fax_page", "03-1234-5679", 7)],
        top_ups=[5_000],
        covered=2_296,
    )


def content_of(lines: list[InvoiceLine], **changes: object) -> InvoiceContent:
    fields = {
        "number": "202611-000001",
        "kind": InvoiceKind.INVOICE,
        "month": "2026-11",
        "period_from": NOVEMBER.first_day,
        "period_to": NOVEMBER.last_day,
        "issued_on": date(2026, 11, 26),
        "due_on": date(2026, 12, 28),
        "issuer": Issuer(
            name="デモ通信株式会社",
            number="T9000000000000",
            address="東京都千代田区千代田1-1",
            contact="電話 03-0000-0000",
            bank_account="デモ銀行 本店 普通 0000000 デモツウシン(カ",
        ),
        "recipient": Recipient(
            name="株式会社あさひ商事",
            postal_code="100-0001",
            address="東京都千代田区丸の内1-2-3 あさひビル5階",
        ),
        "payment_kind": PaymentKind.BANK_TRANSFER,
        "lines": lines,
        "tax_sums": tax_sums(lines),
        "untaxed": untaxed(lines),
        "total": total(lines),
        "calls_by_number": [CallSum(name="03-1234-5678", calls=423, seconds=58_834, amount=12_296)],
    }
    return InvoiceContent.model_validate(fields | changes)


def usual_invoice() -> InvoiceContent:
    return content_of(compose(usual_facts()))


def long_invoice(lines: int) -> InvoiceContent:
    one = usual_invoice().lines
    many = [one[index % len(one)].model_copy(update={"detail": f"行{index}"}) for index in range(lines)]
    return content_of(many)
