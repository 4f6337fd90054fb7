"""How services live in a process: until it is told to stop, or until one of them ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from settings.environment import Settings, SettingsRefused, read_settings
from settings.logs import log_to

Service = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""Works until the event is set, then finishes what can be finished in a few seconds."""


def run_services(name: str, *services: Service) -> None:
    """Run `services` in this process with the environment's settings; `name` is the log's.

    SIGTERM and SIGINT stop them. One that ends by itself stops the others, and what it raised is raised:
    whoever minds the process starts it again.
    """
    try:
        settings = read_settings(os.environ, Path.cwd())
    except SettingsRefused as refused:
        sys.exit(str(refused))
    log_to(settings.var / "log", name, settings.log_level)
    uvloop.run(_until_stopped(settings, services))


async def _until_stopped(settings: Settings, services: tuple[Service, ...]) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    ends = await asyncio.gather(
        *(_one(service, settings, stop) for service in services), return_exceptions=True
    )
    for end in ends:
        if isinstance(end, BaseException):
            raise end


async def _one(service: Service, settings: Settings, stop: asyncio.Event) -> None:
    try:
        await service(settings, stop)
    finally:
        stop.set()
