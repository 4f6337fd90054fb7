"""Closing months: once, whoever tries; what calls, fees and top-ups come to; corrections. Both databases."""

import asyncio
import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select, update

from billing.closing import GRACE, close_months, correct_invoice, months_due
from billing.rating import rate_missed
from settings import BillingSettings
from store import numbers
from store.billing_month import BillingMonth, midnight
from store.credit import reserve, top_up
from store.database import Database
from store.e164 import E164
from store.invoice_content import InvoiceContent, InvoiceLine, Section
from store.invoices import order_correction
from store.jobs import take
from store.media import Media
from store.models import (
    Account,
    Call,
    Charge,
    Contract,
    Device,
    Invoice,
    InvoiceKind,
    Job,
    JobState,
    MessageOutcome,
    NumberUse,
    Payment,
    PaymentKind,
    PaymentState,
    PhoneNumber,
    Subscription,
    TopUpSource,
)
from store.subscriptions import OPTIONS, keep_up
from tests.billed_calls import happened, outbound
from tests.furnishing import Furnished
from tests.tariffs import example_tariff, publish_example

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("drawn_here")]

ISSUER = BillingSettings(
    issuer_name="デモ通信株式会社", issuer_number="T9000000000000", bank_account="デモ銀行 本店 普通 1234567"
)
NOVEMBER, DECEMBER = BillingMonth(2026, 11), BillingMonth(2026, 12)
AT = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)
OVER = NOVEMBER.ends + GRACE
LINES = [InvoiceLine(section=Section.ADJUSTMENT, label="誤請求の返金", amount=-1001, tax_percent=10)]


@pytest.fixture
async def billed(database: Database, ours: Furnished) -> Database:
    """An account since 1 November (25 of 31 days) with a number and an ID, and a contract."""
    await publish_example(database)
    since = midnight(date(2026, 11, 1))
    async with database.session() as session:
        for table in (Account, Device):
            await session.execute(update(table).values(created_at=since))
        session.add(
            Contract(
                account_id=ours.account_id,
                customer_name="株式会社あさひ商事",
                postal_code="100-0001",
                address="東京都千代田区丸の内1-2-3",
                mail_address="keiri@asahi.example",
            )
        )
    await database.transaction(lambda connection: keep_up(connection, AT))
    async with database.session() as session:
        await session.execute(update(Subscription).values(starts_on=date(2026, 11, 1)))
    return database


async def close(database: Database, media: Media, at: datetime = OVER) -> list[str]:
    await rate_missed(database, at)
    return await close_months(database, media, ISSUER, at)


async def invoices(database: Database) -> list[Invoice]:
    async with database.session() as session:
        return list(await session.scalars(select(Invoice).order_by(Invoice.month, Invoice.sequence)))


def content(invoice: Invoice) -> InvoiceContent:
    return InvoiceContent.model_validate(invoice.content)


async def test_a_month_comes_to_its_fees_calls_and_tax(
    billed: Database, media: Media, ours: Furnished
) -> None:
    async with billed.session() as session:
        await happened(
            session,
            outbound(ours, AT, 100, "mobile"),
            outbound(ours, AT + timedelta(minutes=5), 61, "mobile"),
            outbound(ours, AT + timedelta(minutes=9), 60, "overseas"),
            outbound(ours, AT + timedelta(minutes=20), 0, "fixed"),
        )
    (invoice_id,) = await close(billed, media)
    (invoice,) = await invoices(billed)
    said = content(invoice)
    assert [(line.label, line.amount, line.tax_percent) for line in said.lines] == [
        ("基本料", 980 * 25 // 31, 10),
        ("ID", 700 * 25 // 31, 10),
        ("クラウドFAX", 500 * 25 // 31, 10),
        ("電話番号", 280 * 25 // 31, 10),
        ("Web電話帳", 280 * 25 // 31, 10),
        ("通話録音", 3000 * 25 // 31, 10),
        ("留守レポ", 2280 * 25 // 31, 10),
        ("ID 初期費用", 5000, 10),
        ("通話料 携帯電話", 32 + 32, 10),
        ("通話料 ハワイ", 12, 0),
    ]
    net = 790 + 564 + 403 + 225 + 225 + 2419 + 1838 + 5000 + 64
    assert [(one.percent, one.net, one.tax) for one in said.tax_sums] == [(10, net, net // 10), (0, 12, 0)]
    assert said.total == net + net // 10 + 12 == invoice.total
    assert [(one.name, one.calls, one.seconds, one.amount) for one in said.calls_by_number] == [
        ("0312345678", 4, 221, 76)
    ]
    assert (said.issued_on, said.due_on) == (date(2026, 11, 26), date(2027, 1, 4))
    assert invoice.id == invoice_id
    pdf = await asyncio.to_thread(media.path(invoice.pdf).read_bytes)
    assert hashlib.sha256(pdf).hexdigest() == invoice.pdf_sha256
    assert invoice.digest == said.digest


async def test_closing_twice_or_by_four_at_once_issues_one(
    billed: Database, media: Media, ours: Furnished
) -> None:
    issued = await asyncio.gather(*(close_months(billed, media, ISSUER, OVER) for _ in range(4)))
    assert sum(map(len, issued)) == 1
    assert await close(billed, media) == []
    assert len(await invoices(billed)) == 1
    async with billed.session() as session:
        assert await session.scalar(select(func.count()).select_from(Payment)) == 1
        assert await session.scalar(select(func.count()).where(Job.kind == "send_mail")) == 1


async def test_a_month_is_not_closed_before_its_end_and_a_while(billed: Database, media: Media) -> None:
    assert await close(billed, media, OVER - timedelta(seconds=1)) == []
    assert len(await close(billed, media, OVER)) == 1


async def test_months_are_made_up_for_in_order(billed: Database, media: Media) -> None:
    await close(billed, media, BillingMonth(2027, 2).ends + GRACE)
    assert [one.month for one in await invoices(billed)] == ["2026-11", "2026-12", "2027-01", "2027-02"]
    whole = content((await invoices(billed))[1])
    assert [(line.label, line.amount) for line in whole.lines] == [
        ("基本料", 980),
        ("ID", 700),
        ("クラウドFAX", 500),
        ("電話番号", 280),
        ("Web電話帳", 280),
        ("通話録音", 3000),
        ("留守レポ", 2280),
    ]


async def test_a_call_over_midnight_is_waited_for(billed: Database, media: Media, ours: Furnished) -> None:
    last = NOVEMBER.ends - timedelta(seconds=1)

    def place(connection: object) -> None:
        reserve(
            connection,  # type: ignore[arg-type]
            account_id=ours.account_id,
            call_id="long",
            destination_class="mobile",
            e164="+819012345678",
            device_id=ours.device_id,
            at=last,
        )

    await billed.transaction(place)
    async with billed.session() as session:
        call = outbound(ours, last, 5 * 3600, call_id="long")
        call.ended_at = None
        await happened(session, call)
    assert await close(billed, media) == []
    async with billed.session() as session:
        await session.execute(
            update(Call).where(Call.id == "long").values(ended_at=last + timedelta(hours=5))
        )
    await close(billed, media, OVER + timedelta(hours=3))
    (invoice,) = await invoices(billed)
    assert "通話料 携帯電話" in [line.label for line in content(invoice).lines]


async def test_a_call_found_after_the_close_goes_on_the_next_invoice(
    billed: Database, media: Media, ours: Furnished
) -> None:
    await close(billed, media)
    async with billed.session() as session:
        await happened(session, outbound(ours, AT, 60, "navi"))
    await close(billed, media, DECEMBER.ends + GRACE)
    first, second = await invoices(billed)
    assert [line.label for line in content(first).lines if line.section is Section.CALL] == []
    assert [line.amount for line in content(second).lines if line.section is Section.CALL] == [40]


async def test_top_ups_are_paid_in_advance_and_taken_off_what_they_paid(
    billed: Database, media: Media, ours: Furnished
) -> None:
    await billed.transaction(lambda c: top_up(c, ours.account_id, "one", TopUpSource.MANUAL, "x", AT))
    async with billed.session() as session:
        await happened(session, outbound(ours, AT, 11_000 // 16 * 60, "mobile"))
    await close(billed, media, DECEMBER.ends + GRACE)
    first, second = map(content, await invoices(billed))
    deposits = [
        (line.label, line.amount, line.tax_percent) for line in first.lines if line.tax_percent is None
    ]
    assert deposits == [("チャージ(前受金)", 5000, None), ("チャージからの充当", -992, None)]
    assert first.untaxed == 4008
    assert second.untaxed == 0
    net = sum(one.net + one.tax for one in first.tax_sums)
    assert first.total == net + 4008


async def test_messages_beyond_a_hundred_cost(billed: Database, media: Media, ours: Furnished) -> None:
    async with billed.session() as session:
        for n in range(103):
            call = outbound(ours, AT + timedelta(minutes=n), 30, call_id=f"message-{n}")
            call.direction, call.message_outcome = "inbound", MessageOutcome.KEPT
            session.add(call)
    await close(billed, media)
    (invoice,) = await invoices(billed)
    (line,) = [line for line in content(invoice).lines if line.section is Section.USAGE]
    assert (line.label, line.detail, line.quantity, line.amount) == (
        "留守レポ(101件目から)",
        "0312345678",
        3,
        60,
    )


async def test_options_cost_from_the_day_they_are_sold_to_the_day_they_are_not(
    billed: Database, media: Media, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken away on the 10th, sold again on the 20th, given up by mistake for a minute on the 22nd."""
    days: dict[int, dict[str, Any]] = {
        10: {"sells_fax": False},
        20: {"sells_fax": True},
        21: {"sells_rusurepo": False},
    }
    minute: list[tuple[int, dict[str, Any]]] = [(22, {"sells_recording": sold}) for sold in (False, True)]
    for day, changes in (*days.items(), *minute):
        monkeypatch.setattr(numbers, "now", lambda day=day: midnight(date(2026, 11, day)))
        async with billed.session() as session:
            await numbers.change_number(session, ours.account_id, ours.number_id, **changes)
        await billed.transaction(lambda c, day=day: keep_up(c, midnight(date(2026, 11, day))))  # type: ignore[misc]
    await close(billed, media, DECEMBER.ends + GRACE)
    first, second = map(content, await invoices(billed))

    def of(content: InvoiceContent, label: str) -> list[tuple[str, int]]:
        return [(line.detail, line.amount) for line in content.lines if line.label == label]

    assert of(first, "クラウドFAX") == [
        ("0312345678 日割 10/31日", 500 * 10 // 31),
        ("0312345678 日割 6/31日", 500 * 6 // 31),
    ]
    assert of(first, "留守レポ") == [("0312345678 日割 21/31日", 2280 * 21 // 31)]
    assert of(first, "通話録音") == [("0312345678 日割 25/31日", 3000 * 25 // 31)]
    assert (of(second, "クラウドFAX"), of(second, "留守レポ")) == ([("0312345678", 500)], [])


async def test_options_of_old_numbers_cost_from_today_and_a_fax_number_has_one(
    database: Database, ours: Furnished
) -> None:
    async with database.session() as session:
        await session.execute(update(PhoneNumber).values(created_at=AT - timedelta(days=400)))
        fax = await numbers.add_number(session, ours.account_id, E164("+81312345679"), NumberUse.FAX)
    await database.transaction(lambda connection: keep_up(connection, AT))
    assert await database.transaction(lambda connection: keep_up(connection, AT)) == 0
    async with database.session() as session:
        sold = list(await session.scalars(select(Subscription).where(Subscription.item.in_(OPTIONS))))
    assert {one.starts_on for one in sold} == {date(2026, 11, 10)}
    by_number = {(one.subject_id, one.item) for one in sold}
    assert by_number == {(ours.number_id, option) for option in OPTIONS} | {(fax.id, "fax")}


async def test_what_was_issued_stays_and_a_correction_is_another_document(
    billed: Database, media: Media, ours: Furnished
) -> None:
    await close(billed, media)
    (invoice,) = await invoices(billed)
    async with billed.session() as session:
        correction_id = await order_correction(session, invoice, LINES, "二重請求のため", "token:x")
    (job,) = await take(billed, ("correct_invoice",), "worker", 60, 5)
    await correct_invoice(billed, media, ISSUER, job)
    original, correction = await invoices(billed)
    assert (original.digest, original.total) == (invoice.digest, invoice.total)
    assert (correction.id, correction.kind) == (correction_id, InvoiceKind.CORRECTION)
    assert (correction.corrects_id, correction.sequence) == (invoice.id, 1)
    said = content(correction)
    # As much tax is given back as was taken on it.
    assert (said.total, said.tax_sums[0].tax) == (-1001 - 100, -100)
    assert said.corrects == original.number and said.reason == "二重請求のため"
    async with billed.session() as session:
        await session.execute(
            update(Job).where(Job.id == job.id).values(state=JobState.RUNNING, leased_by=job.worker)
        )
    await correct_invoice(billed, media, ISSUER, job)
    assert len(await invoices(billed)) == 2


async def test_without_an_issuer_nothing_is_issued(billed: Database, media: Media) -> None:
    assert await close_months(billed, media, BillingSettings(), OVER) == []
    assert len(await billed.transaction(lambda c: months_due(c, OVER))) == 1


async def test_what_comes_and_goes_is_followed(billed: Database, ours: Furnished) -> None:
    assert await billed.transaction(lambda c: keep_up(c, AT)) == 0
    async with billed.session() as session:
        await session.execute(
            update(Subscription).where(Subscription.item == "device").values(subject_id="one that is gone")
        )
    assert await billed.transaction(lambda c: keep_up(c, AT)) == 2
    async with billed.session() as session:
        sold = await session.scalars(select(Subscription).where(Subscription.item == "device"))
        assert sorted(str(one.ends_on) for one in sold) == ["2026-11-10", "None"]


async def test_a_months_calls_are_what_another_reckons(
    billed: Database, media: Media, ours: Furnished
) -> None:
    """Another program: by hand, from the calls and the tariff's file alone."""
    seconds = [1, 59, 60, 61, 179, 180, 181, 600, 3599, 3600]
    async with billed.session() as session:
        for n, length in enumerate(seconds):
            for kind in ("fixed", "mobile", "ip", "navi", "overseas"):
                await happened(session, outbound(ours, AT + timedelta(minutes=n), length, kind))
    await close(billed, media)
    (invoice,) = await invoices(billed)
    tariff = example_tariff()
    rates = {code: (rate.unit_s, rate.yen) for code, rate in tariff.calls.items()} | {
        "overseas": (6, Decimal("1.2"))
    }
    expected = sum(
        int(-(-length // rates[kind][0]) * rates[kind][1])
        for length in seconds
        for kind in ("fixed", "mobile", "ip", "navi", "overseas")
    )
    assert sum(line.amount for line in content(invoice).lines if line.section is Section.CALL) == expected
    async with billed.session() as session:
        assert await session.scalar(select(func.sum(Charge.amount))) == expected
        (payment,) = await session.scalars(select(Payment))
    assert (payment.kind, payment.state) == (PaymentKind.BANK_TRANSFER, PaymentState.WAITING)
    assert payment.amount == invoice.total
