"""When the control plane does not come back, its callers must not wait in silence: the dialplan takes them.

A controller that is killed is back within two or three seconds and takes its calls up itself. This is for
one that cannot start, or hangs; one that hangs for long is killed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from launch.asking import ask
from pbx.dialplan.names import APPLICATION, CONTEXT_AWAY
from settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 0.5
SILENT_S = 6.0
"""The control plane shows every second that it is alive; a new one needs two or three to begin."""

HANGING_S = 15.0

Ari = Callable[[str, str], Awaitable[tuple[int, Any]]]
"""Asks ARI by method and path: the status, and what it answered."""


async def release_callers(settings: Settings, kill_controller: Callable[[], None]) -> None:
    """Watch, and hand waiting callers to the dialplan while the control plane shows no life; for ever."""

    async def ari(method: str, path: str) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{settings.ari_port}/ari/{path}"
        return await ask(url, method, APPLICATION, settings.ari_password)

    while True:
        await asyncio.sleep(LOOK_S)
        silent_s = _silent_s(settings)
        if silent_s > HANGING_S:
            kill_controller()
        if silent_s > SILENT_S:
            try:
                await _release(ari, settings.recording_spool)
            except (OSError, KeyError, TypeError, ValueError) as problem:
                log.warning("callers cannot be released: %s", problem)


def _silent_s(settings: Settings) -> float:
    try:
        return time.time() - settings.heartbeat_file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


async def _records(ari: Ari, channel: str, spool: Path) -> bool:
    """Whether the channel is being recorded, or will be: into its first file or one that followed."""
    for name in _file_names(channel, spool):
        status, _ = await ari("GET", f"recordings/live/{name}")
        if status == 200:
            return True
    return False


def _file_names(channel: str, spool: Path) -> set[str]:
    return {channel, *(path.stem for path in spool.glob(f"{channel}-*.wav"))}


async def _release(ari: Ari, spool: Path) -> None:
    status, application = await ari("GET", f"applications/{APPLICATION}")
    if status != 200:
        return
    for channel in application["channel_ids"]:
        if await _records(ari, channel, spool):
            # Its own limits end it; then the dialplan says thank you.
            continue
        query = urlencode({"context": CONTEXT_AWAY, "extension": "s", "priority": "1"})
        status, _ = await ari("POST", f"channels/{channel}/continue?{query}")
        log.warning("a waiting caller goes to the dialplan: %d", status)
