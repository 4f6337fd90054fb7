"""`python -m pbx.signalling`: what Asterisk is told and asked beside calls, in a process that gives way.

Lamps and texts, recordings, call details, where devices and trunks are registered, logging devices out, and
who tries to break in.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.details.reading import Details
from pbx.dialplan.names import WATCHER
from pbx.phones.contacts import Registrations
from pbx.phones.guard import Guard
from pbx.phones.release import Releases
from pbx.recordings.adopt import RecordingAdoption
from pbx.recordings.control import RecordingControl
from pbx.recordings.transfers import TransferWatch
from pbx.signals import Signals
from pbx.trunks import TrunkWatch
from settings import Settings
from settings.service import run_services
from store.call_legs import SETTLE_CALL
from store.database import Database, open_database
from store.media import Media
from store.recording_control import control_job
from store.releases import RELEASE_DEVICE
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
    async with ari.only_asking():
        works = _works(settings, database, ari)
        tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
        for task in tasks:
            # None ends by itself: one that does takes the process down, and it is started again.
            task.add_done_callback(lambda _: stop.set())
        log.info("what comes beside calls is looked after", extra={"action": "started"})
        await stop.wait()
        failed = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
    for task in failed:
        task.result()


def _works(settings: Settings, database: Database, ari: AriSession) -> dict[str, Coroutine[Any, Any, None]]:
    """Everything that goes on in this process, by name."""
    node, spool = settings.node, settings.call_spool
    ami = Ami("127.0.0.1", settings.ami_port, settings.ami_password)
    signals = Signals(database, ari, ami, settings.bind, settings.portal_url)
    guard = Guard(database, node, ari, ami, settings.trunk_accept)
    watcher = Ami("127.0.0.1", settings.ami_port, settings.ami_password, WATCHER, guard.heard)

    async def channel_ids() -> set[str]:
        return {channel["id"] for channel in await ari.channels()}

    details = Details(database, node, settings.channel_events, channel_ids)
    recordings = RecordingAdoption(spool, database, Media(settings.media), channel_ids)
    control = RecordingControl(database, ami, spool)
    releases = Releases(database, node, ari, ami, settings.local_host, settings.sip_port, settings.secret_key)
    handlers = {
        **signals.handlers,
        control_job(node): control.carry_out,
        RELEASE_DEVICE: releases.release,
        SETTLE_CALL: details.settle,
    }
    worker = Worker(database, f"{node}.signals", handlers, AT_ONCE, poll_s=POLL_S)

    def start_over() -> None:
        # Asterisk may have been started anew: it knows no lamp, and no blocked address.
        signals.start_over()
        guard.start_over()

    def problem() -> str:
        away = "" if ami.connected else f"AMI: {ami.last_problem}"
        waits = f"recordings: {recordings.problem}" if recordings.problem else ""
        return worker.problem or away or details.problem or waits

    return {
        # Its connection tells of Asterisk's lives.
        "ami": ami.run(start_over),
        "watcher": watcher.run(),
        "lamps": signals.run(),
        "details": details.run(),
        "registrations": Registrations(database, node, ami).run(),
        "trunks": TrunkWatch(database, node, ami).run(),
        "guard": guard.run(),
        "worker": worker.run_anew(),
        "recordings": recordings.run(),
        "transfers": TransferWatch(spool, ari.bridges, control.renew).run(),
        "report": _keep_reporting(database, f"{node}.signals", problem, worker),
    }


async def _keep_reporting(database: Database, name: str, problem: Callable[[], str], worker: Worker) -> None:
    while True:
        reason = problem()
        details = {"pid": os.getpid(), "busy": worker.busy}
        said = partial(report_by, part=name, ready=not reason, reason=reason, details=details)
        try:
            async with asyncio.timeout(REPORT_S):
                await database.transaction(said)
        except (SQLAlchemyError, OSError, TimeoutError) as away:
            log.warning("no report: %s", away, extra={"action": "report_failed"})
        await asyncio.sleep(REPORT_S)


if __name__ == "__main__":
    main()
