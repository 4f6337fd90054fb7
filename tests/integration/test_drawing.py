"""Drawing invoices in a process of its own: the same bytes, and what fails keeps nobody else back."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from billing import closing, drawing
from billing.closing import GRACE, close_months
from billing.drawing import Draw, NotDrawn
from billing.invoice_pdf import render
from settings import BillingSettings
from settings.tools import CHECKOUT
from store.billing_month import BillingMonth
from store.database import Database
from store.invoice_content import InvoiceContent
from store.media import Media
from store.models import Account, Contract, Invoice
from store.subscriptions import keep_up
from tests.furnishing import Furnished
from tests.invoices import long_invoice, usual_invoice
from tests.tariffs import publish_example

pytestmark = pytest.mark.integration

ISSUER = BillingSettings(issuer_name="デモ通信株式会社", issuer_number="T9000000000000")
NOVEMBER = BillingMonth(2026, 11)


def drawers() -> list[int]:
    """The processes of ours that draw."""
    children = (Path("/proc/self/task") / str(os.getpid()) / "children").read_text().split()
    return [int(pid) for pid in children if b"billing.drawing" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_the_service_itself_loads_nothing_of_it() -> None:
    heavy = "{'reportlab', 'PIL', 'numpy', 'fontTools'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, billing.main; print({heavy})"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"set()\n"


async def test_it_draws_as_we_would_and_goes() -> None:
    async with drawing.drawing() as draw:
        assert drawers() == []
        for content in (usual_invoice(), long_invoice(300)):
            assert await draw(content) == render(content)
        assert len(drawers()) == 1
    assert drawers() == []


async def test_a_document_that_cannot_be_drawn_keeps_nobody_back() -> None:
    broken = usual_invoice().model_copy(update={"lines": [None]})
    async with drawing.drawing() as draw:
        with pytest.raises(NotDrawn, match="ValidationError"):
            await draw(broken)
        assert await draw(usual_invoice()) == render(usual_invoice())
        # It dies: the next document has another.
        (drawer,) = drawers()
        os.kill(drawer, signal.SIGKILL)
        with pytest.raises(NotDrawn, match="failed"):
            await draw(usual_invoice())
        assert await draw(usual_invoice()) == render(usual_invoice())


async def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "LIMIT_S", 0.2)
    monkeypatch.setattr(drawing, "COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    async with drawing.drawing() as draw:
        with pytest.raises(NotDrawn, match="TimeoutError"):
            await draw(usual_invoice())
    assert drawers() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_account_whose_invoice_cannot_be_drawn_waits_alone(
    database: Database, media: Media, ours: Furnished, theirs: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And gets its months in order once it can."""
    await publish_example(database)
    over = NOVEMBER.next.ends + GRACE
    async with database.session() as session:
        await session.execute(update(Account).values(created_at=NOVEMBER.starts))
        session.add(Contract(account_id=ours.account_id, customer_name="broken"))
    await database.transaction(lambda connection: keep_up(connection, NOVEMBER.starts + timedelta(days=1)))
    real = drawing.drawing

    @asynccontextmanager
    async def failing() -> AsyncIterator[Draw]:
        async with real() as draw:

            async def but_not_this(content: InvoiceContent) -> bytes:
                if content.recipient.name == "broken":
                    raise NotDrawn("no such sign")
                return await draw(content)

            yield but_not_this

    monkeypatch.setattr(closing, "drawing", failing)
    with pytest.raises(NotDrawn, match="202611-"):
        await close_months(database, media, ISSUER, over)

    async def issued() -> list[tuple[str, str]]:
        async with database.session() as session:
            rows = await session.execute(select(Invoice.account_id, Invoice.month).order_by(Invoice.month))
            return [(account_id, month) for account_id, month in rows]

    assert await issued() == [(theirs.account_id, "2026-11"), (theirs.account_id, "2026-12")]
    monkeypatch.setattr(closing, "drawing", real)
    await close_months(database, media, ISSUER, over)
    assert [one for one in await issued() if one[0] == ours.account_id] == [
        (ours.account_id, "2026-11"),
        (ours.account_id, "2026-12"),
    ]
