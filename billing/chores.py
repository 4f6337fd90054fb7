"""What billing does now and then, by one process of all; every chore takes its time as an argument."""

from datetime import date, datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.collecting import mail, remind
from store.billing_month import day_of
from store.database import Database
from store.jobs import enqueue
from store.models import (
    Job,
    MethodState,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentState,
)
from store.payments import COLLECT, read_methods

REMIND_AFTER = timedelta(days=3)
"""So long after the due day, and then again and again."""

MOST_REMINDERS = 3
WARN_BEFORE = timedelta(days=45)
"""A card that expires so soon is told of, once each calendar month."""


async def start_collecting(database: Database, at: datetime) -> int:
    """Have cards charged for payments that are due and were never tried."""
    async with database.session() as session:
        rows = select(Payment).where(
            Payment.kind == PaymentKind.CARD,
            Payment.state == PaymentState.WAITING,
            Payment.attempts == 0,
            Payment.due_on <= day_of(at),
        )
        begun = 0
        for payment in await session.scalars(rows.with_for_update(skip_locked=True)):
            if not await _has_job(session, payment.id):
                enqueue(session, COLLECT, payment.id, payment.account_id)
                begun += 1
        return begun


async def _has_job(session: AsyncSession, payment_id: str) -> bool:
    same = select(Job.id).where(Job.kind == COLLECT, Job.subject_id == payment_id)
    return await session.scalar(same.limit(1)) is not None


async def remind_overdue(database: Database, at: datetime) -> int:
    """Send dunning mails: three days after the due day, then every three days, three in all."""
    today = day_of(at)
    before = today - REMIND_AFTER
    async with database.session() as session:
        overdue = select(Payment).where(
            Payment.kind != PaymentKind.CARD,
            Payment.state.in_((PaymentState.WAITING, PaymentState.FAILED)),
            Payment.due_on <= before,
            Payment.reminders < MOST_REMINDERS,
            or_(Payment.reminded_on.is_(None), Payment.reminded_on <= before),
        )
        reminded = 0
        for payment in await session.scalars(overdue.with_for_update(skip_locked=True)):
            payment.reminded_on = today
            await remind(session, payment, at)
            reminded += 1
        return reminded


async def warn_of_expiry(database: Database, at: datetime) -> int:
    """Tell of cards in use that expire soon, or have: once each calendar month."""
    today = day_of(at)
    this_month, soon = f"{today:%Y-%m}", f"{today + WARN_BEFORE:%Y-%m}"
    warned = 0
    async with database.session() as session:
        expiring = select(PaymentMethod).where(
            PaymentMethod.kind == PaymentKind.CARD,
            PaymentMethod.state == MethodState.ACTIVE,
            PaymentMethod.card_expires <= soon,
            or_(PaymentMethod.warned_month.is_(None), PaymentMethod.warned_month < this_month),
        )
        for card in await session.scalars(expiring.with_for_update(skip_locked=True)):
            card.warned_month = this_month
            newest = next(
                one for one in await read_methods(session, card.account_id) if one.state is MethodState.ACTIVE
            )
            if newest.id == card.id:
                await _tell_expiry(session, card, today)
                warned += 1
    return warned


async def _tell_expiry(session: AsyncSession, card: PaymentMethod, today: date) -> None:
    expires = card.card_expires or ""
    gone = expires < f"{today:%Y-%m}"
    title = (
        "クレジットカードの有効期限が切れています" if gone else "クレジットカードの有効期限が近づいています"
    )
    facts = (("カード", f"{card.card_brand} **** {card.card_last4}"), ("有効期限", expires.replace("-", "/")))
    await mail(
        session,
        card.account_id,
        title,
        facts,
        "お客様ページの「決済方法の変更」からカードを更新してください。",
    )
