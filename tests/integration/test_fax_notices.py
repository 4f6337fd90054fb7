"""Faxes told of: by mail with the PDF, and by notification rules, once each."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from notify.deliver import deliver
from notify.faxes import report_fax
from notify.outbound import open_outside
from notify.parts import Parts
from notify.services import build
from store.database import Database
from store.deliveries import DELIVER
from store.fax_queue import REPORT_FAX, end_fax
from store.fax_received import ReceivedFax, keep_received
from store.fax_settings import set_fax_setting
from store.jobs import take
from store.media import Media
from store.models import (
    CallerKind,
    Delivery,
    DeliveryPurpose,
    DeliveryState,
    Fax,
    FaxDirection,
    FaxResultClass,
    FaxState,
    FaxTransport,
    JournalEntry,
    now,
)
from store.notifications import create_rule
from tests.doubles.destinations import Destination, destination
from tests.fax_documents import pdf
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.test_notify_services import QUICK

pytestmark = pytest.mark.integration

CALL = "test-1763900000.9"


@dataclass
class News:
    """A worker's parts, and the mail server its mails go to."""

    parts: Parts
    there: Destination
    database: Database
    ours: Furnished

    async def work(self) -> None:
        """Do every job that is due."""
        handlers = {REPORT_FAX: report_fax, DELIVER: deliver}
        for _ in range(3):
            for job in await take(self.database, tuple(handlers), "me", 30, 20):
                await handlers[job.kind](self.parts, job)

    async def deliveries(self) -> list[Delivery]:
        async with self.database.session() as session:
            return list(await session.scalars(select(Delivery).order_by(Delivery.label)))

    async def receive(self, content: bytes, state: FaxState = FaxState.RECEIVED) -> str:
        name = "faxes/2026/11/24/received.pdf"
        self.parts.media.put(content, name)
        received = ReceivedFax(
            call_id=CALL,
            account_id=self.ours.account_id,
            number_id=self.ours.number_id,
            dialled=self.ours.e164,
            caller="+81355556666",
            caller_kind=CallerKind.NUMBER,
            state=state,
            result=FaxResultClass.OK,
            code="ok",
            text="受信しました。",
            pages=2,
            started_at=now(),
            answered_at=now(),
            ended_at=now(),
            transport=FaxTransport.T38,
            remote="03 5555 6666",
            rate=14400,
            ecm=True,
            resolution="8031x7700",
            bad_rows=0,
            pdf=name,
            pdf_sha256="0" * 64,
            tiff=None,
            report=True,
        )
        async with self.database.session() as session:
            return (await keep_received(session, received)).id


@pytest.fixture
async def news(database: Database, media: Media, ours: Furnished, tmp_path: Path) -> AsyncIterator[News]:
    async with destination("mail") as there, open_outside(there.settings, QUICK) as outside:
        parts = Parts(
            database=database,
            media=media,
            build=partial(build, outside=outside),
            secret_key=SECRET_KEY,
            allowed=there.settings,
            portal_url="https://portal.example",
            test_sound=tmp_path / "none.wav",
        )
        async with database.session() as session:
            rule = await create_rule(
                session, ours.account_id, "FAX", ["boss@customer.example", "FAX@a.example"]
            )
            await set_fax_setting(
                session,
                ours.account_id,
                ours.number_id,
                enabled=True,
                mail_addresses=["fax@a.example"],
                notification_rule_id=rule.id,
                keep_rule=False,
            )
        yield News(parts, there, database, ours)


async def test_a_received_fax_is_mailed_with_its_pages(news: News) -> None:
    content = pdf(2)
    fax_id = await news.receive(content)
    await news.work()
    mails = {mail.recipients[0]: mail.message for mail in news.there.double.accepted}
    # The address stands in both; it is told once.
    assert sorted(mails) == ["boss@customer.example", "fax@a.example"]
    message = mails["fax@a.example"]
    assert message["Subject"] == "FAX受信: 0355556666"
    (attached,) = message.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_filename().startswith("fax_received_")
    assert attached.get_content() == content
    body = message.get_body().get_content()
    for told in ("0312345678", "ページ: 2", f"https://portal.example/faxes/{fax_id}"):
        assert told in body
    rows = await news.deliveries()
    assert {(row.purpose, row.state, row.fax_id) for row in rows} == {
        (DeliveryPurpose.FAX, DeliveryState.SENT, fax_id)
    }
    async with news.database.session() as session:
        events = await session.scalars(select(JournalEntry.event).where(JournalEntry.call_id == CALL))
        assert sorted(events) == ["fax_kept", "notified", "notified", "reported"]


async def test_too_many_pages_for_a_mail_are_only_named(news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.notices.LARGEST_PDF_BYTES", 100)
    await news.receive(pdf(2))
    await news.work()
    for mail in news.there.double.accepted:
        assert list(mail.message.iter_attachments()) == []


@pytest.mark.parametrize(
    ("state", "title"),
    [(FaxState.SENT, "FAX送信完了: 0311112222"), (FaxState.FAILED, "FAX送信失敗: 0311112222")],
)
async def test_what_became_of_a_sent_fax(news: News, state: FaxState, title: str) -> None:
    async with news.database.session() as session:
        fax = Fax(
            account_id=news.ours.account_id,
            number_id=news.ours.number_id,
            direction=FaxDirection.OUT,
            state=FaxState.DIALLING,
            other_party="+81311112222",
            file_name="見積書.pdf",
            pages=3,
            pages_done=1,
            started_at=now(),
        )
        session.add(fax)
        await session.flush()
        await end_fax(session, fax, state, FaxResultClass.BUSY, "sip_486", "話中でした。")
    await news.work()
    message = news.there.double.accepted[0].message
    assert message["Subject"] == title
    text = message.get_body().get_content()
    assert "ページ: 1/3" in text
    assert "見積書.pdf" in text
    assert ("sip_486" in text) == (state is FaxState.FAILED)


async def test_a_deleted_fax_is_not_sent(news: News) -> None:
    fax_id = await news.receive(pdf())
    (job,) = await take(news.database, (REPORT_FAX,), "me", 30, 20)
    await report_fax(news.parts, job)
    async with news.database.session() as session:
        await session.delete(await session.get_one(Fax, fax_id))
    await news.work()
    assert news.there.double.accepted == []
    assert {(row.state, row.reason_code) for row in await news.deliveries()} == {
        (DeliveryState.FAILED, "fax_gone")
    }


async def test_nobody_is_told_without_settings(news: News, theirs: Furnished, database: Database) -> None:
    news.ours = theirs
    await news.receive(pdf())
    await news.work()
    assert await news.deliveries() == []
