"""Looks after faxes that go on, whoever began them and whoever was away then.

Asterisk's fax stack counts time by what it hears: with a far machine that sends no packet at all neither
ReceiveFAX nor SendFAX ever ends, so it is hung up here. And whether error correction is used is known only
while the fax goes on: it is noted in the slip.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Protocol

from ami.errors import AsteriskAway, AsteriskRefused
from pbx.asterisk.ari import Json
from pbx.asterisk.call import CAUSE_NORMAL
from pbx.dialplan.names import CONTEXT_FAX_RECEIVE, CONTEXT_FAX_SEND
from pbx.errors import HungUp
from store.fax_line import PAGES, SLIP

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""A page of little ink takes hardly longer, and between pages there is nothing to see."""

SILENT_LOOK_S = 5.0
SILENT_S = 20.0
PACKETS = "CHANNEL(rtcp,rxcount)"
"""Packets received over RTP."""

UNSETTLED = "0x0"
"""The resolution before the machines have agreed on anything."""


class Channels(Protocol):
    """What is asked of ARI."""

    async def channels(self) -> list[Json]: ...
    async def variable(self, channel: str, name: str) -> str: ...
    def hang_up(self, channel: str, cause: int) -> Awaitable[None]: ...


class Sessions(Protocol):
    """What is asked of AMI."""

    async def entries(self, action: str, **headers: str) -> list[Any]: ...
    async def announced(self, action: str, **headers: str) -> Any: ...


class FaxWatch:
    """Looks every second, where there is a fax at all: `spool` then holds a slip."""

    def __init__(self, ari: Channels, ami: Sessions, spool: Path) -> None:
        self._ari, self._ami, self._spool = ari, ami, spool
        self._since: dict[str, float] = {}
        """Channel -> when its fax was first seen."""
        self._looked = float("-inf")
        """When silence was last looked for."""
        self._noted: dict[str, str] = {}
        """Fax session -> what its slip says of its error correction."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look(asyncio.get_running_loop().time())
            except (AsteriskAway, AsteriskRefused, OSError) as problem:
                log.warning("no look at faxes: %s", problem, extra={"action": "fax_watch_waits"})

    async def look(self, at: float) -> None:
        """See to all faxes; `at` is in seconds of any one clock."""
        if not any(self._spool.glob(f"*{SLIP}")):
            self._since.clear()
            return
        await self._note_error_correction()
        if at - self._looked >= SILENT_LOOK_S:
            self._looked = at
            await self._end_silent(at)

    async def _end_silent(self, at: float) -> None:
        faxing = {channel["id"] for channel in await self._ari.channels() if _is_faxing(channel)}
        self._since = {channel: self._since.get(channel, at) for channel in faxing}
        for channel in [channel for channel, since in self._since.items() if at - since >= SILENT_S]:
            try:
                if await self._ari.variable(channel, PACKETS) == "0":
                    log.warning("a far machine sends nothing", extra={"action": "silent_fax"})
                    await self._ari.hang_up(channel, CAUSE_NORMAL)
            except (HungUp, AsteriskRefused):
                # It has ended, or is T.38 by now, which has no RTP to count.
                continue

    async def _note_error_correction(self) -> None:
        sessions = {one.sessionnumber: one for one in await self._ami.entries("FAXSessions")}
        self._noted = {number: noted for number, noted in self._noted.items() if number in sessions}
        for number, session in sessions.items():
            try:
                told = await self._ami.announced("FAXSession", SessionNumber=number)
            except AsteriskRefused:
                # It has ended, or only listens for a fax.
                continue
            mode = told.errorcorrectionmode.lower()
            # The last that is seen counts: they may not have agreed yet.
            if told.imageresolution not in {"", UNSETTLED} and self._noted.get(number) != mode:
                slip = self._spool / f"{Path(session.files).name.removesuffix(PAGES)}{SLIP}"
                _append(slip, f"ecm={mode}\n")
                self._noted[number] = mode


def _is_faxing(channel: Json) -> bool:
    return channel["dialplan"]["context"] in {CONTEXT_FAX_RECEIVE, CONTEXT_FAX_SEND}


def _append(slip: Path, line: str) -> None:
    """One write, beside Asterisk's own; a slip that was taken in meanwhile is not made anew."""
    try:
        file = os.open(slip, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
