"""The API kept busy while calls are measured: a process asks it for lists, searches and details."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.connection import Connection

import uvloop
from aiohttp import ClientError, ClientSession, TCPConnector

from bench.measure import Percentiles
from tests.running_switch import RunningSwitch

PER_S = 100
PATHS = (
    "/api/v1/calls",
    "/api/v1/messages?read=false",
    "/api/v1/calls?other_party=090-1234-5678",
    "/api/v1/messages/summary",
    "/api/v1/numbers/{number_id}",
    "/api/v1/messages?text=山本",
    "/api/v1/devices",
)
NICENESS = 10
"""The load on the API is no caller: it takes what they leave, or the machine would measure itself."""


@contextmanager
def asking_the_api(switch: RunningSwitch) -> Iterator[None]:
    """Ask the instance's API `PER_S` things a second, and print at the end how it answered."""
    ours, theirs = multiprocessing.Pipe()
    asker = multiprocessing.get_context("spawn").Process(
        target=_ask, args=(switch.ready["api"], switch.ready["token"], switch.voice_number["id"], theirs)
    )
    asker.start()
    try:
        yield
    finally:
        ours.send("stop")
        print(f"\nThe API meanwhile, at {PER_S} requests a second: {ours.recv()}", flush=True)
        asker.join()


def _ask(api: str, token: str, number_id: str, stop: Connection) -> None:
    os.setsid()
    os.nice(NICENESS)
    stop.send(uvloop.run(_asked(api, token, [path.format(number_id=number_id) for path in PATHS], stop)))


async def _asked(api: str, token: str, paths: list[str], stop: Connection) -> str:
    took: list[float] = []
    others = 0

    async def ask(path: str, due: float) -> None:
        nonlocal others
        try:
            async with http.get(f"{api}{path}") as answer:
                await answer.read()
            others += answer.status != 200
        except ClientError:
            others += 1
        took.append(time.monotonic() - due)

    headers = {"Authorization": f"Bearer {token}"}
    async with (
        ClientSession(headers=headers, connector=TCPConnector(limit=200)) as http,
        asyncio.TaskGroup() as asking,
    ):
        due = time.monotonic()
        for path in cycle(paths):
            if stop.poll():
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            asking.create_task(ask(path, due))
            due += 1 / PER_S
    of = Percentiles.of(took)
    return f"{len(took)} answers, p50 {1000 * of.p50:.0f} ms, p99 {1000 * of.p99:.0f} ms, {others} not 200"
