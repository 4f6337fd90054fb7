"""Notices when a recorded party talks with somebody else, and has its recording begun anew.

Asterisk's MixMonitor goes by the packet numbers of whoever speaks to the party outside. After a transfer they
are another telephone's, and where those are lower it takes them for late and leaves them out, for minutes.
The dialplan sees to blind transfers by itself (`recording.conf`); those with consultation nobody tells it of.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.recordings.adopt import look, read_slip

log = logging.getLogger(__name__)

LOOK_S = 1.0


class TransferWatch:
    """Looks every second while calls are recorded; `run` until it is cancelled."""

    def __init__(
        self,
        spool: Path,
        bridges: Callable[[], Awaitable[list[set[str]]]],
        renew: Callable[[str], Awaitable[None]],
    ) -> None:
        """`bridges` gives who is connected with whom, `renew` begins the recording of a channel anew."""
        self._spool, self._bridges, self._renew = spool, bridges, renew
        self._with: dict[str, set[str]] = {}
        """The party outside -> with whom it was connected last."""

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except (AsteriskAway, AsteriskRefused, OSError, TimeoutError) as problem:
                log.debug("transfers are not watched: %s", problem)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """See who talks with whom, and renew what has changed."""
        recorded = await asyncio.to_thread(_recorded, self._spool)
        self._with = {party: others for party, others in self._with.items() if party in recorded}
        if not recorded:
            return
        for bridge in await self._bridges():
            for party in bridge & recorded:
                others = bridge - {party}
                before = self._with.get(party)
                if not others or others == before:
                    continue
                self._with[party] = others
                if before is not None:
                    await self._renew(party)


def _recorded(spool: Path) -> set[str]:
    """The parties outside of all calls that go on being recorded."""
    slips = [read_slip(found.slip_path) for found in look(spool)]
    return {slip.outside for slip in slips if slip.outside and slip.when("begun") and not slip.over}
