"""Hangs up on far machines that send no packet at all.

Asterisk's fax stack counts time by what it hears: without any audio neither ReceiveFAX nor SendFAX ever ends.
This looks at whatever fax goes on, also one that began while we were away.
"""

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

from ami.errors import AsteriskAway, AsteriskRefused
from pbx.asterisk.ari import Json
from pbx.asterisk.call import CAUSE_NORMAL
from pbx.dialplan.names import CONTEXT_FAX_RECEIVE, CONTEXT_FAX_SEND
from pbx.errors import HungUp

log = logging.getLogger(__name__)

LOOK_S = 5.0
SILENT_S = 20.0
PACKETS = "CHANNEL(rtcp,rxcount)"
"""Packets received over RTP; empty in T.38."""


class Channels(Protocol):
    """What is asked of Asterisk."""

    async def channels(self) -> list[Json]: ...
    async def variable(self, channel: str, name: str) -> str: ...
    def hang_up(self, channel: str, cause: int) -> Awaitable[None]: ...


class FaxGuard:
    """Looks every few seconds, where there is a fax at all: `spool` then holds a slip."""

    def __init__(self, ari: Channels, spool: Path) -> None:
        self._ari, self._spool = ari, spool
        self._since: dict[str, float] = {}
        """Channel -> when its fax was first seen."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look(asyncio.get_running_loop().time())
            except (AsteriskAway, AsteriskRefused, OSError) as problem:
                log.warning("no look at faxes: %s", problem, extra={"action": "fax_guard_waits"})

    async def look(self, at: float) -> None:
        """Hang up on whoever was silent for too long by `at`, in seconds of any one clock."""
        if not any(self._spool.glob("*.fax")):
            self._since.clear()
            return
        faxing = {channel["id"] for channel in await self._ari.channels() if _is_faxing(channel)}
        self._since = {channel: self._since.get(channel, at) for channel in faxing}
        for channel in [channel for channel, since in self._since.items() if at - since >= SILENT_S]:
            try:
                if await self._ari.variable(channel, PACKETS) == "0":
                    log.warning("a far machine sends nothing", extra={"action": "silent_fax"})
                    await self._ari.hang_up(channel, CAUSE_NORMAL)
            except HungUp:
                continue


def _is_faxing(channel: Json) -> bool:
    return channel["dialplan"]["context"] in {CONTEXT_FAX_RECEIVE, CONTEXT_FAX_SEND}
