"""Reads what Asterisk notes of its channels and keeps the legs of calls that are over, each exactly once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pbx.details.events import Event, Unreadable, decode, parse
from pbx.details.files import read_on, turn_over
from pbx.details.legs import groups, legs_of, unended
from pbx.errors import AsteriskAway, AsteriskRefused
from store.call_legs import Leg, keep_legs, settle_call
from store.channel_events import Place, ReadByAnother, move, where_read
from store.database import Database
from store.jobs import TakenJob, finish
from store.models import now

log = logging.getLogger(__name__)

LOOK_S = 1.0
SETTLE = timedelta(seconds=3)
"""A call's own record is written in this time; and whatever else there is to say of the channel, is said."""

ALIVE_S = 5.0
GONE_FOR = timedelta(seconds=15)
"""A channel that Asterisk does not know, and of which it noted no end, has died with an Asterisk."""

LiveChannels = Callable[[], Awaitable[set[str]]]


class Details:
    """Follows a node's file of channel events. `run` goes on for ever.

    Events of calls that go on are held in memory. The place that the store knows is never behind the first
    of them, so that a new life reads them again; a leg that was kept before is kept once all the same.
    """

    def __init__(self, database: Database, node: str, file: Path, channels: LiveChannels) -> None:
        """`channels`: the ids of all channels of the node's Asterisk; raises what AriSession raises."""
        self._database, self._node, self._file = database, node, file
        self._channels = channels
        self._open: dict[Event, Place] = {}
        """What was read of calls that go on, oldest first -> where to read it again."""

        self._marked: Place | None = None
        """Where the store says that a new life begins."""

        self._read: Place | None = None
        """How far this life has read; None while it has not begun."""

        self._last_alive: dict[str, datetime] = {}
        """Channels without an end -> when they were last known to live."""

        self._begun = False
        self._next_look = 0.0
        self.problem = ""
        """Why nothing can be read or kept at the moment."""

    @property
    def waiting(self) -> int:
        """Events whose calls go on."""
        return len(self._open)

    async def run(self) -> None:
        while True:
            try:
                more = await self.look()
                self.problem = ""
            except (SQLAlchemyError, OSError, TimeoutError, ReadByAnother) as problem:
                more = False
                said = f"details: {type(problem).__name__}"
                if said != self.problem:
                    log.warning("call details wait: %s", said, extra={"action": "details_wait"})
                self.problem = said
            if not more:
                await asyncio.sleep(LOOK_S)

    async def look(self) -> bool:
        """Take in what was noted since; True where that was not all, but as much as is read in one go.

        On a busy switch there is always a little more, and each look goes through all calls that go on.
        """
        if self._read is None:
            async with self._database.session() as session:
                self._read = self._marked = await where_read(session, self._node)
        chunk = await asyncio.to_thread(read_on, self._file, self._read)
        if chunk is None:
            return False
        await self._look_who_lives()
        found = self._open | dict.fromkeys(_usable(decode(chunk.content)), chunk.begin)
        legs, still = self._sort(found)
        mark = replace(next(iter(still.values()), chunk.place), alive_at=self._alive_at())
        if legs or mark != self._marked:
            await self._keep(legs, mark)
        self._marked, self._read, self._open = mark, chunk.place, still
        await asyncio.to_thread(turn_over, self._file)
        return chunk.cut

    async def _keep(self, legs: list[Leg], mark: Place) -> None:
        try:
            async with self._database.session() as session:
                await move(session, self._node, self._marked, mark)
                await keep_legs(session, self._node, legs)
        except ReadByAnother:
            self._read, self._open = None, {}
            raise

    def _sort(self, found: dict[Event, Place]) -> tuple[list[Leg], dict[Event, Place]]:
        """Legs that are over, and what was found of calls that go on."""
        legs: list[Leg] = []
        over: set[Event] = set()
        at = now()
        for group in groups(found):
            open_channels = unended(group)
            lost = {channel: self._lost_at(channel, at) for channel in open_channels}
            settled = max(event.at for event in group) + SETTLE <= at
            if settled and all(lost.values()):
                legs += legs_of(group, {channel: died for channel, died in lost.items() if died})
                over.update(group)
                self._forget(open_channels)
        return legs, {event: place for event, place in found.items() if event not in over}

    # ---- channels that die with their Asterisk -----------------------------------------------------

    async def _look_who_lives(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._open or loop.time() < self._next_look:
            return
        self._next_look = loop.time() + ALIVE_S
        open_channels = unended(self._open)
        try:
            living = await self._channels()
        except (AsteriskAway, AsteriskRefused):
            return
        at = now()
        # What waited when we began was seen alive by an earlier life of ours.
        seen_before = self._marked.alive_at if self._marked else None
        first = seen_before if seen_before and not self._begun else at
        self._begun = True
        for channel in open_channels:
            self._last_alive[channel] = at if channel in living else self._last_alive.get(channel, first)

    def _lost_at(self, channel: str, at: datetime) -> datetime | None:
        """When a channel without an end was last alive, once it is surely dead."""
        alive = self._last_alive.get(channel)
        return alive if alive and at - alive > GONE_FOR else None

    def _alive_at(self) -> datetime | None:
        return max(self._last_alive.values(), default=self._marked.alive_at if self._marked else None)

    def _forget(self, channels: set[str]) -> None:
        for channel in channels:
            self._last_alive.pop(channel, None)

    # ---- jobs ------------------------------------------------------------------------------------

    async def settle(self, job: TakenJob) -> None:
        """Close the record of a call that the control plane did not close."""
        async with self._database.session() as session:
            await settle_call(session, job.subject_id)
            await finish(session, job)


def _usable(found: Iterable[dict[str, Any] | Unreadable]) -> Iterator[Event]:
    """What can be used; of the rest the log says that it was there, without what stands in it."""
    for raw in found:
        try:
            if isinstance(raw, Unreadable):
                raise raw
            yield parse(raw)
        except Unreadable as problem:
            log.warning("a channel event is lost: %s", problem, extra={"action": "event_unreadable"})
