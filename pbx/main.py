"""Wires the control plane together and runs it until it is told to stop."""

import asyncio
import gc
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import uvloop
from sqlalchemy.exc import SQLAlchemyError

from pbx.agi.server import AgiServer
from pbx.agi.spooled import spooled
from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.asterisk.fax_watch import FaxWatch
from pbx.asterisk.supervisor import Supervisor
from pbx.dialplan.names import AGI_SPOOLED
from pbx.flows.runner import Parts, Runner
from pbx.metering import WARNING, Meter
from pbx.provisioning import Provisioner
from pbx.spool.adopt import Adoption
from pbx.spool.keep import Keeping
from settings import Settings, read_settings
from settings.logs import log_to
from store.database import open_database
from store.journal import CallJournal
from store.media import Media
from store.prompts import media_name
from store.reports import report_by

log = logging.getLogger(__name__)

REPORT_S = 1.0
HEARTBEAT_S = 1.0
DRAIN_S = 5.0


def main() -> None:
    """Run the control plane with the environment's settings."""
    settings = read_settings(os.environ, Path.cwd())
    log_to(settings.var / "log", "pbx", settings.log_level)
    # Calls leave little behind that only the collector finds; looking for it often costs more.
    gc.set_threshold(10_000, 20, 50)
    # Threads that work for the database must not keep a call waiting.
    sys.setswitchinterval(0.0005)
    uvloop.run(run(settings))


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then finish what can be finished in a few seconds."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    database = open_database(settings.database_url)
    media = Media(settings.media)
    journal = CallJournal(database)
    background, calls = Supervisor(), Supervisor()
    keeping = Keeping(media, journal, calls)
    ari = AriSession("127.0.0.1", settings.ari_connect_port, settings.ari_password)
    ami = Ami("127.0.0.1", settings.ami_port, settings.ami_password)
    fax_ami = Ami("127.0.0.1", settings.fax_ami_port, settings.ami_password)
    runner = Runner(
        Parts(
            ari=ari,
            database=database,
            journal=journal,
            media=media,
            supervisor=calls,
            keeping=keeping,
            spool=settings.recording_spool,
            sounds=settings.sounds,
            show=ami.show_on_telephones,
            node=settings.node,
        )
    )
    provisioner = Provisioner(
        settings, database, ari, ami, lambda sha256: media.path(media_name(sha256)).with_suffix("")
    )

    def busy() -> set[str]:
        return runner.calls.keys() | keeping.settled

    async def channel_ids() -> set[str]:
        """The calls that live: by their first channel, or by whoever is left of them after a transfer."""
        return await ari.living_calls()

    adoption = Adoption(settings.recording_spool, database, journal, keeping, busy, channel_ids)

    async def on_connected() -> None:
        provisioner.start_over()
        await runner.synchronise()
        adoption.ask()

    def state() -> tuple[str, dict[str, int]]:
        """What keeps us from being ready (empty: nothing), and figures to watch."""
        reasons = [
            "" if ari.connected else f"ARI: {ari.last_problem}",
            "" if ami.connected else f"AMI: {ami.last_problem}",
            "" if provisioner.ready else f"provisioning: {provisioner.problem}",
            journal.problem,
        ]
        figures = {
            "pid": os.getpid(),
            "calls": len(runner.calls),
            "tasks": len(asyncio.all_tasks()),
            "notes_waiting": journal.waiting,
        }
        return "; ".join(filter(None, reasons)), figures

    async def keep_beating() -> None:
        while True:
            settings.heartbeat_file.touch()
            await asyncio.sleep(HEARTBEAT_S)

    async def keep_reporting() -> None:
        while True:
            reason, figures = state()
            try:
                async with asyncio.timeout(REPORT_S):
                    await database.transaction(
                        partial(
                            report_by,
                            part=f"{settings.node}.pbx",
                            ready=not reason,
                            reason=reason,
                            details=figures,
                        )
                    )
            except (SQLAlchemyError, OSError, TimeoutError) as problem:
                log.warning("no report: %s", problem, extra={"action": "report_failed"})
            await asyncio.sleep(REPORT_S)

    agi = AgiServer({AGI_SPOOLED: spooled(adoption)})
    await agi.start("127.0.0.1", settings.agi_port)
    background.start("journal", journal.run())
    background.start("ami", ami.run())
    background.start("ari", ari.run(on_connected, runner.on_event))
    background.start("provisioning", provisioner.run())
    if settings.has_fax_asterisk:
        background.start("ami of the faxes", fax_ami.run())
        background.start("fax watch", FaxWatch(fax_ami, settings.fax_spool, ami).run())
    else:
        background.start("fax watch", FaxWatch(ami, settings.fax_spool).run())
    background.start("adoption", adoption.run())
    background.start("meter", Meter(database, ari, ami, settings.node, settings.sounds / WARNING).run())
    background.start("heartbeat", keep_beating())
    background.start("report", keep_reporting())
    log.info("the control plane is up", extra={"action": "started"})
    await stop.wait()
    log.info("the control plane stops", extra={"action": "stopping"})
    await agi.stop()
    # Calls that go on are left to Asterisk: whoever starts next takes them up.
    await calls.drain(DRAIN_S if not ari.connected or not runner.calls else 0.5)
    try:
        async with asyncio.timeout(DRAIN_S):
            await journal.flushed()
    except TimeoutError:
        log.error("notes were not written before the stop", extra={"action": "notes_left"})
    await background.drain(0)
    await database.close()
