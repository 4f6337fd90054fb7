"""Money through the API: credit, top-ups, invoices, payment methods. On both databases."""

import csv
import io
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import unquote

import pypdf
import pytest
from aiohttp import ClientSession
from sqlalchemy import select, update

from billing.closing import GRACE, close_months, correct_invoice
from billing.rating import rate_missed
from portal_api.routing import Parts
from settings import BillingSettings
from store.billing_month import BillingMonth
from store.credit import reserve
from store.database import Database
from store.idempotency import forget_answers
from store.jobs import take
from store.media import Media
from store.models import Account, Device, IdempotencyKey, Invoice, Job, MethodState, PaymentMethod, Role, now
from store.subscriptions import keep_up
from store.tokens import issue_token
from tests.billed_calls import happened, outbound
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client, MakeClient, serving
from tests.tariffs import publish_example

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("drawn_here")]

AT = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)
NOVEMBER = BillingMonth(2026, 11)
ISSUER = BillingSettings(issuer_name="デモ通信株式会社", issuer_number="T9000000000000")


class Clock:
    """What time it is for the API."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def api(database: Database, media: Media, clock: Clock) -> AsyncIterator[MakeClient]:
    await publish_example(database)
    async with serving(Parts(database, media, "test", SECRET_KEY, clock=clock)) as make_client:
        yield make_client


@pytest.fixture
async def billed(database: Database, media: Media, ours: Furnished, admin: Client) -> Database:
    """November, closed: calls of three classes."""
    async with database.session() as session:
        since = AT - timedelta(days=9)
        await session.execute(update(Account).where(Account.id == ours.account_id).values(created_at=since))
        await session.execute(update(Device).where(Device.id == ours.device_id).values(created_at=since))
        await happened(
            session,
            outbound(ours, AT, 100, "mobile"),
            outbound(ours, AT + timedelta(minutes=5), 181, "fixed"),
            outbound(ours, AT + timedelta(minutes=9), 60, "overseas"),
        )
    await database.transaction(lambda connection: keep_up(connection, AT))
    await rate_missed(database, NOVEMBER.ends + GRACE)
    await close_months(database, media, ISSUER, NOVEMBER.ends + GRACE)
    return database


KEY = {"Idempotency-Key": "one"}


async def test_credit_shows_what_may_still_be_spent(
    admin: Client, database: Database, ours: Furnished
) -> None:
    def place(connection: object) -> None:
        reserve(
            connection,  # type: ignore[arg-type]
            account_id=ours.account_id,
            call_id="running",
            destination_class="mobile",
            e164="+819012345678",
            device_id=ours.device_id,
            at=AT,
        )

    await database.transaction(place)
    async with database.session() as session:
        await happened(session, outbound(ours, AT, 100, "mobile"))
    await rate_missed(database, AT + timedelta(hours=1))
    credit = (await admin.get("/api/v1/credit")).body
    assert {name: credit[name] for name in ("month", "ceiling", "charges", "reserved", "available")} == {
        "month": "2026-11",
        "ceiling": 10_000,
        "charges": 32,
        "reserved": 240,
        "available": 10_000 - 32 - 240,
    }
    (running,) = credit["reservations"]
    assert (running["call_id"], running["limit_s"]) == ("running", 899)
    calls = (await admin.get("/api/v1/calls")).body["items"]
    assert {call["charge"] for call in calls if call["direction"] == "outbound"} == {32}


async def test_a_top_up_needs_a_key_and_is_made_once(admin: Client) -> None:
    refused = await admin("POST", "/api/v1/top-ups")
    assert (refused.status, refused.body["code"]) == (400, "idempotency_key_required")
    made = [await admin("POST", "/api/v1/top-ups", headers=KEY) for _ in range(3)]
    assert {answer.status for answer in made} == {201}
    assert len({answer.body["id"] for answer in made}) == 1
    (one,) = (await admin.get("/api/v1/top-ups")).body["items"]
    assert (one["amount"], one["source"], one["balance"], one["month"]) == (5000, "manual", 15_000, "2026-11")
    assert one["by"].startswith("token:")
    assert [answer.headers.get("Idempotent-Replayed") for answer in made] == [None, "true", "true"]
    assert (await admin.get("/api/v1/credit")).body["available"] == 15_000


async def test_a_top_up_whose_answer_was_lost_is_not_made_again(
    admin: Client, operator: Client, database: Database, ours: Furnished
) -> None:
    """As if the process had died between the top-up and its answer, and a day later."""
    made = await admin("POST", "/api/v1/top-ups", headers=KEY)
    async with database.session() as session:
        await session.execute(update(IdempotencyKey).values(status=None, sealed_answer=None))
    again = await admin("POST", "/api/v1/top-ups", headers=KEY)
    assert (again.status, again.body) == (201, made.body)
    async with database.session() as session:
        await forget_answers(session, now() + timedelta(hours=25))
    late = await admin("POST", "/api/v1/top-ups", headers=KEY)
    assert (late.status, late.body) == (201, made.body)
    # A key belongs to its token.
    other = await operator("POST", f"/api/v1/top-ups?account_id={ours.account_id}", headers=KEY)
    assert (other.status, other.body["balance"]) == (201, 20_000)


async def test_automatic_top_up_is_a_setting(admin: Client) -> None:
    changed = await admin("PATCH", "/api/v1/credit", json={"automatic_top_up": True})
    assert (changed.body["automatic_top_up"], changed.body["automatic_limit"]) == (True, 3)
    changed = await admin("PATCH", "/api/v1/credit", json={"automatic_limit": 7})
    assert (changed.body["automatic_top_up"], changed.body["automatic_limit"]) == (True, 7)
    assert (await admin("PATCH", "/api/v1/credit", json={"automatic_limit": -1})).status == 422


async def test_an_invoice_can_be_read_in_every_form_and_adds_up(admin: Client, billed: Database) -> None:
    (listed,) = (await admin.get("/api/v1/invoices")).body["items"]
    path = f"/api/v1/invoices/{listed['id']}"
    whole = (await admin.get(path)).body
    assert whole["total"] == listed["total"]
    net = sum(line["amount"] for line in whole["lines"] if line["tax_percent"] == 10)
    free = sum(line["amount"] for line in whole["lines"] if line["tax_percent"] == 0)
    assert whole["total"] == net + net // 10 + free

    table = await admin.get(f"{path}/csv")
    assert table.raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(table.raw.decode("utf-8-sig"))))
    of_rate = {
        rate: sum(Decimal(row["金額(税抜)"]) for row in rows if row["種別"] == "明細" and row["税率"] == rate)
        for rate in ("10%", "免税")
    }
    sums = {row["税率"]: row for row in rows if row["種別"] == "税率別合計"}
    assert {rate: Decimal(sums[rate]["金額(税抜)"]) for rate in of_rate} == of_rate
    (to_pay,) = [row for row in rows if row["種別"] == "請求金額"]
    taxes = sum(Decimal(row["消費税額"]) for row in sums.values())
    assert Decimal(to_pay["金額(税抜)"]) == sum(of_rate.values()) + taxes == whole["total"]

    calls = await admin.get(f"{path}/calls.csv")
    charged = list(csv.DictReader(io.StringIO(calls.raw.decode("utf-8-sig"))))
    assert [(row["料金表の行"], row["秒数"], row["単位数"], row["金額(税抜)"]) for row in charged] == [
        ("mobile", "100", "2", "32"),
        ("fixed", "181", "2", "16"),
        ("overseas:1808", "60", "10", "12"),
    ]
    call_lines = sum(line["amount"] for line in whole["lines"] if line["section"] == "call")
    assert sum(int(row["金額(税抜)"]) for row in charged) == call_lines


async def test_the_pdf_says_the_same_and_is_served_as_a_file(admin: Client, billed: Database) -> None:
    (listed,) = (await admin.get("/api/v1/invoices")).body["items"]
    path = f"/api/v1/invoices/{listed['id']}/pdf"
    pdf = await admin.get(path)
    assert (pdf.status, pdf.headers["Content-Type"]) == (200, "application/pdf")
    text = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.raw)).pages)
    assert listed["number"] in text and f"{listed['total']:,}" in text and "T9000000000000" in text
    again = await admin.get(path, headers={"If-None-Match": pdf.headers["ETag"]})
    assert again.status == 304
    part = await admin.get(path, headers={"Range": "bytes=0-3"})
    assert (part.status, part.raw) == (206, b"%PDF")
    kept = await admin.get(f"{path}?download=1")
    assert "請求書_2026-11" in unquote(kept.headers["Content-Disposition"])


async def test_fourteen_months_are_listed_and_older_ones_found(
    admin: Client, operator: Client, database: Database, media: Media, ours: Furnished, clock: Clock
) -> None:
    async with database.session() as session:
        await session.execute(update(Account).values(created_at=AT - timedelta(days=500)))
    clock.at = NOVEMBER.ends + GRACE
    for month in range(-15, 1):
        at = NOVEMBER.later(month).ends + GRACE
        await database.transaction(lambda connection, at=at: keep_up(connection, at))  # type: ignore[misc]
        await close_months(database, media, ISSUER, at)
    shown = [one["month"] for one in (await admin.get("/api/v1/invoices")).body["items"]]
    assert (len(shown), shown[0], shown[-1]) == (14, "2026-11", "2025-10")
    older = (await admin.get("/api/v1/invoices?month_from=2025-08&month_to=2025-09")).body["items"]
    assert [one["month"] for one in older] == ["2025-09", "2025-08"]
    amount = older[0]["total"]
    found = await operator.get(
        f"/api/v1/invoices:all?month_from=2020-01&total_from={amount}&total_to={amount}"
    )
    assert older[0]["id"] in [one["id"] for one in found.body["items"]]
    by_name = await operator.get("/api/v1/invoices:all?name=あさひ")
    assert {one["account_id"] for one in by_name.body["items"]} == {ours.account_id}
    assert (await operator.get("/api/v1/invoices:all?name=100%25")).body["items"] == []
    assert (await admin.get("/api/v1/invoices:all")).status == 403
    assert (await admin.get("/api/v1/invoices?month_from=2026-13")).status == 400


async def test_a_correction_is_ordered_by_the_operator_and_the_original_stays(
    admin: Client, operator: Client, billed: Database, media: Media, ours: Furnished
) -> None:
    (listed,) = (await admin.get("/api/v1/invoices")).body["items"]
    path = f"/api/v1/invoices/{listed['id']}"
    body = {"reason": "料金の誤り", "lines": [{"label": "返金", "amount": -500, "tax_percent": 10}]}
    assert (await admin.post(f"{path}/corrections", body)).status == 403
    ordered = await operator.post(f"{path}/corrections?account_id={ours.account_id}", body)
    assert ordered.status == 202
    (job,) = await take(billed, ("correct_invoice",), "worker", 60, 1)
    await correct_invoice(billed, media, ISSUER, job)
    correction = (await admin.get(f"/api/v1/invoices/{ordered.body['id']}")).body
    assert (correction["total"], correction["corrects_id"], correction["kind"]) == (
        -550,
        listed["id"],
        "correction",
    )
    assert (await admin.get(path)).body["digest"] == listed["digest"]
    twice = f"/api/v1/invoices/{ordered.body['id']}/corrections?account_id={ours.account_id}"
    assert (await operator.post(twice, body)).body["code"] == "not_the_original"


async def test_another_customers_money_is_not_there(
    other_admin: Client, admin: Client, billed: Database
) -> None:
    (listed,) = (await admin.get("/api/v1/invoices")).body["items"]
    for rest in ("", "/pdf", "/csv", "/calls.csv"):
        assert (await other_admin.get(f"/api/v1/invoices/{listed['id']}{rest}")).status == 404
    theirs = (await other_admin.get("/api/v1/invoices")).body["items"]
    assert listed["id"] not in [one["id"] for one in theirs]
    assert (await other_admin.get("/api/v1/credit")).body["charges"] == 0


async def test_the_payment_method_says_when_it_changes(admin: Client, clock: Clock) -> None:
    path = "/api/v1/payment-method"
    none = (await admin.get(path)).body
    assert (none["current"], none["latest"]) == (None, None)
    clock.at = datetime(2026, 11, 25, 14, 59, tzinfo=UTC)
    changed = (await admin.put(path, {"kind": "bank_debit"})).body
    assert (changed["current"]["kind"], changed["current"]["effective_month"]) == ("bank_debit", "2026-11")
    assert "当月分(2026年11月分)" in changed["notice"]
    clock.at = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    later = (await admin.put(path, {"kind": "bank_transfer"})).body
    assert later["latest"]["effective_month"] == "2026-12"
    assert "翌月分(2026年12月分)" in later["notice"] and "締め切りました" in later["notice"]


async def test_a_card_is_a_token_and_nothing_else(
    admin: Client, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/api/v1/payment-method"
    caplog.set_level(logging.DEBUG)
    for body in (
        {"kind": "card", "card_token": "4242424242424242"},
        {"kind": "card", "card_token": "pm_card_visa", "number": "4242 4242 4242 4242"},
        {"kind": "bank_debit", "note": ["4242", "4242", "4242", "4242"]},
        {"kind": "card", "4242424242424242": 1},
    ):
        refused = await admin.put(path, body)
        assert (refused.status, refused.body["errors"][0]["code"]) == (422, "card_number_refused")
        assert "4242" not in refused.raw.decode()
    nested = await admin(
        "PATCH", "/api/v1/contract", json={"address": "カード ４２４２－４２４２－４２４２－４２４２"}
    )
    assert (nested.status, nested.body["errors"][0]["code"]) == (422, "card_number_refused")
    of_json = {"Content-Type": "application/json"}
    broken = await admin("PUT", path, data=b'{"number": "4242424242424242"', headers=of_json)
    assert broken.status == 400 and "4242" not in broken.raw.decode()
    told = await admin.get(path, headers={"X-Request-Id": "4242-4242-4242-4242"})
    assert "4242" not in str(told.headers)
    assert "4242" not in caplog.text
    async with ClientSession() as http, http.get(f"{admin._base}{path}/4242%204242%204242%204242"):
        said = [json.loads(one.getMessage()) for one in caplog.records if one.name == "portal_api.access"]
    assert (said[-1]["path"], said[-1]["status"]) == ("/api/v1/payment-method/…", 401)
    assert (await admin.put(path, {"kind": "card"})).body["errors"][0]["code"] == "card_token"
    assert (await admin.put(path, {"kind": "bank_debit", "card_token": "pm_card_visa"})).status == 422
    taken = (await admin.put(path, {"kind": "card", "card_token": "pm_card_visa"})).body
    assert (taken["latest"]["state"], taken["latest"]["card"]) == ("verifying", None)
    async with database.session() as session:
        (method,) = await session.scalars(select(PaymentMethod))
        assert "pm_card_visa" not in (method.sealed_token or "")
        assert await session.scalar(select(Job.kind).where(Job.subject_id == method.id)) == "verify_card"
        method.state, method.card_brand = MethodState.ACTIVE, "visa"
        method.card_last4, method.card_expires = "4242", "2026-12"
    shown = (await admin.get(path)).body["current"]["card"]
    assert shown == {"brand": "visa", "last4": "4242", "expires": "2026-12", "expiry": "expiring"}


async def test_payments_are_noted_as_the_bank_tells(
    admin: Client, operator: Client, billed: Database, ours: Furnished
) -> None:
    (one,) = (await admin.get("/api/v1/payments?state=waiting")).body["items"]
    assert (one["kind"], one["state"]) == ("bank_transfer", "waiting")
    path = f"/api/v1/payments/{one['id']}:outcome?account_id={ours.account_id}"
    failed = await operator.post(path, {"outcome": "failed", "reason": "残高不足"})
    assert (failed.body["state"], failed.body["reason"]) == ("failed", "残高不足")
    assert (await operator.post(path, {"outcome": "paid"})).body["state"] == "paid"
    assert (await operator.post(path, {"outcome": "paid"})).body["state"] == "paid"
    assert (await operator.post(path, {"outcome": "failed"})).body["code"] == "payment_settled"
    assert (await admin.post(f"/api/v1/payments/{one['id']}:outcome", {"outcome": "paid"})).status == 403


async def test_a_contract_says_whom_invoices_are_for(admin: Client, billed: Database) -> None:
    path = "/api/v1/contract"
    assert (await admin.get(path)).body["customer_name"] == "株式会社あさひ"
    changed = await admin(
        "PATCH",
        path,
        json={"postal_code": "100-0001", "address": "千代田区1-1", "mail_address": "k@a.example"},
    )
    assert (changed.body["customer_name"], changed.body["mail_address"]) == ("株式会社あさひ", "k@a.example")
    assert (await admin("PATCH", path, json={"mail_address": "no address"})).status == 422
    assert (await admin("PATCH", path, json={"postal_code": "1000001"})).status == 422
    async with billed.session() as session:
        (invoice,) = await session.scalars(select(Invoice))
    assert invoice.content["recipient"]["address"] == ""


async def test_options_are_sold_and_ended_by_the_operator(
    admin: Client, operator: Client, ours: Furnished
) -> None:
    path = f"/api/v1/subscriptions?account_id={ours.account_id}"
    body = {"item": "rusurepo", "subject_id": ours.number_id, "starts_on": "2026-11-05"}
    sold = await operator.post(path, body)
    assert (sold.status, sold.body["subject_name"], sold.body["ends_on"]) == (201, "0312345678", None)
    assert (await operator.post(path, body)).body["code"] == "already_sold"
    assert (await operator.post(path, {**body, "item": "nothing"})).fields == ["item"]
    assert (await operator.post(path, {**body, "subject_id": ours.device_id})).fields == ["subject_id"]
    plan = {"item": "kakehodai10", "subject_id": ours.device_id}
    assert (await operator.post(path, plan)).body["starts_on"] == "2026-11-10"
    ending = f"/api/v1/subscriptions/{sold.body['id']}:end?account_id={ours.account_id}"
    assert (await operator.post(ending, {"ends_on": "2026-11-04"})).fields == ["ends_on"]
    assert (await operator.post(ending, {"ends_on": "2026-11-20"})).body["ends_on"] == "2026-11-20"
    listed = (await admin.get("/api/v1/subscriptions")).body["items"]
    assert [one["item"] for one in listed] == ["rusurepo", "kakehodai10"]
    assert (await admin.post("/api/v1/subscriptions", body)).status == 403


async def test_the_tariff_is_for_everybody_to_read(admin: Client) -> None:
    tariff = (await admin.get("/api/v1/tariff")).body
    assert tariff["valid_from"] == str(date(2024, 1, 26))
    assert {"code": "special", "yen": "8.5"}.items() <= next(
        one for one in tariff["calls"] if one["code"] == "special"
    ).items()


async def test_without_a_tariff_money_waits(database: Database, media: Media, ours: Furnished) -> None:
    async with database.session() as session:
        _, secret = await issue_token(session, Role.ADMINISTRATOR, ours.account_id)
    async with serving(Parts(database, media, "test", SECRET_KEY)) as make_client:
        admin = make_client(secret)
        assert (await admin.get("/api/v1/credit")).body["available"] == 0
        assert (await admin("POST", "/api/v1/top-ups", headers=KEY)).body["code"] == "no_tariff"
        assert (await admin.get("/api/v1/tariff")).body["code"] == "no_tariff"
