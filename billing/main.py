"""Wires the billing service together and runs it until it is told to stop."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from billing.chores import remind_overdue, start_collecting, warn_of_expiry
from billing.closing import close_months, correct_invoice
from billing.collecting import Parts, collect, verify_card
from billing.drawing import NotDrawn
from billing.rating import EVER, LATELY, mend_charge, publish_file, rate_ended, rate_missed
from billing.stripe import Stripe, open_stripe_session
from settings import BillingSettings, Settings
from settings.service import run_services
from settings.tools import NotSetUp
from store.call_legs import MEND_CHARGE
from store.chores import claim
from store.database import Database, open_database
from store.invoices import CORRECT_INVOICE
from store.media import Media
from store.models import now
from store.payments import COLLECT, VERIFY_CARD
from store.reports import report
from store.subscriptions import keep_up
from store.tariff import TariffRefused
from store.worker import Worker

log = logging.getLogger(__name__)

AT_ONCE = 4
RATE_S = 1.0
CHORES_S = 5.0
AWAY_S = 1.0
REPORT_S = 1.0
DRAIN_S = 5.0
LATELY_EVERY = timedelta(minutes=1)
EVER_EVERY = timedelta(days=1)
HOUSE_EVERY = timedelta(minutes=1)


@dataclass
class State:
    """What is wrong at the moment, by what it is about."""

    problems: dict[str, str] = field(default_factory=dict)
    unrated: int = 0

    def note(self, what: str, problem: str) -> None:
        if problem and self.problems.get(what) != problem:
            log.warning("%s: %s", what, problem, extra={"action": "billing_problem"})
        self.problems[what] = problem

    @property
    def reason(self) -> str:
        return "; ".join(f"{what}: {problem}" for what, problem in self.problems.items() if problem)


def main() -> None:
    """Charge, issue and collect, with the environment's settings."""
    run_services("billing", run)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until told to stop; then finish what is being charged, for a few seconds."""
    database = open_database(settings.database_url)
    media, state, name = Media(settings.media), State(), f"{settings.node}.billing"
    async with _provider(settings.billing) as provider:
        parts = Parts(database, settings.secret_key, provider)
        handlers = {
            VERIFY_CARD: partial(verify_card, parts),
            COLLECT: partial(collect, parts),
            MEND_CHARGE: partial(mend_charge, database),
            CORRECT_INVOICE: partial(correct_invoice, database, media, settings.billing),
        }
        worker = Worker(database, name, handlers, AT_ONCE, may_take=lambda: not stop.is_set())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(worker.run_anew(), name="worker"),
            asyncio.create_task(_keep_rating(database, state), name="rating"),
            asyncio.create_task(_keep_house(settings, database, media, state), name="chores"),
            asyncio.create_task(_keep_telling(database, worker, state, name), name="report"),
        ]
        # None of them ends by itself: one that does takes the process down, and launch starts it again.
        for task in tasks:
            task.add_done_callback(lambda _: stop.set())
        await stop.wait()
        failed = [task for task in tasks if task.done()]
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await worker.drained()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
    for task in failed:
        task.result()


@asynccontextmanager
async def _provider(settings: BillingSettings) -> AsyncIterator[Stripe | None]:
    if settings.stripe_key is None:
        yield None
        return
    async with open_stripe_session() as session:
        yield Stripe(session, settings.stripe_url, settings.stripe_key)


async def _keep_rating(database: Database, state: State) -> None:
    """Charge what ends, a second later."""
    while True:
        await _attempt(state, "rating", partial(rate_ended, database, now()))
        await asyncio.sleep(RATE_S)


async def _keep_house(settings: Settings, database: Database, media: Media, state: State) -> None:
    published: datetime | None = None
    while True:
        published = await _follow_tariff(settings, database, state, published)
        await _attempt(state, "chores", partial(do_chores, database, media, settings.billing, state))
        await asyncio.sleep(CHORES_S)


async def do_chores(database: Database, media: Media, billing: BillingSettings, state: State) -> None:
    """Whatever is due now, by one process of all."""
    at = now()
    look_back = EVER if await _is_due(database, "rate_ever", at, EVER_EVERY) else LATELY
    if look_back == EVER or await _is_due(database, "rate_lately", at, LATELY_EVERY):
        state.unrated = (await rate_missed(database, at, look_back)).unrated
        problem = f"{state.unrated} calls have no price in the tariff" if state.unrated else ""
        state.note("tariff's gaps", problem)
    if await _is_due(database, "billing_house", at, HOUSE_EVERY):
        await database.transaction(partial(keep_up, at=at))
        try:
            await close_months(database, media, billing, at)
        except (NotSetUp, NotDrawn) as missing:
            state.note("invoices", str(missing))
        else:
            state.note("invoices", "" if billing.can_issue else "no issuer is set, none are issued")
        await start_collecting(database, at)
        await remind_overdue(database, at)
        await warn_of_expiry(database, at)


async def _is_due(database: Database, name: str, at: datetime, every: timedelta) -> bool:
    async with database.session() as session:
        return await claim(session, name, at, every)


async def _follow_tariff(
    settings: Settings, database: Database, state: State, published: datetime | None
) -> datetime | None:
    """Publish the tariff's file again when it was written. One that cannot be used changes nothing."""
    if settings.tariff is None:
        state.note("tariff", "DENWABAN_TARIFF is not set")
        return None
    try:
        written = datetime.fromtimestamp(
            (await asyncio.to_thread(settings.tariff.stat)).st_mtime, now().tzinfo
        )
        if written != published:
            await publish_file(database, settings.tariff, now())
            state.note("tariff", "")
        return written
    except TariffRefused as refused:
        state.note("tariff", "; ".join(refused.problems))
        return written
    except (SQLAlchemyError, OSError) as away:
        state.note("tariff", f"{type(away).__name__}: {str(away).partition(chr(10))[0]}")
        return None


async def _attempt(state: State, what: str, work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except (SQLAlchemyError, OSError, TimeoutError) as away:
        state.note(what, f"{type(away).__name__}: {str(away).partition(chr(10))[0]}")
        await asyncio.sleep(AWAY_S)
    else:
        state.note(what, "")


async def _keep_telling(database: Database, worker: Worker, state: State, name: str) -> None:
    """Say how we are. Calls are taken without us, so what is wrong with money is a reason only."""
    while True:
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            async with asyncio.timeout(REPORT_S):
                reason = "; ".join(part for part in (worker.problem, state.reason) if part)
                figures = {"pid": os.getpid(), "busy": worker.busy, "unrated": state.unrated}
                await report(database, name, not worker.problem, reason, figures)
        await asyncio.sleep(REPORT_S)
