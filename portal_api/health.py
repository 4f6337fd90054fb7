"""`/healthz`: the process answers. `/readyz`: a call would be taken and its message kept."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel

from portal_api.problems import Problem
from portal_api.routing import Ask, Parts, Resource, short_session
from store.models import PartReport, now
from store.reports import read_all

resource = Resource("稼働状況", prefix="")

DATABASE_TIMEOUT_S = 1.0
LEAST_FREE_BYTES = 200 * 1000 * 1000
LOW_BYTES = 1000 * 1000 * 1000
"""From here on it is still ready, and says that it will not be for long."""

STALE = timedelta(seconds=6)
FORGOTTEN = timedelta(days=1)
"""A node silent for so long was taken out of service: it no longer counts."""


class Live(BaseModel):
    live: bool


class PartState(BaseModel):
    part: str
    ready: bool
    reason: str


class Readiness(BaseModel):
    ready: bool
    parts: list[PartState]


@resource.get("/healthz", "このプロセスが動いているか")
async def healthz() -> Live:
    return Live(live=True)


@resource.get("/readyz", "電話を受けられるか。受けられなければ503と理由", answers=Readiness)
async def readyz(ask: Ask) -> web.Response:
    readiness = await read_readiness(ask.parts)
    body = readiness.model_dump_json().encode()
    return web.Response(status=200 if readiness.ready else 503, body=body, content_type="application/json")


async def read_readiness(parts: Parts) -> Readiness:
    """Ask every part. Without a database nothing is known of the parts that report there."""
    states = [await asyncio.to_thread(_media_state, parts.media.folder)]
    try:
        async with short_session(parts.database, DATABASE_TIMEOUT_S) as session:
            reports = await read_all(session)
    except Problem:
        states.append(PartState(part="database", ready=False, reason="did not answer in time"))
    else:
        states.append(PartState(part="database", ready=True, reason=""))
        states += reported_states(reports, f"{parts.node}.pbx", now())
    return Readiness(ready=all(state.ready for state in states if _takes_calls(state.part)), parts=states)


def _takes_calls(part: str) -> bool:
    """Whether a call needs this part; what comes after calls waits where its part is down."""
    return part in {"media", "database"} or part.endswith(".pbx")


def reported_states(reports: Iterable[PartReport], expected: str, at: datetime) -> list[PartState]:
    """Judge the reports as of `at`; the `expected` part is down as long as it has not reported."""
    counted = [report for report in reports if report.part == expected or at - report.reported_at < FORGOTTEN]
    states = [_reported_state(report, at) for report in counted]
    if not any(state.part == expected for state in states):
        states.append(PartState(part=expected, ready=False, reason="has not reported yet"))
    return states


def _reported_state(report: PartReport, at: datetime) -> PartState:
    silent_s = (at - report.reported_at).total_seconds()
    if silent_s > STALE.total_seconds():
        return PartState(part=report.part, ready=False, reason=f"silent for {silent_s:.0f} s")
    return PartState(part=report.part, ready=report.ready, reason=report.reason)


def _media_state(folder: Path) -> PartState:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
        free = shutil.disk_usage(folder).free
    except OSError as refused:
        return PartState(part="media", ready=False, reason=f"not writable: {refused.strerror}")
    if free < LEAST_FREE_BYTES:
        return PartState(part="media", ready=False, reason=f"only {free // 1_000_000} MB of disk left")
    warning = f"only {free // 1_000_000} MB of disk left" if free < LOW_BYTES else ""
    return PartState(part="media", ready=True, reason=warning)
