"""Wires the notification worker together and runs it until it is told to stop."""

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from notify.deliver import deliver
from notify.faxes import report_fax
from notify.outbound import open_outside
from notify.parts import Parts
from notify.plain_mail import send_written
from notify.report import report_message
from notify.services import build
from settings import Settings
from settings.service import run_services
from store.database import Database, open_database
from store.deliveries import DELIVER, REPORT_MESSAGE
from store.fax_queue import REPORT_FAX
from store.mails import SEND_MAIL
from store.media import Media
from store.reports import report
from store.worker import Worker

log = logging.getLogger(__name__)

AT_ONCE = 32
"""So many destinations may hang at a time before others have to wait for them."""

REPORT_S = 1.0
DRAIN_S = 5.0


def main() -> None:
    """Report messages and deliver, with the environment's settings."""
    run_services("notify", run)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until told to stop; then see the end of what is out, for a few seconds."""
    database = open_database(settings.database_url)
    name = f"{settings.node}.notify"
    async with open_outside(settings.notifications) as outside:
        parts = Parts(
            database=database,
            media=Media(settings.media),
            build=partial(build, outside=outside),
            secret_key=settings.secret_key,
            allowed=settings.notifications,
            portal_url=settings.portal_url,
            test_sound=settings.sounds / "tone.wav",
        )
        handlers = {
            REPORT_MESSAGE: partial(report_message, parts),
            REPORT_FAX: partial(report_fax, parts),
            DELIVER: partial(deliver, parts),
            SEND_MAIL: partial(send_written, parts),
        }
        worker = Worker(database, name, handlers, AT_ONCE)
        tasks = [
            asyncio.create_task(worker.run_anew()),
            asyncio.create_task(_keep_reporting(database, worker, name)),
        ]
        log.info("notifications are delivered", extra={"action": "started"})
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if parts.sending:
            await asyncio.wait(parts.sending, timeout=DRAIN_S)
    await database.close()


async def _keep_reporting(database: Database, worker: Worker, name: str) -> None:
    while True:
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            async with asyncio.timeout(REPORT_S):
                figures = {"pid": os.getpid(), "busy": worker.busy}
                await report(database, name, not worker.problem, worker.problem, figures)
        await asyncio.sleep(REPORT_S)
