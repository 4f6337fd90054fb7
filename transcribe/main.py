"""Wires the service together and runs it until it is told to stop."""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from typing import Any
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from settings import Settings
from settings.service import run_services
from store.database import Database, open_database
from store.media import Media
from store.recordings import TRANSCRIBE_RECORDING
from store.reports import report
from store.transcripts import TRANSCRIBE, report_without_text, wait_in_vain
from store.worker import Worker
from transcribe.recognisers import Recognisers
from transcribe.recordings import RecordingTranscription
from transcribe.service import Transcription

log = logging.getLogger(__name__)

ENGINE = "vosk"
REPORT_S = 2.0
REPORT_LIMIT_S = 2.0
WITHOUT_MODEL_S = 0.5
LEASE_S = 15.0
AHEAD = 4
"""Jobs taken per recogniser: the next ones are at hand while one is listened to."""

RECORDINGS_POLL_S = 1.0
DRAIN_S = 5.0


def main() -> None:
    """Run the service with the environment's settings."""
    run_services("transcribe", run)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until told to stop; then finish what can be finished in a few seconds."""
    database = open_database(settings.database_url)
    recognisers = Recognisers(ENGINE, settings.vosk_model, settings.transcribe_processes)
    service = Transcription(database, Media(settings.media), recognisers)
    worker = Worker(
        database,
        f"{socket.gethostname()}.transcribe.{os.getpid()}.{uuid4().hex[:8]}",
        {TRANSCRIBE: service.transcribe},
        at_once=AHEAD * settings.transcribe_processes,
        lease_s=LEASE_S,
        may_take=lambda: recognisers.ready and not stop.is_set(),
    )
    recordings = RecordingTranscription(database, Media(settings.media), recognisers)
    # One at a time: messages come first, and a recording may take as long as the call did.
    of_recordings = Worker(
        database,
        f"{socket.gethostname()}.transcribe.{os.getpid()}.{uuid4().hex[:8]}",
        {TRANSCRIBE_RECORDING: recordings.transcribe},
        at_once=1,
        lease_s=LEASE_S,
        poll_s=RECORDINGS_POLL_S,
        may_take=lambda: recognisers.ready and not stop.is_set(),
    )
    background: list[asyncio.Task[Any]] = [
        asyncio.create_task(recognisers.run(), name="recognisers"),
        asyncio.create_task(worker.run(), name="worker"),
        asyncio.create_task(of_recordings.run(), name="recordings"),
        asyncio.create_task(keep_reports_going(database, recognisers), name="reports without text"),
        asyncio.create_task(keep_telling(database, settings.node, recognisers, worker), name="report"),
    ]
    # None of them ends by itself: one that does takes the process down, and launch starts it again.
    for task in background:
        task.add_done_callback(lambda _: stop.set())
    await stop.wait()
    failed = [task for task in background if task.done()]
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            await worker.drained()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await database.close()
    for task in failed:
        task.result()


async def keep_reports_going(database: Database, recognisers: Recognisers) -> None:
    """While there is no model, messages are reported without waiting for their text."""
    while True:
        await asyncio.sleep(WITHOUT_MODEL_S)
        if recognisers.problem:
            try:
                if await database.reading(wait_in_vain):
                    async with database.session() as session:
                        await report_without_text(session, recognisers.problem)
            except (SQLAlchemyError, OSError) as away:
                log.warning("messages wait for their text: %s", away, extra={"action": "reports_wait"})


async def keep_telling(database: Database, node: str, recognisers: Recognisers, worker: Worker) -> None:
    """Say how we are. No model is no reason to take no calls: ready, with a reason."""
    while True:
        details: dict[str, Any] = {
            "pid": os.getpid(),
            "engine": recognisers.engine,
            "model": recognisers.model,
            "model_pid": recognisers.pid,
            "busy": worker.busy,
        }
        loading = "" if recognisers.ready else "文字起こし待ち: the model is being loaded"
        reason = recognisers.problem or loading or worker.problem
        try:
            async with asyncio.timeout(REPORT_LIMIT_S):
                await report(database, f"{node}.transcribe", not worker.problem, reason, details)
        except (SQLAlchemyError, OSError, TimeoutError) as problem:
            log.warning("no report: %s", problem, extra={"action": "report_failed"})
        await asyncio.sleep(REPORT_S)
