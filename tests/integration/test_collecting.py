"""Payments: cards through the provider, what fails and is told, what is overdue. On both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from billing.chores import remind_overdue, start_collecting, warn_of_expiry
from billing.collecting import Parts, collect, verify_card
from billing.stripe import Stripe, open_stripe_session
from store.billing_month import BillingMonth
from store.database import Database
from store.jobs import TakenJob, take
from store.models import (
    Contract,
    Invoice,
    InvoiceKind,
    Job,
    MethodState,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentState,
    new_id,
)
from store.payments import (
    COLLECT,
    VERIFY_CARD,
    business_day,
    choose_method,
    due_on,
    effective_month,
    method_for,
    open_payment,
)
from store.worker import Later
from tests.doubles.far_side import Refuse
from tests.doubles.stripe import KEY, StripeCard, StripeDouble
from tests.furnishing import SECRET_KEY, Furnished

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)
NOVEMBER = BillingMonth(2026, 11)
ISSUED = date(2026, 11, 26)


@pytest.fixture
async def there() -> AsyncIterator[StripeDouble]:
    async with StripeDouble() as double:
        yield double


@pytest.fixture
async def parts(database: Database, there: StripeDouble, ours: Furnished) -> AsyncIterator[Parts]:
    async with database.session() as session:
        session.add(Contract(account_id=ours.account_id, customer_name="x", mail_address="k@asahi.example"))
    async with open_stripe_session() as session_outside:
        yield Parts(database, SECRET_KEY, Stripe(session_outside, there.url, KEY))


async def choose(
    parts: Parts, ours: Furnished, kind: PaymentKind, token: str | None, at: datetime = AT
) -> str:
    async with parts.database.session() as session:
        return (await choose_method(session, ours.account_id, kind, token, SECRET_KEY, "token:x", at)).id


async def next_job(parts: Parts, kind: str) -> TakenJob:
    async with parts.database.session() as session:
        await session.execute(update(Job).values(run_at=AT - timedelta(days=1)))
    (job,) = await take(parts.database, (kind,), "worker", 60, 5)
    return job


async def mails(parts: Parts) -> list[str]:
    async with parts.database.session() as session:
        rows = await session.scalars(select(Job).where(Job.kind == "send_mail").order_by(Job.created_at))
        return [job.payload["title"] for job in rows]


async def registered(parts: Parts, ours: Furnished, token: str = "pm_card_visa", at: datetime = AT) -> None:
    await choose(parts, ours, PaymentKind.CARD, token, at)
    await verify_card(parts, await next_job(parts, VERIFY_CARD))


async def owed(parts: Parts, ours: Furnished, amount: int = 12_345) -> str:
    """An invoice of November, and its payment's id."""
    invoice_id = new_id()
    async with parts.database.session() as session:
        session.add(
            Invoice(
                id=invoice_id,
                number=f"202611-{invoice_id[:6]}",
                account_id=ours.account_id,
                month="2026-11",
                sequence=0,
                kind=InvoiceKind.INVOICE,
                issued_on=ISSUED,
                due_on=ISSUED,
                customer_name="x",
                total=amount,
                content={},
                digest="0",
                pdf="x",
                pdf_sha256="0",
            )
        )
    await parts.database.transaction(
        lambda c: open_payment(c, ours.account_id, invoice_id, NOVEMBER, amount, ISSUED)
    )
    async with parts.database.session() as session:
        payment_id = await session.scalar(select(Payment.id).where(Payment.invoice_id == invoice_id))
    assert payment_id
    return payment_id


async def payment(parts: Parts, payment_id: str) -> Payment:
    async with parts.database.session() as session:
        return await session.get_one(Payment, payment_id)


async def test_a_card_is_accepted_and_pays(parts: Parts, there: StripeDouble, ours: Furnished) -> None:
    await registered(parts, ours)
    async with parts.database.session() as session:
        (method,) = await session.scalars(select(PaymentMethod))
    assert (method.state, method.sealed_token) == (MethodState.ACTIVE, None)
    assert (method.card_brand, method.card_last4, method.card_expires) == ("visa", "4242", "2030-03")
    payment_id = await owed(parts, ours)
    assert await start_collecting(parts.database, AT + timedelta(days=20)) == 1
    assert await start_collecting(parts.database, AT + timedelta(days=20)) == 0
    await collect(parts, await next_job(parts, COLLECT))
    paid = await payment(parts, payment_id)
    assert (paid.state, paid.attempts, paid.provider_ref) == (PaymentState.PAID, 1, "pi_1")
    assert [amount for _, amount, *_ in there.accepted] == [12_345]


async def test_an_amount_that_no_card_can_pay_is_told(
    parts: Parts, there: StripeDouble, ours: Furnished
) -> None:
    """It is no trouble of the provider's that would pass: waiting for that it would wait for ever."""
    await registered(parts, ours)
    payment_id = await owed(parts, ours, 49)
    await start_collecting(parts.database, AT + timedelta(days=20))
    await collect(parts, await next_job(parts, COLLECT))
    waits = await payment(parts, payment_id)
    assert (waits.state, waits.reason_code) == (PaymentState.WAITING, "amount_too_small")
    assert "50円" in (waits.reason or "")
    assert await mails(parts) == ["カードでのお支払いができませんでした"]
    assert there.accepted == []


async def test_a_refused_card_is_told_and_the_old_method_stays(
    parts: Parts, there: StripeDouble, ours: Furnished
) -> None:
    await choose(parts, ours, PaymentKind.BANK_DEBIT, None)
    there.cards["pm_lost_card"] = StripeCard(attach_decline="lost_card")
    await registered(parts, ours, "pm_lost_card")
    async with parts.database.session() as session:
        refused = await session.scalar(select(PaymentMethod).where(PaymentMethod.kind == PaymentKind.CARD))
    assert refused is not None
    assert (refused.state, refused.reason_code, refused.sealed_token) == (
        MethodState.REFUSED,
        "lost_card",
        None,
    )
    held = await parts.database.transaction(lambda c: method_for(c, ours.account_id, "2026-11"))
    assert held is not None and held.kind == PaymentKind.BANK_DEBIT
    assert await mails(parts) == ["クレジットカードを登録できませんでした"]


async def test_a_declined_charge_is_told_and_tried_three_times(
    parts: Parts, there: StripeDouble, ours: Furnished
) -> None:
    await registered(parts, ours)
    payment_id = await owed(parts, ours)
    there.cards["pm_card_visa"].declines = ["insufficient_funds"] * 3
    await start_collecting(parts.database, AT + timedelta(days=20))
    for attempt in (1, 2, 3):
        await collect(parts, await next_job(parts, COLLECT))
        state = await payment(parts, payment_id)
        assert (state.attempts, state.reason_code) == (attempt, "insufficient_funds")
    assert state.state is PaymentState.FAILED
    assert len(await mails(parts)) == 3
    there.cards["pm_another"] = StripeCard(last4="1111")
    await registered(parts, ours, "pm_another", AT + timedelta(days=1))
    await collect(parts, await next_job(parts, COLLECT))
    assert (await payment(parts, payment_id)).state is PaymentState.PAID
    assert len(there.accepted) == 1


async def test_a_crash_between_charge_and_note_charges_once(
    parts: Parts, there: StripeDouble, ours: Furnished
) -> None:
    """The answer is lost; whoever comes next asks with the same key."""
    await registered(parts, ours)
    payment_id = await owed(parts, ours)
    await start_collecting(parts.database, AT + timedelta(days=20))
    job = await next_job(parts, COLLECT)
    there.next(Refuse(502), at="payment_intents")
    with pytest.raises(Later):
        await collect(parts, job)
    assert (await payment(parts, payment_id)).state is PaymentState.PROCESSING
    await collect(parts, job)
    assert len(there.accepted) == 1
    again = await payment(parts, payment_id)
    assert (again.state, again.attempts) == (PaymentState.PAID, 1)


async def test_a_charge_that_takes_time_is_asked_about(
    parts: Parts, there: StripeDouble, ours: Furnished
) -> None:
    await registered(parts, ours)
    there.cards["pm_card_visa"].slow = True
    payment_id = await owed(parts, ours)
    await start_collecting(parts.database, AT + timedelta(days=20))
    job = await next_job(parts, COLLECT)
    with pytest.raises(Later):
        await collect(parts, job)
    there.settle()
    await collect(parts, job)
    assert (await payment(parts, payment_id)).state is PaymentState.PAID
    assert there.requests.count("/v1/payment_intents") == 1


async def test_overdue_transfers_are_reminded_of_three_times(parts: Parts, ours: Furnished) -> None:
    payment_id = await owed(parts, ours)
    due = (await payment(parts, payment_id)).due_on
    assert due == date(2027, 1, 4)
    reminded = [
        await remind_overdue(parts.database, datetime(2027, 1, 4, 3, tzinfo=UTC) + timedelta(days=day))
        for day in range(20)
    ]
    assert [day for day, count in enumerate(reminded) if count] == [3, 6, 9]
    assert await mails(parts) == [f"お支払いのお願い({n}回目)" for n in (1, 2, 3)]


async def test_a_card_that_expires_is_told_of_once_a_month(
    parts: Parts, there: StripeDouble, ours: Furnished
) -> None:
    there.cards["pm_card_visa"].exp_year, there.cards["pm_card_visa"].exp_month = 2026, 12
    await registered(parts, ours)
    days = [AT + timedelta(days=day) for day in range(0, 60, 5)]
    warned = [await warn_of_expiry(parts.database, day) for day in days]
    assert sum(warned) == 3
    there.cards["pm_new"] = StripeCard()
    await registered(parts, ours, "pm_new", AT + timedelta(days=60))
    assert await warn_of_expiry(parts.database, AT + timedelta(days=95)) == 0


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (datetime(2026, 11, 25, 14, 59, 59, tzinfo=UTC), "2026-11"),
        (datetime(2026, 11, 25, 15, 0, tzinfo=UTC), "2026-12"),
        (datetime(2026, 11, 30, 15, 0, tzinfo=UTC), "2026-12"),
        (datetime(2026, 12, 26, 0, 0, tzinfo=UTC), "2027-01"),
    ],
)
def test_a_change_holds_for_the_current_month_until_the_25th(at: datetime, month: str) -> None:
    assert str(effective_month(at)) == month


@pytest.mark.parametrize(
    ("kind", "day"),
    [
        (PaymentKind.CARD, date(2026, 11, 26)),
        (PaymentKind.BANK_DEBIT, date(2026, 12, 28)),
        (PaymentKind.BANK_TRANSFER, date(2027, 1, 4)),
    ],
)
def test_due_days_are_days_on_which_banks_are_open(kind: PaymentKind, day: date) -> None:
    """27 December 2026 is a Sunday; 31 December is a bank holiday, and so on until 4 January."""
    assert due_on(kind, NOVEMBER, ISSUED) == day
    assert business_day(date(2026, 5, 2)) == date(2026, 5, 7)
