"""Issued invoices: found, read, kept. What was issued never changes; a correction is another document."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from store.billing_month import BillingMonth, month_of
from store.e164 import E164, national
from store.errors import NotFound
from store.invoice_content import InvoiceLine
from store.jobs import enqueue
from store.models import Charge, Device, Invoice, PhoneNumber, new_id
from store.pages import Page, PageRequest, read_page

SHOWN_MONTHS = 14
CORRECT_INVOICE = "correct_invoice"
"""Kind of job: issue a document that corrects an invoice. The subject is the id that it will have."""


@dataclass(frozen=True)
class InvoiceFilter:
    """Which invoices; None means any. Without months the last 14 are meant."""

    month_from: BillingMonth | None = None
    month_to: BillingMonth | None = None
    total_from: int | None = None
    total_to: int | None = None
    name: str | None = None
    """A part of the recipient's name."""


def shown_since(at: datetime) -> BillingMonth:
    """The oldest of the 14 months that are shown by themselves: the running one is not over."""
    return month_of(at).later(-SHOWN_MONTHS)


async def list_invoices(
    session: AsyncSession, account_id: str | None, wanted: InvoiceFilter, request: PageRequest, at: datetime
) -> Page[Invoice]:
    """A page of the account's invoices (None: everybody's), newest first, without their content."""
    rows = select(Invoice).where(*_conditions(account_id, wanted, at)).options(defer(Invoice.content))
    return await read_page(session, rows, (Invoice.created_at, Invoice.id), request, newest_first=True)


def _conditions(account_id: str | None, wanted: InvoiceFilter, at: datetime) -> list[ColumnElement[bool]]:
    since = wanted.month_from or (None if wanted.month_to else shown_since(at))
    conditions: list[ColumnElement[bool]] = []
    if account_id is not None:
        conditions.append(Invoice.account_id == account_id)
    if since is not None:
        conditions.append(Invoice.month >= str(since))
    if wanted.month_to is not None:
        conditions.append(Invoice.month <= str(wanted.month_to))
    if wanted.total_from is not None:
        conditions.append(Invoice.total >= wanted.total_from)
    if wanted.total_to is not None:
        conditions.append(Invoice.total <= wanted.total_to)
    if wanted.name is not None:
        conditions.append(Invoice.customer_name.contains(wanted.name, autoescape=True))
    return conditions


async def get_invoice(session: AsyncSession, account_id: str, invoice_id: str) -> Invoice:
    """Raises NotFound."""
    invoice = await session.get(Invoice, invoice_id)
    if invoice is None or invoice.account_id != account_id:
        raise NotFound(invoice_id)
    return invoice


def charges_of(invoice: Invoice) -> Select[Any]:
    """The charges that the month's invoice sums up, by time."""
    rows = select(Charge).where(Charge.account_id == invoice.account_id, Charge.month == invoice.month)
    return rows.order_by(Charge.at, Charge.key)


async def order_correction(
    session: AsyncSession, invoice: Invoice, lines: list[InvoiceLine], reason: str, by: str
) -> str:
    """Have a correcting document issued; gives the id that it will have."""
    correction_id = new_id()
    payload = {
        "invoice_id": invoice.id,
        "reason": reason,
        "by": by,
        "lines": [line.model_dump(mode="json") for line in lines],
    }
    enqueue(session, CORRECT_INVOICE, correction_id, invoice.account_id, payload)
    return correction_id


async def names_of(session: AsyncSession, account_id: str) -> tuple[dict[str, str], dict[str, str]]:
    """The account's numbers, as dialled in Japan, and its devices' names, by id."""
    numbers = await session.execute(
        select(PhoneNumber.id, PhoneNumber.e164).where(PhoneNumber.account_id == account_id)
    )
    devices = await session.execute(select(Device.id, Device.username).where(Device.account_id == account_id))
    dialled = {number_id: national(E164(e164)) for number_id, e164 in numbers}
    return dialled, {row.id: row.username for row in devices}
