"""`python -m pbx.signalling`: lamps, texts and recordings, in a process that gives way to calls."""

import asyncio
import logging
import os
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.recordings.adopt import RecordingAdoption
from pbx.recordings.control import RecordingControl
from pbx.signals import Signals
from settings import Settings
from settings.service import run_services
from store.database import Database, open_database
from store.media import Media
from store.recording_control import control_job
from store.reports import report_by
from store.worker import Worker

log = logging.getLogger(__name__)

AT_ONCE = 4
POLL_S = 0.25
REPORT_S = 2.0


def main() -> None:
    """Run with the environment's settings."""
    run_services("signals", run)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until told to stop."""
    database = open_database(settings.database_url)
    ari = AriSession("127.0.0.1", settings.ari_connect_port, settings.ari_password)
    ami = Ami("127.0.0.1", settings.ami_port, settings.ami_password)
    signals = Signals(database, ari, ami, settings.bind, settings.portal_url)
    name = f"{settings.node}.signals"

    async def channel_ids() -> set[str]:
        return {channel["id"] for channel in await ari.channels()}

    recordings = RecordingAdoption(settings.call_spool, database, Media(settings.media), channel_ids)
    control = RecordingControl(database, ami, settings.call_spool)
    handlers = {**signals.handlers, control_job(settings.node): control.carry_out}
    worker = Worker(database, name, handlers, AT_ONCE, poll_s=POLL_S)
    async with ari.only_asking():
        tasks = [
            # Its connection tells of Asterisk's lives: a new one knows no lamp.
            asyncio.create_task(ami.run(signals.start_over), name="ami"),
            asyncio.create_task(signals.run(), name="lamps"),
            asyncio.create_task(worker.run_anew(), name="worker"),
            asyncio.create_task(recordings.run(), name="recordings"),
            asyncio.create_task(_keep_reporting(database, name, ami, worker, recordings), name="report"),
        ]
        for task in tasks:
            # None ends by itself: one that does takes the process down, and it is started again.
            task.add_done_callback(lambda _: stop.set())
        log.info("lamps, texts and recordings are looked after", extra={"action": "started"})
        await stop.wait()
        failed = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
    for task in failed:
        task.result()


async def _keep_reporting(
    database: Database, name: str, ami: Ami, worker: Worker, recordings: RecordingAdoption
) -> None:
    while True:
        waits = f"recordings: {recordings.problem}" if recordings.problem else ""
        reason = worker.problem or ("" if ami.connected else f"AMI: {ami.last_problem}") or waits
        details = {"pid": os.getpid(), "busy": worker.busy}
        said = partial(report_by, part=name, ready=not reason, reason=reason, details=details)
        try:
            async with asyncio.timeout(REPORT_S):
                await database.transaction(said)
        except (SQLAlchemyError, OSError, TimeoutError) as problem:
            log.warning("no report: %s", problem, extra={"action": "report_failed"})
        await asyncio.sleep(REPORT_S)


if __name__ == "__main__":
    main()
