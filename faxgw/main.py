"""Wires the gateway together and runs it until it is told to stop."""

import asyncio
import logging
import os
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ami.connection import Ami
from faxgw.line import AsteriskLine
from faxgw.parts import Parts
from faxgw.prepare import prepare_fax, release_fax
from faxgw.receive import Receiving, close_fax_call
from faxgw.send import send_fax
from settings import Settings
from settings.service import run_services
from store.database import open_database
from store.fax_queue import CLOSE_FAX_CALL, PREPARE_FAX, RELEASE_FAX, SEND_FAX
from store.media import Media
from store.reports import report
from store.worker import Worker

log = logging.getLogger(__name__)

PREPARED_AT_ONCE = 2
POLL_S = 0.25
REPORT_S = 1.0
LEASE_S = 15.0


def main() -> None:
    """Run with the environment's settings."""
    run_services("faxgw", run)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until told to stop. Calls that go on are Asterisk's: whoever starts next looks after them."""
    database = open_database(settings.database_url)
    ami = Ami("127.0.0.1", settings.fax_ami_port, settings.ami_password)
    parts = Parts(
        database=database,
        media=Media(settings.media),
        line=AsteriskLine(ami),
        spool=settings.fax_spool,
        node=settings.node,
        retry_s=settings.fax_retry_s,
    )
    name = f"{settings.node}.faxgw"
    documents = {
        PREPARE_FAX: partial(prepare_fax, parts),
        RELEASE_FAX: partial(release_fax, parts),
        CLOSE_FAX_CALL: partial(close_fax_call, parts),
    }
    calls = {SEND_FAX: partial(send_fax, parts)}
    preparing = Worker(database, f"{name}.documents", documents, PREPARED_AT_ONCE, LEASE_S, POLL_S)
    sending = Worker(database, name, calls, settings.fax_channels, LEASE_S, POLL_S, fair=True)
    receiving = Receiving(parts)
    tasks = [
        asyncio.create_task(ami.run(), name="ami"),
        asyncio.create_task(preparing.run_anew(), name="documents"),
        asyncio.create_task(sending.run_anew(), name="calls"),
        asyncio.create_task(receiving.run(), name="receiving"),
    ]

    async def keep_reporting() -> None:
        while True:
            reasons = (
                sending.problem,
                receiving.problem,
                "" if ami.connected else f"AMI: {ami.last_problem}",
            )
            reason = "; ".join(filter(None, reasons))
            figures: dict[str, Any] = {
                "pid": os.getpid(),
                "calls": sending.busy,
                "documents": preparing.busy,
            }
            try:
                async with asyncio.timeout(REPORT_S):
                    await report(database, name, not reason, reason, figures)
            except (SQLAlchemyError, OSError, TimeoutError) as problem:
                log.warning("no report: %s", type(problem).__name__, extra={"action": "report_failed"})
            await asyncio.sleep(REPORT_S)

    tasks.append(asyncio.create_task(keep_reporting(), name="report"))
    for task in tasks:
        # None ends by itself: one that does takes the process down, and it is started again.
        task.add_done_callback(lambda _: stop.set())
    log.info("faxes are looked after", extra={"action": "started"})
    await stop.wait()
    failed = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
    for task in failed:
        task.result()
