"""The meter: calls on credit are extended as far as credit goes, warned before they end, and end.

Asterisk holds the limit of every leg by itself (`TIMEOUT(absolute)`), so a call never lasts longer than it
is paid for, whatever becomes of us. The limit is set when the call is set up and counts its ringing; once
the meter has seen the answer it counts from there. What the meter knows it keeps with the reservation, and
whoever starts next goes on with it.
"""

import asyncio
import logging
import wave
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from ami.errors import AsteriskAway, AsteriskRefused
from pbx.asterisk.ari import Json
from pbx.asterisk.call import CAUSE_NORMAL
from pbx.dialplan.names import CALL_ID, METER_CHANNEL
from pbx.errors import HungUp
from store import credit
from store.database import Database
from store.models import now
from store.running_calls import LimitedCall, limited_calls, note_answer

log = logging.getLogger(__name__)

LOOK_S = 0.5
EXTEND_S = 60.0
"""So long before its limit more credit is asked for."""

ASK_AGAIN_S = 4.0
WARN_S = 30.0
"""So long before the end the caller is told, or at once where the call is shorter."""

TOO_LATE_S = 3.0
"""Then a warning would be cut off in its middle."""

WARNING = "credit-warning"
LONGEST_WARNING_S = 10.0


class Channels(Protocol):
    """What is asked of Asterisk's ARI."""

    async def channels(self) -> list[Json]: ...
    async def whisper_to(self, channel: str, snoop: str) -> None: ...
    def play(self, channel: str, playback: str, media: str) -> Awaitable[None]: ...
    def hang_up(self, channel: str, cause: int) -> Awaitable[None]: ...


class Limits(Protocol):
    """What is asked of Asterisk's AMI."""

    async def limit(self, channel_name: str, seconds: float) -> None: ...


@dataclass
class Watched:
    """What the meter remembers of a call between two looks."""

    rang: bool = False
    """It was seen while nobody had answered: so its answer is seen when it comes."""

    limit_set_at: datetime | None = None
    limit_s: int = 0
    asked_at: datetime | None = None
    warned_for: int = 0
    """The limit whose end the caller was told of."""

    telling: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Meter:
    """Looks twice a second, where any call of this node runs on credit."""

    def __init__(self, database: Database, ari: Channels, ami: Limits, node: str, warning: Path) -> None:
        self._database, self._ari, self._ami = database, ari, ami
        self._node, self._warning = node, warning
        with wave.open(str(warning.with_suffix(".wav")), "rb") as sound:
            self._warning_s = sound.getnframes() / sound.getframerate() + 0.5
        self._watched: dict[str, Watched] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except (AsteriskAway, AsteriskRefused, SQLAlchemyError, OSError, TimeoutError) as problem:
                log.warning("no look at credit: %s", type(problem).__name__, extra={"action": "meter_waits"})

    async def look(self) -> None:
        """See to every call once."""
        calls = await self._database.reading(partial(limited_calls, node=self._node))
        self._watched = {call.call_id: self._watched.get(call.call_id, Watched()) for call in calls}
        if not calls:
            return
        legs = legs_of(await self._ari.channels())
        for call in calls:
            if call.call_id in legs:
                await self._see_to(call, self._watched[call.call_id], legs[call.call_id])

    async def _see_to(self, call: LimitedCall, watched: Watched, legs: list[Json]) -> None:
        at = now()
        try:
            if call.answered_at is None:
                answered_at = await self._until_answered(call, watched, legs, at)
                if answered_at is None:
                    return
                call = call._replace(answered_at=answered_at)
            await self._see_to_answered(call, watched, legs, at)
        except (AsteriskRefused, HungUp):
            # It has just ended.
            return

    async def _until_answered(
        self, call: LimitedCall, watched: Watched, legs: list[Json], at: datetime
    ) -> datetime | None:
        """When it was answered; None while it rings, which takes nothing off its time."""
        if not is_answered(call.call_id, legs):
            watched.rang = True
            since = watched.limit_set_at or call.reserved_at
            if (at - since).total_seconds() > call.limit_s / 2:
                await self._set_limit(watched, legs, call.limit_s, call.limit_s, at)
            return None
        # Without having seen it ring nobody knows how long it has been answered: as long as can be.
        answered_at = at if watched.rang else call.reserved_at
        await self._database.transaction(partial(note_answer, call_id=call.call_id, at=answered_at))
        return answered_at

    async def _see_to_answered(
        self, call: LimitedCall, watched: Watched, legs: list[Json], at: datetime
    ) -> None:
        assert call.answered_at is not None
        spent_s = (at - call.answered_at).total_seconds()
        limit_s = call.limit_s
        if should_ask(limit_s - spent_s, watched.asked_at, at):
            watched.asked_at = at
            allowance = await self._database.transaction(partial(credit.extend, call_id=call.call_id, at=at))
            if allowance.limit_s is not None:
                limit_s = allowance.limit_s
        if watched.limit_s != limit_s:
            await self._set_limit(watched, legs, limit_s, limit_s - spent_s, at)
        left_s = limit_s - spent_s
        if TOO_LATE_S < left_s <= WARN_S and watched.warned_for != limit_s:
            watched.warned_for = limit_s
            caller = next((leg for leg in legs if leg["id"] == call.call_id), legs[0])
            watched.telling = asyncio.create_task(
                self._warn(caller["id"], watched), name=f"warn {call.call_id}"
            )

    async def _set_limit(
        self, watched: Watched, legs: list[Json], limit_s: int, left_s: float, at: datetime
    ) -> None:
        for leg in legs:
            await self._ami.limit(leg["name"], left_s)
        watched.limit_s, watched.limit_set_at = limit_s, at

    async def _warn(self, channel: str, watched: Watched) -> None:
        """Tell the caller, and nobody else, that the call will end; in vain, the next look tries again."""
        snoop = f"{METER_CHANNEL}{channel}"
        playback = f"{snoop}-warning"
        try:
            async with asyncio.timeout(LONGEST_WARNING_S):
                await self._ari.whisper_to(channel, snoop)
                await self._play(snoop, playback)
                await asyncio.sleep(self._warning_s)
        except (AsteriskAway, AsteriskRefused, HungUp, TimeoutError) as problem:
            log.warning("not warned: %s", type(problem).__name__, extra={"action": "not_warned"})
            watched.warned_for = 0
        finally:
            with suppress(AsteriskAway, AsteriskRefused, HungUp):
                await self._ari.hang_up(snoop, CAUSE_NORMAL)

    async def _play(self, snoop: str, playback: str) -> None:
        """The new channel takes a moment to come to our application."""
        while True:
            try:
                await self._ari.play(snoop, playback, f"sound:{self._warning}")
                return
            except HungUp:
                await asyncio.sleep(0.1)


def legs_of(channels: list[Json]) -> dict[str, list[Json]]:
    """The channels of each call, by the call's id. Pure."""
    legs: dict[str, list[Json]] = {}
    for channel in channels:
        if not channel["id"].startswith(METER_CHANNEL):
            call_id = channel.get("channelvars", {}).get(CALL_ID) or channel["id"]
            legs.setdefault(call_id, []).append(channel)
    return legs


def is_answered(call_id: str, legs: list[Json]) -> bool:
    """Whether the other end has answered: the caller's own channel is up sooner, or gone. Pure."""
    return any(leg["state"] == "Up" for leg in legs if leg["id"] != call_id)


def should_ask(left_s: float, asked_at: datetime | None, at: datetime) -> bool:
    """Whether to ask for more credit now: now and then, and at the very end as often as one looks. Pure."""
    if left_s > EXTEND_S or left_s <= 0:
        return False
    waited_s = None if asked_at is None else (at - asked_at).total_seconds()
    return waited_s is None or waited_s >= ASK_AGAIN_S or left_s < ASK_AGAIN_S
