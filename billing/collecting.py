"""Cards: looking at a token, charging an invoice, and what follows when that fails.

Before a card is charged the attempt is committed, so that whoever comes after a crash tries with the same
key: the provider does it once.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.provider import Away, Card, Declined, Paid, Pending, Provider
from store.database import Database
from store.errors import SealBroken
from store.jobs import TakenJob, enqueue, finish, refuse_lost
from store.mails import WrittenMail, send_mail
from store.models import (
    Invoice,
    MethodState,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentState,
    now,
)
from store.payments import COLLECT, mail_address_of
from store.sealing import unseal
from store.worker import Later, retry_s

log = logging.getLogger(__name__)

MOST_CHARGES = 3
AGAIN_IN = timedelta(days=3)
LOOK_AGAIN_S = 60.0
AWAY_S = 30.0
NO_PROVIDER = "カード決済は現在ご利用いただけません。運用者にお問い合わせください。"


@dataclass(frozen=True)
class Parts:
    database: Database
    secret_key: str
    provider: Provider | None
    """None: no card can be taken or charged."""


# ---- a new card ----------------------------------------------------------------------------------


async def verify_card(parts: Parts, job: TakenJob) -> None:
    """Have the provider keep the card, or say why it does not. Raises Later."""
    async with parts.database.session() as session:
        method = await session.get(PaymentMethod, job.subject_id)
        if method is None or method.state is not MethodState.VERIFYING or method.sealed_token is None:
            await finish(session, job)
            return
        sealed, account_id = method.sealed_token, method.account_id
    try:
        if parts.provider is None:
            raise Declined("no_provider", NO_PROVIDER)
        token = unseal(sealed, parts.secret_key)
        card = await parts.provider.register(token, account_id, f"register-{job.subject_id}")
    except Away as away:
        log.warning("a card waits: %s", away.code, extra={"action": "card_waits"})
        raise Later(away.code, retry_s(job.attempts), counts=False) from None
    except SealBroken:
        await _refuse_card(
            parts, job, "unreadable", "カードの登録情報を読み取れません。登録し直してください。"
        )
    except Declined as declined:
        await _refuse_card(parts, job, declined.code, declined.reason)
    else:
        await _take_card(parts, job, card)


async def _take_card(parts: Parts, job: TakenJob, card: Card) -> None:
    async with parts.database.session() as session:
        method = await session.get_one(PaymentMethod, job.subject_id)
        method.state, method.sealed_token = MethodState.ACTIVE, None
        method.customer_ref, method.method_ref = card.customer_ref, card.method_ref
        method.card_brand, method.card_last4, method.card_expires = card.brand, card.last4, card.expires
        failed = select(Payment).where(
            Payment.account_id == method.account_id,
            Payment.kind == PaymentKind.CARD,
            Payment.state == PaymentState.FAILED,
        )
        for payment in await session.scalars(failed):
            # The card before could not pay these: this one may.
            payment.state = PaymentState.WAITING
            enqueue(session, COLLECT, payment.id, payment.account_id)
        await finish(session, job)


async def _refuse_card(parts: Parts, job: TakenJob, code: str, reason: str) -> None:
    async with parts.database.session() as session:
        method = await session.get_one(PaymentMethod, job.subject_id)
        method.state, method.sealed_token = MethodState.REFUSED, None
        method.reason_code, method.reason = code, reason
        title = "クレジットカードを登録できませんでした"
        body = f"{reason}\nそれまでは、以前のお支払方法が使われます。"
        await mail(session, method.account_id, title, (), body)
        await finish(session, job)


# ---- charging ------------------------------------------------------------------------------------


async def collect(parts: Parts, job: TakenJob) -> None:
    """Charge the card that pays for an invoice, once. Raises Later."""
    begun = await _begin(parts, job)
    if begun is None:
        return
    payment, card, description = begun
    try:
        if parts.provider is None:
            raise Away("no_provider", NO_PROVIDER)
        if payment.provider_ref:
            outcome = await parts.provider.look(payment.provider_ref)
        else:
            key = f"charge-{payment.id}-{payment.attempts}"
            outcome = await parts.provider.charge(card, payment.amount, description, key)
    except Away as away:
        await _note_away(parts, job, away)
        raise Later(away.code, AWAY_S, counts=False) from None
    except Declined as declined:
        await _note_declined(parts, job, declined)
        return
    match outcome:
        case Paid(ref):
            await _note_paid(parts, job, ref)
        case Pending(ref):
            async with parts.database.session() as session:
                (await session.get_one(Payment, payment.id)).provider_ref = ref
            raise Later("the provider has not decided", LOOK_AGAIN_S, counts=False)


async def _begin(parts: Parts, job: TakenJob) -> tuple[Payment, Card, str] | None:
    """The payment, its attempt counted before it is made; None where nothing is to be done."""
    async with parts.database.session() as session:
        await refuse_lost(session, job)
        payment = await session.get(Payment, job.subject_id)
        method = (
            await session.get(PaymentMethod, payment.method_id) if payment and payment.method_id else None
        )
        if (
            payment is None
            or method is None
            or payment.kind is not PaymentKind.CARD
            or payment.state not in (PaymentState.WAITING, PaymentState.PROCESSING)
        ):
            await finish(session, job)
            return None
        if payment.state is PaymentState.WAITING:
            payment.state, payment.attempts = PaymentState.PROCESSING, payment.attempts + 1
            payment.method_id = method.id
        invoice = await session.get_one(Invoice, payment.invoice_id)
        card = Card(
            method.customer_ref or "",
            method.method_ref or "",
            method.card_brand or "",
            method.card_last4 or "",
            method.card_expires or "",
        )
        return payment, card, invoice.number


async def _card_for(session: AsyncSession, payment: Payment) -> PaymentMethod | None:
    """The account's youngest card; the one that an attempt was begun with, until that is decided."""
    if payment.state is PaymentState.PROCESSING and payment.method_id:
        return await session.get(PaymentMethod, payment.method_id)
    usable = select(PaymentMethod).where(
        PaymentMethod.account_id == payment.account_id,
        PaymentMethod.kind == PaymentKind.CARD,
        PaymentMethod.state == MethodState.ACTIVE,
    )
    return await session.scalar(usable.order_by(PaymentMethod.created_at.desc()).limit(1))


async def _note_away(parts: Parts, job: TakenJob, away: Away) -> None:
    async with parts.database.session() as session:
        payment = await session.get_one(Payment, job.subject_id)
        payment.reason_code, payment.reason = away.code, away.reason


async def _note_paid(parts: Parts, job: TakenJob, ref: str) -> None:
    async with parts.database.session() as session:
        payment = await session.get_one(Payment, job.subject_id)
        payment.state, payment.paid_at, payment.provider_ref = PaymentState.PAID, now(), ref
        payment.reason_code = payment.reason = None
        await finish(session, job)


async def _note_declined(parts: Parts, job: TakenJob, declined: Declined) -> None:
    """Tell the customer, and try again in a few days, three times in all."""
    async with parts.database.session() as session:
        payment = await session.get_one(Payment, job.subject_id)
        payment.state, payment.provider_ref = PaymentState.FAILED, None
        payment.reason_code, payment.reason = declined.code, declined.reason
        again = payment.attempts < MOST_CHARGES
        if again:
            enqueue(session, COLLECT, payment.id, payment.account_id, run_at=now() + AGAIN_IN)
            payment.state = PaymentState.WAITING
        follows = (
            f"{AGAIN_IN.days}日後にもう一度お支払いを試みます。"
            if again
            else "お支払方法を変更するか、お問い合わせください。"
        )
        await mail(
            session,
            payment.account_id,
            "カードでのお支払いができませんでした",
            await _facts(session, payment),
            f"{declined.reason}\n{follows}",
        )
        await finish(session, job)


# ---- what is overdue, cards that expire ----------------------------------------------------------


async def _facts(session: AsyncSession, payment: Payment) -> tuple[tuple[str, str], ...]:
    invoice = await session.get_one(Invoice, payment.invoice_id)
    return (
        ("請求書番号", invoice.number),
        ("ご請求金額(税込)", f"{payment.amount:,}円"),
        ("お支払期限", f"{payment.due_on:%Y/%m/%d}"),
    )


async def remind(session: AsyncSession, payment: Payment, at: datetime) -> None:
    """One dunning mail."""
    payment.reminders += 1
    facts = await _facts(session, payment)
    title = f"お支払いのお願い({payment.reminders}回目)"
    body = (
        f"{payment.reason or 'お支払期限までにお支払いを確認できませんでした。'}\n"
        "行き違いの場合はご容赦ください。"
    )
    await mail(session, payment.account_id, title, facts, body)


async def mail(
    session: AsyncSession, account_id: str, title: str, facts: tuple[tuple[str, str], ...], body: str
) -> None:
    """To the contract's address, where it has one."""
    connection = await session.connection()
    address = await connection.run_sync(mail_address_of, account_id)
    if address:
        await connection.run_sync(send_mail, account_id, WrittenMail(address, title, facts, body))
