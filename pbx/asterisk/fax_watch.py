"""Looks after faxes that go on, whoever began them and whoever was away then.

Asterisk's fax stack counts time by what it hears: with a far machine that sends no packet at all neither
ReceiveFAX nor SendFAX ever ends, so it is hung up here. And whether error correction is used is known only
while the fax goes on: it is noted in the slip.

Where faxes have an Asterisk of their own and it dies, nobody tells the switch, whose half of each call would
stay: it is hung up here, so that the far machine knows.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ami.errors import AsteriskAway, AsteriskRefused
from pbx.dialplan.names import FAX_LINK
from store.fax_line import PAGES, SLIP

log = logging.getLogger(__name__)

CAUSE_NORMAL, CAUSE_TRY_LATER = "16", "41"
"""Q.850."""

LOOK_S = 1.0
"""A page of little ink takes hardly longer, and between pages there is nothing to see."""

SILENT_LOOK_S = 5.0
SILENT_S = 20.0
PACKETS = "CHANNEL(rtcp,rxcount)"
"""Packets received over RTP."""

ORPHANED_S = 3.0
"""A call between the two Asterisks has both its halves sooner."""

APPLICATIONS = {"ReceiveFAX", "SendFAX"}

UNSETTLED = "0x0"
"""The resolution before the machines have agreed on anything."""


class Asterisk(Protocol):
    """What is asked of AMI."""

    async def send(self, action: str, **headers: str) -> Any: ...
    async def entries(self, action: str, **headers: str) -> list[Any]: ...
    async def announced(self, action: str, **headers: str) -> Any: ...
    async def variable(self, channel: str, name: str) -> str: ...


class FaxWatch:
    """Looks every second, where there is a fax at all: `spool` then holds a slip."""

    def __init__(self, machine: Asterisk, spool: Path, switch: Asterisk | None = None) -> None:
        """`machine` runs the faxes; `switch` has the trunks, where that is another one."""
        self._machine, self._spool, self._switch = machine, spool, switch
        self._since: dict[str, float] = {}
        """Channel -> when its fax was first seen."""
        self._orphans: dict[str, float] = {}
        """The switch's half of a call -> since when it has been without another."""
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
        if self._switch is not None:
            await self._end_orphans(self._switch, at)
        await self._note_error_correction()
        if at - self._looked >= SILENT_LOOK_S:
            self._looked = at
            await self._end_silent(at)

    async def _end_silent(self, at: float) -> None:
        channels = await self._machine.entries("CoreShowChannels")
        faxing = {channel.channel for channel in channels if channel.application in APPLICATIONS}
        self._since = {channel: self._since.get(channel, at) for channel in faxing}
        for channel in [channel for channel, since in self._since.items() if at - since >= SILENT_S]:
            try:
                # T.38 has no RTP to count.
                if await self._machine.variable(channel, PACKETS) == "0":
                    log.warning("a far machine sends nothing", extra={"action": "silent_fax"})
                    await self._machine.send("Hangup", Channel=channel, Cause=CAUSE_NORMAL)
            except AsteriskRefused:
                # It has ended.
                continue

    async def _end_orphans(self, switch: Asterisk, at: float) -> None:
        halves = {
            channel.channel: channel.accountcode
            for channel in await switch.entries("CoreShowChannels")
            if channel.channel.startswith(f"PJSIP/{FAX_LINK}-")
        }
        alive = {channel.accountcode for channel in await self._machine.entries("CoreShowChannels")}
        self._orphans = {
            half: self._orphans.get(half, at) for half, fax_id in halves.items() if fax_id not in alive
        }
        for half in [half for half, since in self._orphans.items() if at - since >= ORPHANED_S]:
            log.warning("the Asterisk of a fax is gone", extra={"action": "orphaned_fax"})
            # Refused: it has ended.
            with suppress(AsteriskRefused):
                await switch.send("Hangup", Channel=half, Cause=CAUSE_TRY_LATER)

    async def _note_error_correction(self) -> None:
        sessions = {one.sessionnumber: one for one in await self._machine.entries("FAXSessions")}
        self._noted = {number: noted for number, noted in self._noted.items() if number in sessions}
        for number, session in sessions.items():
            try:
                told = await self._machine.announced("FAXSession", SessionNumber=number)
            except AsteriskRefused:
                # It has ended, or only listens for a fax.
                continue
            mode = told.errorcorrectionmode.lower()
            # The last that is seen counts: they may not have agreed yet.
            if told.imageresolution not in {"", UNSETTLED} and self._noted.get(number) != mode:
                slip = self._spool / f"{Path(session.files).name.removesuffix(PAGES)}{SLIP}"
                _append(slip, f"ecm={mode}\n")
                self._noted[number] = mode


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
