"""Closing a billing month: one invoice per account, however often it is tried and whoever tries.

The PDF is drawn between two transactions. The second reads everything again under the account's lock, and
keeps the invoice only if it still says the same: drawing takes seconds, and calls must not wait for it.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, insert, select

from billing.composing import compose
from billing.drawing import Draw, NotDrawn, drawing
from billing.facts import call_sums, read_contract, read_facts
from settings import BillingSettings
from store.billing_month import BillingMonth, day_of, month_of, parse_month
from store.credit import lock_account
from store.database import Database
from store.invoice_content import InvoiceContent, InvoiceLine, Issuer, Recipient, tax_sums, total, untaxed
from store.jobs import TakenJob, finish
from store.mails import WrittenMail, send_mail
from store.media import Media
from store.models import Account, Call, Charge, Invoice, InvoiceKind, PaymentKind, Reservation, new_id, now
from store.payments import due_on, mail_address_of, method_for, open_payment
from store.worker import Hopeless

log = logging.getLogger(__name__)

GRACE = timedelta(hours=3)
"""After a month's end, so that calls that go on are charged before it is closed."""

LONGEST_WAIT = timedelta(days=2)
"""A call that is still not charged then goes on the next month's invoice."""

MONTHS_BACK = 14
TRIES = 5

_accounts: Any = Account.__table__
_calls: Any = Call.__table__
_charges: Any = Charge.__table__
_held: Any = Reservation.__table__
_invoices: Any = Invoice.__table__


@dataclass(frozen=True)
class Due:
    account_id: str
    month: BillingMonth


def months_due(connection: Connection, at: datetime) -> list[Due]:
    """Months that are over and have no invoice, by account, oldest first."""
    last_over = month_of(at - GRACE).previous
    last = (
        select(_invoices.c.account_id, func.max(_invoices.c.month).label("month"))
        .where(_invoices.c.kind == InvoiceKind.INVOICE)
        .group_by(_invoices.c.account_id)
        .subquery()
    )
    rows = connection.execute(
        select(_accounts.c.id, _accounts.c.created_at, last.c.month).select_from(
            _accounts.outerjoin(last, last.c.account_id == _accounts.c.id)
        )
    ).all()
    due = []
    for account_id, created_at, closed in rows:
        month = parse_month(closed).next if closed else month_of(created_at)
        month = max(month, last_over.later(1 - MONTHS_BACK))
        while month <= last_over:
            due.append(Due(account_id, month))
            month = month.next
    return sorted(due, key=lambda one: (one.month, one.account_id))


async def close_months(database: Database, media: Media, issuer: BillingSettings, at: datetime) -> list[str]:
    """Issue every invoice that is due; gives their ids. Done twice, the second finds nothing to do.

    Raises NotDrawn where one could not be drawn, once all others are issued.
    """
    if not issuer.can_issue:
        return []
    issued: list[str] = []
    troubles: dict[str, str] = {}
    async with drawing() as draw:
        for due in await database.transaction(lambda connection: months_due(connection, at)):
            if due.account_id in troubles:
                # A later month must not be issued first: the earlier would never be.
                continue
            try:
                invoice_id = await close_month(database, media, draw, issuer, due, at)
            except NotDrawn as trouble:
                troubles[due.account_id] = f"{number_of(due.account_id, due.month, 0)}: {trouble}"
            else:
                issued += [invoice_id] if invoice_id else []
    if troubles:
        raise NotDrawn("; ".join(troubles.values()))
    return issued


async def close_month(
    database: Database, media: Media, draw: Draw, issuer: BillingSettings, due: Due, at: datetime
) -> str | None:
    """Issue one invoice; None where there is nothing to bill, or calls are still to be charged.

    Raises NotDrawn.
    """
    for _ in range(TRIES):
        content = await database.transaction(lambda connection: _draft(connection, issuer, due, at))
        if content is None:
            return None
        drawn = await _drawn(media, draw, content)

        def keep(connection: Connection, drawn: Drawn = drawn) -> str | None:
            lock_account(connection, due.account_id)
            content = _draft(connection, issuer, due, at)
            if content is None or content.digest != drawn.content.digest:
                return None
            return _keep(connection, drawn, new_id(), due, 0, None, at)

        kept = await database.transaction(keep)
        if kept is not None:
            return kept
    log.warning("a month changes all the time", extra={"action": "month_not_closed"})
    return None


@dataclass(frozen=True)
class Drawn:
    """A document, and its PDF as it lies in the media folder."""

    content: InvoiceContent
    pdf: str
    pdf_sha256: str


async def _drawn(media: Media, draw: Draw, content: InvoiceContent) -> Drawn:
    pdf = await draw(content)
    name = f"invoices/{content.month}/{content.digest[:40]}.pdf"
    await asyncio.to_thread(media.put, pdf, name)
    return Drawn(content, name, hashlib.sha256(pdf).hexdigest())


def _draft(connection: Connection, issuer: BillingSettings, due: Due, at: datetime) -> InvoiceContent | None:
    if _issued(connection, due, 0) or month_of(at) <= due.month:
        return None
    if _unfinished(connection, due) and at < due.month.ends + LONGEST_WAIT:
        return None
    lines = compose(read_facts(connection, due.account_id, due.month))
    if not lines:
        return None
    return _content(connection, issuer, due, lines, day_of(at))


def _unfinished(connection: Connection, due: Due) -> bool:
    """Whether calls of the month go on, or are not charged yet."""
    held = exists().where(_held.c.account_id == due.account_id, _held.c.month == str(due.month))
    uncharged = exists().where(
        _calls.c.account_id == due.account_id,
        _calls.c.started_at >= due.month.starts,
        _calls.c.started_at < due.month.ends,
        _calls.c.direction == "outbound",
        # A fax has none: it is paid for by its pages.
        _calls.c.destination_class.is_not(None),
        _calls.c.answered_at.is_not(None),
        _calls.c.ended_at.is_not(None),
        ~exists().where(_charges.c.call_id == _calls.c.id),
    )
    return bool(connection.execute(select(held | uncharged)).scalar())


def _content(
    connection: Connection, issuer: BillingSettings, due: Due, lines: list[InvoiceLine], issued_on: date
) -> InvoiceContent:
    to = read_contract(connection, due.account_id)
    method = method_for(connection, due.account_id, str(due.month))
    kind = PaymentKind(method.kind) if method is not None else PaymentKind.BANK_TRANSFER
    by_number, by_device = call_sums(connection, due.account_id, due.month)
    return InvoiceContent(
        number=number_of(due.account_id, due.month, 0),
        kind=InvoiceKind.INVOICE,
        month=str(due.month),
        period_from=due.month.first_day,
        period_to=due.month.last_day,
        issued_on=issued_on,
        due_on=due_on(kind, due.month, issued_on),
        issuer=issuer_of(issuer),
        recipient=Recipient(name=to.customer_name, postal_code=to.postal_code, address=to.address),
        payment_kind=kind,
        lines=lines,
        tax_sums=tax_sums(lines),
        untaxed=untaxed(lines),
        total=total(lines),
        calls_by_number=by_number,
        calls_by_device=by_device,
    )


def issuer_of(settings: BillingSettings) -> Issuer:
    return Issuer(
        name=settings.issuer_name,
        number=settings.issuer_number,
        address=settings.issuer_address,
        contact=settings.issuer_contact,
        bank_account=settings.bank_account,
    )


def number_of(account_id: str, month: BillingMonth, sequence: int) -> str:
    """The document's number: the same for the same document, whoever issues it."""
    plain = f"{month.year:04d}{month.month:02d}-{account_id[:10].upper()}"
    return f"{plain}-R{sequence}" if sequence else plain


def _issued(connection: Connection, due: Due, sequence: int) -> bool:
    same = exists().where(
        _invoices.c.account_id == due.account_id,
        _invoices.c.month == str(due.month),
        _invoices.c.sequence == sequence,
    )
    return bool(connection.execute(select(same)).scalar())


def _keep(
    connection: Connection,
    drawn: Drawn,
    invoice_id: str,
    due: Due,
    sequence: int,
    corrects_id: str | None,
    at: datetime,
) -> str:
    """Write the document, how it is paid, and the mail that tells of it; gives its id."""
    content = drawn.content
    connection.execute(
        insert(_invoices).values(
            id=invoice_id,
            number=content.number,
            account_id=due.account_id,
            month=content.month,
            sequence=sequence,
            kind=content.kind,
            corrects_id=corrects_id,
            issued_on=content.issued_on,
            due_on=content.due_on,
            customer_name=content.recipient.name,
            total=content.total,
            content=content.as_json(),
            digest=content.digest,
            pdf=drawn.pdf,
            pdf_sha256=drawn.pdf_sha256,
            created_at=at,
        )
    )
    if content.total > 0:
        open_payment(connection, due.account_id, invoice_id, due.month, content.total, content.issued_on)
    address = mail_address_of(connection, due.account_id)
    if address:
        send_mail(connection, due.account_id, _issued_mail(address, content))
    return invoice_id


def _issued_mail(address: str, content: InvoiceContent) -> WrittenMail:
    month = parse_month(content.month).label
    facts = (
        ("請求書番号", content.number),
        ("対象", month),
        ("ご請求金額(税込)", f"{content.total:,}円"),
        ("お支払期限", f"{content.due_on:%Y/%m/%d}"),
    )
    what = "請求書" if content.kind is InvoiceKind.INVOICE else "請求書の修正"
    return WrittenMail(
        address,
        f"{month}の{what}を発行しました",
        facts,
        "請求書は、お客様ページの請求明細からダウンロードできます。",
    )


# ---- corrections ---------------------------------------------------------------------------------


async def correct_invoice(database: Database, media: Media, issuer: BillingSettings, job: TakenJob) -> None:
    """Issue the document that the job orders. Done twice, it is there once. Raises Hopeless, NotDrawn."""
    if not issuer.can_issue:
        raise Hopeless("DENWABAN_ISSUER_NAME and _ISSUER_NUMBER are not set")
    at = now()
    while True:
        drawn_for = await database.transaction(lambda connection: _correction(connection, issuer, job, at))
        if drawn_for is None:
            break
        content, due, sequence, corrects_id = drawn_for
        async with drawing() as draw:
            drawn = await _drawn(media, draw, content)

        def keep(
            connection: Connection,
            drawn: Drawn = drawn,
            due: Due = due,
            sequence: int = sequence,
            corrects_id: str = corrects_id,
        ) -> bool:
            lock_account(connection, due.account_id)
            if _issued(connection, due, sequence):
                return False
            _keep(connection, drawn, job.subject_id, due, sequence, corrects_id, at)
            return True

        if await database.transaction(keep):
            break
    async with database.session() as session:
        await finish(session, job)


def _correction(
    connection: Connection, issuer: BillingSettings, job: TakenJob, at: datetime
) -> tuple[InvoiceContent, Due, int, str] | None:
    """What the correction says; None where it was issued already. Raises Hopeless."""
    if connection.execute(select(exists().where(_invoices.c.id == job.subject_id))).scalar():
        return None
    wrong = connection.execute(
        select(_invoices).where(
            _invoices.c.id == job.payload["invoice_id"], _invoices.c.account_id == job.account_id
        )
    ).first()
    if wrong is None:
        raise Hopeless("there is no such invoice")
    original = InvoiceContent.model_validate(wrong.content)
    due = Due(wrong.account_id, parse_month(wrong.month))
    last = select(func.max(_invoices.c.sequence)).where(
        _invoices.c.account_id == due.account_id, _invoices.c.month == str(due.month)
    )
    sequence = int(connection.execute(last).scalar_one()) + 1
    lines = [InvoiceLine.model_validate(line) for line in job.payload["lines"]]
    issued_on = day_of(at)
    content = original.model_copy(
        update={
            "number": number_of(due.account_id, due.month, sequence),
            "kind": InvoiceKind.CORRECTION,
            "issued_on": issued_on,
            "due_on": due_on(original.payment_kind, month_of(at), issued_on),
            "issuer": issuer_of(issuer),
            "lines": lines,
            "tax_sums": tax_sums(lines),
            "untaxed": untaxed(lines),
            "total": total(lines),
            "calls_by_number": [],
            "calls_by_device": [],
            "corrects": original.number,
            "corrects_issued_on": original.issued_on,
            "reason": str(job.payload["reason"]),
        }
    )
    return content, due, sequence, wrong.id
