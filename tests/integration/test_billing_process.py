"""The billing process itself: killed in the middle of each step, its database away, its clock over months."""

import asyncio
import hashlib
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import make_url

from billing.closing import GRACE
from billing.main import State, do_chores
from billing.rating import recompute
from settings import BillingSettings
from store.billing_month import BillingMonth
from store.database import Database
from store.invoice_content import InvoiceContent, Section
from store.media import Media
from store.models import (
    Account,
    Charge,
    Chore,
    Contract,
    CreditMonth,
    Device,
    Invoice,
    Job,
    MethodState,
    PartReport,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentState,
    PhoneNumber,
    Subscription,
    now,
)
from store.payments import choose_method
from tests.billed_calls import outbound
from tests.cable import cable_to
from tests.doubles.far_side import StaySilent, TakeSilently, Trouble
from tests.doubles.stripe import KEY, StripeDouble
from tests.furnishing import SECRET_KEY, Furnished, furnish
from tests.running_switch import eventually
from tests.service_process import running_service, service_environment
from tests.tariffs import EXAMPLE, publish_example

pytestmark = pytest.mark.integration

LIMIT_S = 60.0
MONTHS = 3
CALLS = 40
ISSUER = BillingSettings(issuer_name="デモ通信株式会社", issuer_number="T9000000000000")


class Scene:
    """Accounts whose months are over and not closed, and the process."""

    def __init__(self, var: Path, database: Database, url: str, media: Media, ours: Furnished) -> None:
        self.var, self.database, self.media, self.ours = var, database, media, ours
        self.environment = service_environment(var, url)
        self.environment |= {
            "DENWABAN_TARIFF": str(EXAMPLE),
            "DENWABAN_ISSUER_NAME": ISSUER.issuer_name,
            "DENWABAN_ISSUER_NUMBER": ISSUER.issuer_number,
        }

    async def go_back(self) -> None:
        """Everything has been there for some months, with calls in each."""
        began = now() - timedelta(days=31 * MONTHS)
        async with self.database.session() as session:
            theirs = await furnish(session, self.media, "有限会社ゆうひ", "+81612345678")
            for table in (Account, PhoneNumber, Device):
                await session.execute(update(table).values(created_at=began))
            # What was sold today is sold anew, from then on.
            await session.execute(delete(Subscription))
            for who in (self.ours, theirs):
                session.add(
                    Contract(account_id=who.account_id, customer_name="x", mail_address="k@asahi.example")
                )
                for n in range(CALLS):
                    at = began + timedelta(days=31 * MONTHS * n / CALLS)
                    session.add(outbound(who, at, 30 + n, call_id=f"{who.account_id}-{n}"))

    async def all_is_due(self) -> None:
        """As if the time of a chore that somebody died over had passed."""
        async with self.database.session() as session:
            await session.execute(update(Chore).values(due_at=now() - timedelta(seconds=1)))

    async def count(self, table: type[Any], *where: Any) -> int:
        async with self.database.session() as session:
            return await session.scalar(select(func.count()).select_from(table).where(*where)) or 0

    async def until(self, table: type[Any], count: int, *where: Any) -> None:
        async def so_many() -> bool:
            return await self.count(table, *where) >= count

        await eventually(so_many, LIMIT_S, f"{count} of {table.__tablename__}")

    def running(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return running_service("billing", self.environment)

    async def killed_when(self, table: type[Any], count: int, *where: Any) -> None:
        """Run until there are so many rows, and kill -9 at once."""
        with self.running() as process:
            await self.until(table, count, *where)
            process.send_signal(signal.SIGKILL)
        await self.all_is_due()

    async def adds_up(self) -> None:
        """Every call is charged once, every month has one invoice, one payment, one mail and its file."""
        async with self.database.session() as session:
            invoices = list(await session.scalars(select(Invoice)))
            payments = list(await session.scalars(select(Payment)))
            mails = list(await session.scalars(select(Job).where(Job.kind == "send_mail")))
            sums = await session.scalar(select(func.sum(CreditMonth.charged)))
            charged = (await session.execute(select(func.count(), func.sum(Charge.amount)))).one()
        assert len({(one.account_id, one.month) for one in invoices}) == len(invoices)
        assert sorted(one.invoice_id for one in payments) == sorted(one.id for one in invoices)
        told = [mail for mail in mails if "請求書を発行しました" in mail.payload["title"]]
        assert len(told) == len(invoices)
        assert charged == (2 * CALLS, sums)
        assert (await recompute(self.database, mend=False, at=now())).differences == []
        for one in invoices:
            pdf = await asyncio.to_thread(self.media.path(one.pdf).read_bytes)
            assert hashlib.sha256(pdf).hexdigest() == one.pdf_sha256
            assert InvoiceContent.model_validate(one.content).digest == one.digest


@pytest.fixture
async def scene(
    tmp_path: Path, database: Database, database_url: str, media: Media, ours: Furnished
) -> AsyncIterator[Scene]:
    yield Scene(tmp_path, database, database_url, media, ours)


# What depends on the database is tried with both in the first test.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def test_killed_while_it_charges_and_while_it_closes(scene: Scene) -> None:
    await scene.go_back()
    await scene.killed_when(Charge, 1)
    await scene.killed_when(Invoice, 1)
    await scene.killed_when(Invoice, 3)
    with scene.running():
        await scene.until(Invoice, 2 * MONTHS)
        await scene.until(Charge, 2 * CALLS)
    await scene.adds_up()


async def expect_card(scene: Scene) -> None:
    """The account pays by a card that the provider has yet to look at."""
    async with scene.database.session() as session:
        method = await choose_method(
            session, scene.ours.account_id, PaymentKind.CARD, "pm_card_visa", SECRET_KEY, "token:x", now()
        )
        method.effective_month = "2020-01"


@on_sqlite
@pytest.mark.parametrize("trouble", [StaySilent(), TakeSilently()])
async def test_killed_while_a_card_is_looked_at_and_charged(scene: Scene, trouble: Trouble) -> None:
    """The same request with the same key follows: one customer at the provider, one charge per invoice."""
    await expect_card(scene)
    async with StripeDouble() as far:
        scene.environment |= {"DENWABAN_STRIPE_URL": far.url, "DENWABAN_STRIPE_KEY": KEY}
        await killed_while_asking(scene, far, trouble, "customers")
        with scene.running():
            await scene.until(PaymentMethod, 1, PaymentMethod.state == MethodState.ACTIVE)
        assert len(far.customers) == 1
        await scene.go_back()
        await scene.all_is_due()
        await killed_while_asking(scene, far, trouble, "payment_intents")
        with scene.running():
            mine = (Payment.account_id == scene.ours.account_id, Payment.state == PaymentState.PAID)
            await scene.until(Payment, MONTHS, *mine)
            await scene.until(Charge, 2 * CALLS)
        async with scene.database.session() as session:
            paid = list(await session.scalars(select(Payment.amount).where(*mine)))
        assert sorted(amount for _, amount, *_ in far.accepted) == sorted(paid)
    await scene.adds_up()


async def killed_while_asking(scene: Scene, far: StripeDouble, trouble: Trouble, path: str) -> None:
    """Run until the provider has a request for `path`, which it does not answer, and kill -9."""
    far.next(trouble, at=path)

    async def met() -> bool:
        asked = any(path in one for one in far.requests)
        done = far.accepted if path == "payment_intents" else far.customers
        return asked and (bool(done) or not isinstance(trouble, TakeSilently))

    with scene.running() as process:
        await eventually(met, LIMIT_S, f"a request for {path}")
        process.send_signal(signal.SIGKILL)
    await scene.all_is_due()


@on_postgres
async def test_the_database_goes_away_and_comes_back(scene: Scene, database_url: str) -> None:
    """Cut off before its work, and again in its middle: it goes on by itself."""
    await scene.go_back()
    there = make_url(database_url)
    with cable_to(there.port or 5432) as cable:
        url = there.set(host="127.0.0.1", port=cable.port).render_as_string(hide_password=False)
        scene.environment["DENWABAN_DATABASE_URL"] = url
        cable.unplug()
        with scene.running() as process:
            await asyncio.sleep(3)
            assert process.poll() is None
            cable.plug()
            await scene.until(Invoice, 1)
            cable.unplug()
            await asyncio.sleep(1)
            cable.plug()
            await scene.all_is_due()
            await scene.until(Invoice, 2 * MONTHS)
            await scene.until(Charge, 2 * CALLS)
            await scene.until(PartReport, 1, PartReport.part == "test.billing", PartReport.ready)
            assert process.poll() is None
    await scene.adds_up()


MONTHS_ON = [BillingMonth(2027, 12), *(BillingMonth(2028, month) for month in (1, 2, 3))]


def moments() -> Iterator[datetime]:
    """Noon of every day, and around the moment from which each month may be closed."""
    for month in MONTHS_ON:
        yield from (month.starts + timedelta(days=day, hours=12) for day in range(month.days))
        yield month.ends + GRACE - timedelta(minutes=2)
        yield month.ends + GRACE


@pytest.mark.usefixtures("drawn_here")
async def test_months_are_closed_as_the_clock_goes(
    database: Database, media: Media, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the turn of a year and a leap February; all is done again a minute later."""
    clock = [MONTHS_ON[0].starts]
    for name in ("billing.main.now", "store.subscriptions.now"):
        monkeypatch.setattr(name, lambda: clock[0])
    await publish_example(database)
    async with database.session() as session:
        for table in (Account, PhoneNumber, Device):
            await session.execute(update(table).values(created_at=clock[0]))
        for month in MONTHS_ON:
            session.add(outbound(ours, month.ends - timedelta(milliseconds=1), 60, "mobile"))
            session.add(outbound(ours, month.ends, 60, "fixed"))
            for day in range(month.days):
                session.add(outbound(ours, month.starts + timedelta(days=day, hours=11), 60, "navi"))
    state, issued = State(), dict[str, datetime]()
    for moment in moments():
        for later_s in (0, 61):
            clock[0] = moment + timedelta(seconds=later_s)
            await do_chores(database, media, ISSUER, state)
        async with database.session() as session:
            for one in await session.scalars(select(Invoice.month)):
                issued.setdefault(one, moment)
    assert issued == {str(month): month.ends + GRACE for month in MONTHS_ON}
    async with database.session() as session:
        invoices = {one.month: one.content for one in await session.scalars(select(Invoice))}
    for month in MONTHS_ON:
        said = InvoiceContent.model_validate(invoices[str(month)])
        calls = {line.label: line.quantity for line in said.lines if line.section is Section.CALL}
        fixed = {"通話料 固定電話": 1} if month != MONTHS_ON[0] else {}
        assert calls == {"通話料 ナビダイヤル(0570)": month.days, "通話料 携帯電話": 1} | fixed
        assert (said.period_from, said.period_to) == (month.first_day, month.last_day)
        assert said.issued_on == month.last_day + timedelta(days=1)
        assert [line.amount for line in said.lines if line.section is Section.BASIC] == [980]
    assert [month.days for month in MONTHS_ON] == [30, 31, 31, 29]
    assert f"{MONTHS_ON[-1].first_day}" == "2028-02-26"
