"""How accounts pay: methods by month, payments of invoices, and the jobs that a provider is needed for."""

from datetime import date, datetime, timedelta
from typing import Any

import jpholiday
from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.billing_month import BillingMonth, month_of
from store.errors import Conflict, NotFound
from store.jobs import enqueue
from store.models import (
    Contract,
    MethodState,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentState,
    new_id,
    now,
)
from store.pages import Page, PageRequest, read_page
from store.sealing import seal

VERIFY_CARD = "verify_card"
"""Kind of job: have the provider look at a card's token (the subject is the payment method)."""

COLLECT = "collect_payment"
"""Kind of job: charge a card for a payment (the subject)."""

DEBIT_DAY = 27
_methods: Any = PaymentMethod.__table__
_payments: Any = Payment.__table__
_contracts: Any = Contract.__table__


def effective_month(at: datetime) -> BillingMonth:
    """The first month that a change made at `at` holds for: until the 25th the current one, then the next."""
    return month_of(at)


def due_on(kind: PaymentKind, month: BillingMonth, issued_on: date) -> date:
    """When an invoice of `month` is to be paid: cards at once, debits on the 27th, transfers at month's end.

    A day on which banks are closed moves on to the next on which they are not.
    """
    if kind is PaymentKind.CARD:
        return issued_on
    after = month.next
    if kind is PaymentKind.BANK_DEBIT:
        return business_day(date(after.year, after.month, DEBIT_DAY))
    end = after.next
    return business_day(date(end.year, end.month, 1) - timedelta(days=1))


def business_day(day: date) -> date:
    """`day`, or the next day that is no weekend, no holiday and not at the turn of the year."""
    while day.weekday() >= 5 or jpholiday.is_holiday(day) or (day.month, day.day) in TURN_OF_YEAR:
        day += timedelta(days=1)
    return day


TURN_OF_YEAR = {(12, 31), (1, 1), (1, 2), (1, 3)}


# ---- methods -------------------------------------------------------------------------------------


def method_for(connection: Connection, account_id: str, month: str) -> Row[Any] | None:
    """The method that pays for `month`; None where none was ever chosen: by transfer."""
    usable = select(_methods).where(
        _methods.c.account_id == account_id,
        _methods.c.effective_month <= month,
        _methods.c.state == MethodState.ACTIVE,
    )
    return connection.execute(
        usable.order_by(_methods.c.effective_month.desc(), _methods.c.created_at.desc()).limit(1)
    ).first()


async def read_methods(session: AsyncSession, account_id: str) -> list[PaymentMethod]:
    """Every method the account ever chose, the last first."""
    rows = select(PaymentMethod).where(PaymentMethod.account_id == account_id)
    return list(await session.scalars(rows.order_by(PaymentMethod.created_at.desc(), PaymentMethod.id)))


async def choose_method(
    session: AsyncSession,
    account_id: str,
    kind: PaymentKind,
    token: str | None,
    secret_key: str,
    by: str,
    at: datetime,
) -> PaymentMethod:
    """Choose how to pay from now on. A card is used once the provider has accepted its `token`."""
    is_card = kind is PaymentKind.CARD
    method = PaymentMethod(
        account_id=account_id,
        kind=kind,
        state=MethodState.VERIFYING if is_card else MethodState.ACTIVE,
        effective_month=str(effective_month(at)),
        sealed_token=seal(token, secret_key) if is_card and token else None,
        requested_by=by,
        created_at=at,
    )
    session.add(method)
    await session.flush()
    if is_card:
        enqueue(session, VERIFY_CARD, method.id, account_id)
    return method


# ---- payments ------------------------------------------------------------------------------------


def open_payment(
    connection: Connection,
    account_id: str,
    invoice_id: str,
    month: BillingMonth,
    amount: int,
    issued_on: date,
) -> PaymentKind:
    """Have the invoice paid by the method in force for its month; gives how."""
    method = method_for(connection, account_id, str(month))
    kind = PaymentKind(method.kind) if method is not None else PaymentKind.BANK_TRANSFER
    connection.execute(
        insert(_payments).values(
            id=new_id(),
            invoice_id=invoice_id,
            account_id=account_id,
            kind=kind,
            method_id=method.id if method is not None else None,
            amount=amount,
            state=PaymentState.WAITING,
            due_on=due_on(kind, month, issued_on),
            attempts=0,
            reminders=0,
            created_at=now(),
        )
    )
    return kind


async def list_payments(
    session: AsyncSession, account_id: str, state: PaymentState | None, request: PageRequest
) -> Page[Payment]:
    rows = select(Payment).where(Payment.account_id == account_id)
    if state is not None:
        rows = rows.where(Payment.state == state)
    return await read_page(session, rows, (Payment.created_at, Payment.id), request, newest_first=True)


async def get_payment(session: AsyncSession, account_id: str, payment_id: str) -> Payment:
    """Raises NotFound."""
    payment = await session.get(Payment, payment_id)
    if payment is None or payment.account_id != account_id:
        raise NotFound(payment_id)
    return payment


async def note_outcome(
    session: AsyncSession, account_id: str, payment_id: str, paid: bool, reason: str, at: datetime
) -> Payment:
    """What the bank said of a debit or transfer. Told twice it is told once.

    Raises NotFound, Conflict `payment_settled` where it is paid already, Conflict `card_payment`.
    """
    payment = await get_payment(session, account_id, payment_id)
    if payment.kind is PaymentKind.CARD:
        raise Conflict("card_payment")
    if payment.state is PaymentState.PAID and not paid:
        raise Conflict("payment_settled")
    if payment.state is not PaymentState.PAID:
        payment.state = PaymentState.PAID if paid else PaymentState.FAILED
        payment.paid_at = at if paid else None
        payment.reason_code = None if paid else "bank_refused"
        payment.reason = None if paid else (reason or "金融機関で処理できませんでした。")
    await session.flush()
    return payment


def mail_address_of(connection: Connection, account_id: str) -> str | None:
    address: str | None = connection.execute(
        select(_contracts.c.mail_address).where(_contracts.c.account_id == account_id)
    ).scalar()
    return address
