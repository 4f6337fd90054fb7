"""The queue of faxes that go out, with a line that does what it is told: once each, whatever dies when."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from sqlalchemy import select

from billing.composing import Used
from billing.facts import read_facts
from faxgw import send
from faxgw.parts import Parts
from faxgw.prepare import prepare_fax, release_fax
from faxgw.send import send_fax
from faxpages.tiffs import Page, write_pages
from store.billing_month import month_of
from store.database import Database
from store.e164 import E164
from store.events import read_events
from store.fax_queue import PREPARE_FAX, RELEASE_FAX, REPORT_FAX, SEND_FAX, remember_peer
from store.fax_settings import set_fax_setting
from store.fax_submissions import NewSubmission, cancel_fax, resend_fax, submit
from store.faxes import delete_fax
from store.media import Media
from store.models import (
    Call,
    Fax,
    FaxAttempt,
    FaxPeer,
    FaxResultClass,
    FaxState,
    FaxSubmission,
    FaxTransport,
    Job,
    SubmissionState,
    now,
)
from store.worker import Worker
from tests.fakes.fax_line import ScriptedLine
from tests.fax_documents import pdf
from tests.furnishing import Furnished

pytestmark = pytest.mark.integration

LIMIT_S = 20.0
DESTINATION = E164("+81311112222")
PAGES = 3


@dataclass
class Gateway:
    """The gateway's parts, and workers that can be killed."""

    parts: Parts
    line: ScriptedLine
    ours: Furnished
    at_once: int = 4

    @asynccontextmanager
    async def working(self, name: str = "gateway") -> AsyncIterator[None]:
        """While the workers work; leaving is a kill: nothing is finished."""
        documents = {
            PREPARE_FAX: partial(prepare_fax, self.parts),
            RELEASE_FAX: partial(release_fax, self.parts),
        }
        calls = {SEND_FAX: partial(send_fax, self.parts)}
        database = self.parts.database
        workers = [
            Worker(database, f"{name}.documents", documents, 1, poll_s=0.01),
            Worker(database, name, calls, self.at_once, poll_s=0.01, fair=True),
        ]
        tasks = [asyncio.create_task(worker.run_anew()) for worker in workers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(self, *destinations: str, by: Furnished | None = None, **more: object) -> str:
        whose = by or self.ours
        name = f"faxes/2026/11/24/{random.randrange(10**12)}.given.pdf"
        self.parts.media.put(pdf(PAGES), name)
        wanted = NewSubmission(
            number_id=whose.number_id,
            destinations=[E164(one) for one in destinations or (DESTINATION,)],
            document=name,
            by=whose.token_id,
            **more,  # type: ignore[arg-type]
        )
        async with self.parts.database.session() as session:
            return (await submit(session, whose.account_id, wanted)).id

    async def faxes(self) -> list[Fax]:
        async with self.parts.database.session() as session:
            return list(await session.scalars(select(Fax).order_by(Fax.created_at, Fax.id)))

    async def fax(self) -> Fax:
        (fax,) = await self.faxes()
        return fax

    async def until(self, happened: Callable[[], Awaitable[bool] | bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + LIMIT_S
        while True:
            result = happened()
            if isinstance(result, bool):
                if result:
                    return
            elif await result:
                return
            assert asyncio.get_running_loop().time() < deadline, f"not within {LIMIT_S} s: {what}"
            await asyncio.sleep(0.01)

    async def until_dialled(self, count: int = 1) -> str:
        await self.until(lambda: len(self.line.orders) >= count, f"{count} calls")
        return self.line.orders[count - 1].id

    async def until_state(self, state: FaxState) -> Fax:
        async def reached() -> bool:
            return (await self.fax()).state is state

        await self.until(reached, f"the fax is {state}")
        return await self.fax()


def quick_pages(tiff: Path, out: Path, first: int) -> None:
    """As `address` does it, without its child process."""
    from faxpages.tiffs import read_pages

    write_pages(read_pages(tiff, first), out)


@pytest.fixture
async def gateway(
    database: Database, media: Media, ours: Furnished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Gateway:
    """Pages are made in this process: what they look like is tested elsewhere."""

    async def address(tiff: Path, out: Path, header: str, first: int, total: int, fine: bool = True) -> int:
        assert "→" in header
        assert ("続き" in header) == (first > 1)
        quick_pages(tiff, out, first)
        return total - first + 1

    async def render(pdfs: list[Path], pages: int, tiff: Path, out: Path) -> int:
        drawing = Image.new("1", (1728, 200), 1)
        ImageDraw.Draw(drawing).line((0, 0, 1728, 200), fill=0)
        write_pages([Page(drawing)] * PAGES, tiff)
        shutil.copyfile(pdfs[-1], out)
        return PAGES

    monkeypatch.setattr("faxgw.send.address", address)
    monkeypatch.setattr("faxgw.prepare.render", render)
    monkeypatch.setattr(send, "POLL_S", 0.01)
    monkeypatch.setattr(send, "AWAY_S", 0.05)
    spool = tmp_path / "fax"
    (spool / "out").mkdir(parents=True)
    line = ScriptedLine(spool)
    async with database.session() as session:
        await set_fax_setting(session, ours.account_id, ours.number_id, enabled=True, sender_name="あさひ")
    return Gateway(Parts(database, media, line, spool, "test", retry_s=0.1), line, ours)


async def test_a_document_is_sent_and_everything_is_told(gateway: Gateway) -> None:
    submission_id = await gateway.submit(file_name="見積書.pdf")
    async with gateway.working():
        attempt_id = await gateway.until_dialled()
        dialling = await gateway.until_state(FaxState.DIALLING)
        assert (dialling.pages, dialling.pages_done, dialling.call_id) == (PAGES, 0, attempt_id)
        gateway.line.answer(attempt_id)
        gateway.line.arrived(attempt_id, 2)

        async def two_arrived() -> bool:
            return (await gateway.fax()).pages_done == 2

        await gateway.until(two_arrived, "two pages have arrived")
        assert (await gateway.fax()).state is FaxState.SENDING
        gateway.line.take_all(attempt_id)
        fax = await gateway.until_state(FaxState.SENT)
    assert (fax.pages_done, fax.result_class, fax.transport) == (PAGES, FaxResultClass.OK, FaxTransport.T38)
    assert (fax.rate, fax.ecm, fax.attempts) == (14400, True, 1)
    order = gateway.line.orders[0]
    assert (order.to, order.ours, order.mode, order.ecm) == (DESTINATION, gateway.ours.e164, "t38", True)
    async with gateway.parts.database.session() as session:
        submission = await session.get_one(FaxSubmission, submission_id)
        call = await session.get_one(Call, attempt_id)
        jobs = await session.scalars(select(Job).where(Job.kind == REPORT_FAX))
        assert [job.subject_id for job in jobs] == [fax.id]
        told = await read_events(session, gateway.ours.account_id, 0, ["fax"], 9)
    assert [(one.kind, one.subject_id, one.data["result"]) for one in told] == [("fax.sent", fax.id, "ok")]
    assert (submission.state, submission.pages) == (SubmissionState.READY, PAGES)
    assert (call.direction, call.dialled, call.result) == ("outbound", DESTINATION, "fax")
    assert call.answered_at is not None
    assert call.ended_at is not None
    await gateway.until(lambda: not list(gateway.parts.spool.glob("*.fax")), "the spool is tidy")
    assert not list(gateway.parts.outgoing.iterdir())


async def test_busy_is_tried_again_and_given_up(gateway: Gateway) -> None:
    await gateway.submit()
    async with gateway.working():
        for call in range(1, 7):
            attempt_id = await gateway.until_dialled(call)
            gateway.line.end(attempt_id, dialstatus="BUSY", cause="17", tech_cause="486")
        fax = await gateway.until_state(FaxState.FAILED)
    assert (fax.result_class, fax.result_code, fax.attempts) == (FaxResultClass.BUSY, "sip_486", 6)
    assert len(gateway.line.orders) == 6
    async with gateway.parts.database.session() as session:
        told = await read_events(session, gateway.ours.account_id, 0, ["fax"], 9)
    assert [(one.kind, one.data["code"]) for one in told] == [("fax.failed", "sip_486")]


async def test_a_cut_fax_goes_on_from_the_first_unsent_page(gateway: Gateway) -> None:
    await gateway.submit()
    async with gateway.working():
        first = await gateway.until_dialled()
        gateway.line.answer(first)
        words = {"statusstr": "The call dropped prematurely", "error": "HANGUP", "remote": "0311112222"}
        gateway.line.end(first, status="FAILED", pages="2", mode="t38", **words)
        second = await gateway.until_dialled(2)
        assert gateway.line.pages_sent == {first: 3, second: 1}
        gateway.line.take_all(second, mode="audio")
        fax = await gateway.until_state(FaxState.SENT)
    assert (fax.pages_done, fax.attempts, fax.transport) == (PAGES, 2, FaxTransport.G711)
    assert gateway.line.orders[1].mode == "audio", "after a cut other values are tried"
    async with gateway.parts.database.session() as session:
        peer = await session.get_one(FaxPeer, DESTINATION)
        attempts = list(await session.scalars(select(FaxAttempt).order_by(FaxAttempt.started_at)))
    assert peer.transport is FaxTransport.G711
    assert [(one.first_page, one.pages_done) for one in attempts] == [(1, 2), (3, 1)]
    await the_pages_are_billed(gateway, fax)


async def the_pages_are_billed(gateway: Gateway, fax: Fax) -> None:
    """All calls together, also after the fax is deleted."""
    parts, ours = gateway.parts, gateway.ours
    async with parts.database.session() as session:
        assert await delete_fax(session, parts.media, ours.account_id, fax.id, "token:x") == "deleted"
    facts = await parts.database.transaction(lambda c: read_facts(c, ours.account_id, month_of(now())))
    assert facts.used == [Used("fax_page", "0312345678", PAGES)]


async def test_what_worked_is_remembered_and_forgotten_when_it_fails(gateway: Gateway) -> None:
    async with gateway.parts.database.session() as session:
        await remember_peer(session, DESTINATION, FaxTransport.G711, False, 9600, True)
    await gateway.submit()
    async with gateway.working():
        attempt_id = await gateway.until_dialled()
        order = gateway.line.orders[0]
        assert (order.mode, order.ecm, order.max_rate) == ("audio", False, 9600)
        gateway.line.end(attempt_id, dialstatus="CONGESTION", cause="1", tech_cause="404")
        fax = await gateway.until_state(FaxState.FAILED)
    assert fax.result_class is FaxResultClass.BAD_NUMBER
    async with gateway.parts.database.session() as session:
        assert await session.get(FaxPeer, DESTINATION) is None


async def test_one_machine_is_never_called_twice_at_once(gateway: Gateway) -> None:
    for _ in range(3):
        await gateway.submit(DESTINATION, "+81311113333")
    async with gateway.working():
        for count in (2, 4, 6):
            await gateway.until_dialled(count)
            called = [order.to for order in gateway.line.orders if order.id in gateway.line.alive]
            assert sorted(called) == sorted(set(called)), "each destination once"
            for attempt_id in list(gateway.line.alive):
                gateway.line.take_all(attempt_id)

        async def all_sent() -> bool:
            return all(fax.state is FaxState.SENT for fax in await gateway.faxes())

        await gateway.until(all_sent, "all are sent")
    assert len(gateway.line.orders) == 6


async def test_a_retry_keeps_nobody_else_from_the_same_machine(gateway: Gateway) -> None:
    slow = replace(gateway.parts, retry_s=1000.0)
    gateway.parts = slow
    await gateway.submit()
    async with gateway.working():
        first = await gateway.until_dialled()
        gateway.line.end(first, dialstatus="BUSY", cause="17", tech_cause="486")
        await gateway.submit()
        gateway.line.take_all(await gateway.until_dialled(2))

        async def one_sent() -> bool:
            return sorted(fax.state for fax in await gateway.faxes()) == [FaxState.SENT, FaxState.WAITING]

        await gateway.until(one_sent, "the second is sent while the first waits")


async def test_one_customers_hundred_do_not_keep_another_waiting(gateway: Gateway, theirs: Furnished) -> None:
    async with gateway.parts.database.session() as session:
        await set_fax_setting(session, theirs.account_id, theirs.number_id, enabled=True)
    await gateway.submit(*(f"+8131111{number:04}" for number in range(100)))
    gateway.at_once = 2
    async with gateway.working():
        await gateway.until_dialled(2)
        await gateway.submit("+81611119999", by=theirs)

        async def prepared() -> bool:
            return all(fax.state is not FaxState.PREPARING for fax in await gateway.faxes())

        await gateway.until(prepared, "both are in the queue")
        gateway.line.take_all(gateway.line.last)
        await gateway.until_dialled(3)
        assert gateway.line.orders[2].to == "+81611119999"
        assert len(gateway.line.alive) <= 2, "no more at once than there are channels"


async def test_a_scheduled_fax_waits_for_its_time(gateway: Gateway) -> None:
    await gateway.submit(send_at=now() + timedelta(seconds=1.5))
    async with gateway.working():
        await gateway.until_state(FaxState.WAITING)
        assert gateway.line.orders == []
        gateway.line.take_all(await gateway.until_dialled())
        fax = await gateway.until_state(FaxState.SENT)
    async with gateway.parts.database.session() as session:
        (attempt,) = await session.scalars(select(FaxAttempt))
    assert attempt.started_at >= fax.started_at


async def test_cancelled_before_it_is_dialled(gateway: Gateway) -> None:
    await gateway.submit(send_at=now() + timedelta(seconds=0.5))
    async with gateway.working():
        waiting = await gateway.until_state(FaxState.WAITING)
        async with gateway.parts.database.session() as session:
            await cancel_fax(session, gateway.ours.account_id, waiting.id)

        async def no_job_left() -> bool:
            async with gateway.parts.database.session() as session:
                left = await session.scalars(select(Job.id).where(Job.state.in_(("waiting", "running"))))
                return len([one for one in left if one]) <= 1

        await gateway.until(no_job_left, "its job is gone")
    fax = await gateway.fax()
    assert (fax.state, fax.result_class) == (FaxState.CANCELLED, FaxResultClass.CANCELLED)
    assert gateway.line.orders == []


async def test_cancelled_while_it_is_sent(gateway: Gateway) -> None:
    await gateway.submit()
    async with gateway.working():
        attempt_id = await gateway.until_dialled()
        gateway.line.answer(attempt_id)
        sending = await gateway.until_state(FaxState.SENDING)
        async with gateway.parts.database.session() as session:
            await cancel_fax(session, gateway.ours.account_id, sending.id)
        fax = await gateway.until_state(FaxState.CANCELLED)
    assert gateway.line.hung_up == [attempt_id]
    assert fax.attempts == 1


async def test_the_line_is_away_and_comes_back(gateway: Gateway) -> None:
    gateway.line.away = True
    await gateway.submit()
    async with gateway.working():
        await gateway.until_state(FaxState.DIALLING)
        await asyncio.sleep(0.2)
        gateway.line.away = False
        gateway.line.take_all(await gateway.until_dialled())
        fax = await gateway.until_state(FaxState.SENT)
    assert (fax.attempts, len(gateway.line.orders)) == (1, 1)


async def test_an_order_that_was_lost_is_given_again_under_the_same_id(gateway: Gateway) -> None:
    gateway.line.deaf = True
    await gateway.submit()
    async with gateway.working():
        await gateway.until_state(FaxState.DIALLING)
        gateway.line.deaf = False
        attempt_id = await gateway.until_dialled()
        gateway.line.take_all(attempt_id)
        fax = await gateway.until_state(FaxState.SENT)
    assert (fax.attempts, fax.call_id) == (1, attempt_id)


async def test_asterisk_dies_while_it_dials(gateway: Gateway) -> None:
    """Nothing can have been sent: it is tried again."""
    await gateway.submit()
    async with gateway.working():
        await gateway.until_dialled()
        gateway.line.die()
        gateway.line.take_all(await gateway.until_dialled(2))
        fax = await gateway.until_state(FaxState.SENT)
    assert fax.attempts == 2


async def test_asterisk_dies_in_the_middle_and_we_saw_it(gateway: Gateway) -> None:
    await gateway.submit()
    async with gateway.working():
        first = await gateway.until_dialled()
        gateway.line.answer(first)
        gateway.line.arrived(first, 1)
        await gateway.until_state(FaxState.SENDING)

        async def one_arrived() -> bool:
            return (await gateway.fax()).pages_done == 1

        await gateway.until(one_arrived, "a page has arrived")
        gateway.line.die()
        second = await gateway.until_dialled(2)
        assert gateway.line.pages_sent[second] == 2
        gateway.line.take_all(second)
        await gateway.until_state(FaxState.SENT)


async def test_asterisk_and_worker_die_together(gateway: Gateway) -> None:
    """Nobody knows how far it came: it is told so, and not sent again."""
    await gateway.submit()
    async with gateway.working():
        attempt_id = await gateway.until_dialled()
        gateway.line.answer(attempt_id)
    gateway.line.die()
    async with gateway.working():
        fax = await gateway.until_state(FaxState.FAILED)
    assert (fax.result_class, fax.result_code) == (FaxResultClass.UNKNOWN, "line_restarted")
    assert "確認できません" in (fax.result_text or "")
    assert len(gateway.line.orders) == 1


async def test_the_worker_is_killed_after_the_last_page(gateway: Gateway) -> None:
    await gateway.submit()
    async with gateway.working():
        attempt_id = await gateway.until_dialled()
    gateway.line.take_all(attempt_id)
    async with gateway.working():
        fax = await gateway.until_state(FaxState.SENT)
    assert (len(gateway.line.orders), fax.attempts) == (1, 1)


async def test_nothing_is_sent_twice_however_often_the_worker_is_killed(gateway: Gateway) -> None:
    chance = random.Random(20261124)
    wanted = [f"+8131111{number:04}" for number in range(20)]
    await gateway.submit(*wanted)
    kills = 0
    deadline = asyncio.get_running_loop().time() + 90
    while any(fax.state is not FaxState.SENT for fax in await gateway.faxes()):
        states = [fax.state.value for fax in await gateway.faxes()]
        assert asyncio.get_running_loop().time() < deadline, (kills, sorted(states), len(gateway.line.alive))
        async with gateway.working():
            with suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0.0, 0.3)):
                    while True:
                        for attempt_id in list(gateway.line.alive):
                            if chance.random() < 0.04:
                                gateway.line.take_all(attempt_id)
                        await asyncio.sleep(0.005)
        kills += 1
    called = [order.to for order in gateway.line.orders]
    assert sorted(called) == sorted(set(called)), f"called once each, in spite of {kills} kills"
    assert sorted(called) == wanted
    assert kills > 5
    assert all(fax.attempts == 1 for fax in await gateway.faxes())


async def test_sent_again_to_the_same_destination(gateway: Gateway) -> None:
    await gateway.submit()
    async with gateway.working():
        gateway.line.take_all(await gateway.until_dialled())
        sent = await gateway.until_state(FaxState.SENT)
        async with gateway.parts.database.session() as session:
            await resend_fax(session, gateway.ours.account_id, sent.id, "somebody")
        gateway.line.take_all(await gateway.until_dialled(2))

        async def both_sent() -> bool:
            return [fax.state for fax in await gateway.faxes()] == [FaxState.SENT] * 2

        await gateway.until(both_sent, "both are sent")
    assert gateway.line.pages_sent[gateway.line.last] == PAGES


async def test_pages_that_are_gone_are_told(gateway: Gateway) -> None:
    await gateway.submit(send_at=now() + timedelta(seconds=0.5))
    async with gateway.working():
        fax = await gateway.until_state(FaxState.WAITING)
        assert fax.tiff is not None
        gateway.parts.media.path(fax.tiff).write_bytes(b"nothing")
        monkey = await gateway.until_state(FaxState.FAILED)
    assert (monkey.result_class, monkey.result_code) == (FaxResultClass.OUR_FAULT, "pages_missing")
