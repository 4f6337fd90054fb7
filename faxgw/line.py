"""The line, as the gateway uses it: have it call, watch, hang up. What came of a call stands in its slip."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ami.connection import Ami
from ami.errors import AsteriskRefused
from store.fax_line import (
    DIAL,
    SLIP,
    VAR_ECM,
    VAR_FILE,
    VAR_FROM,
    VAR_HEADER,
    VAR_ID,
    VAR_LIMIT_S,
    VAR_MAX_RATE,
    VAR_MODE,
    VAR_RING_S,
    VAR_STATION,
    VAR_TO,
    FaxSlip,
    parse_fax_slip,
)

LOOK_S = 1.0
RING_S = 60


@dataclass(frozen=True)
class Order:
    """One call to be made."""

    id: str
    to: str
    ours: str
    """E.164, both."""
    pages: Path
    station: str
    ecm: bool
    max_rate: int
    mode: str
    """`t38` or `audio`."""
    limit_s: int


@dataclass(frozen=True)
class Alive:
    """A call that goes on, and how many of its pages have arrived."""

    channels: tuple[str, ...] = ()
    pages: int = 0


class Line(Protocol):
    """What sending needs of the line. Everything raises ami's AsteriskAway while it cannot be reached."""

    async def dial(self, order: Order) -> None:
        """Have the call made. The same id is never called twice. Raises AsteriskRefused."""

    async def look(self) -> Mapping[str, Alive]:
        """The calls that go on, by their ids; no older than a second."""

    async def receiving(self) -> set[str]:
        """The ids of faxes whose calls go on."""

    async def hang_up(self, attempt_id: str) -> None:
        """End the call, where it goes on."""


class AsteriskLine:
    """The line by AMI. Looks at Asterisk at most once a second, for all calls together."""

    def __init__(self, ami: Ami) -> None:
        self._ami = ami
        self._seen: Mapping[str, Alive] = {}
        self._seen_at = float("-inf")
        self._looking = asyncio.Lock()

    async def dial(self, order: Order) -> None:
        variables = {
            VAR_FILE: str(order.pages),
            VAR_ID: order.id,
            VAR_TO: order.to,
            VAR_FROM: order.ours,
            VAR_STATION: order.station,
            VAR_HEADER: "",
            VAR_ECM: "yes" if order.ecm else "no",
            VAR_MAX_RATE: str(order.max_rate),
            VAR_MODE: order.mode,
            VAR_RING_S: str(RING_S),
            VAR_LIMIT_S: str(order.limit_s),
        }
        await self._ami.send(
            "Originate",
            Channel=DIAL,
            Application="NoOp",
            Async="true",
            Account=order.id,
            Timeout=str((RING_S + 30) * 1000),
            Variable=",".join(f"__{name}={value}" for name, value in variables.items()),
        )

    async def look(self) -> Mapping[str, Alive]:
        async with self._looking:
            at = asyncio.get_running_loop().time()
            if at - self._seen_at > LOOK_S:
                self._seen, self._seen_at = await self._look(), at
            return self._seen

    async def _look(self) -> dict[str, Alive]:
        channels: dict[str, list[str]] = {}
        for channel in await self._ami.entries("CoreShowChannels"):
            if channel.accountcode:
                channels.setdefault(channel.accountcode, []).append(channel.channel)
        pages = await self._pages() if channels else {}
        return {
            attempt_id: Alive(tuple(names), max((pages.get(name, 0) for name in names), default=0))
            for attempt_id, names in channels.items()
        }

    async def _pages(self) -> dict[str, int]:
        """Channel -> pages that the far machine has confirmed."""
        found: dict[str, int] = {}
        for session in await self._ami.entries("FAXSessions"):
            if session.sessionnumber and session.operation.lower() == "send":
                try:
                    told = await self._ami.announced("FAXSession", SessionNumber=session.sessionnumber)
                except AsteriskRefused:
                    # It ended since it was listed.
                    continue
                found[session.channel] = _count(told.pagestransmitted)
        return found

    async def receiving(self) -> set[str]:
        channels = await self._ami.entries("CoreShowChannels")
        # An Asterisk of the faxes' own has the id for an account code: the call began in another one.
        return {one.uniqueid for one in channels} | {one.accountcode for one in channels}

    async def hang_up(self, attempt_id: str) -> None:
        for channel in (await self._look()).get(attempt_id, Alive()).channels:
            # Refused: it is gone.
            with suppress(AsteriskRefused):
                await self._ami.send("Hangup", Channel=channel)


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def read_slip(spool: Path, attempt_id: str) -> tuple[FaxSlip, str] | None:
    """The slip as far as it is written, and its words; None where the call was never begun. Blocks."""
    try:
        text = (spool / f"{attempt_id}{SLIP}").read_text(errors="replace")
    except FileNotFoundError:
        return None
    return parse_fax_slip(text), text[:4000]
