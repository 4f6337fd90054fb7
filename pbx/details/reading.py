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
from store.channel_events import Place, ReadByAnother, let_go, move, pending, set_aside, where_read
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
    """Follows a node's file of channel events. `run` goes on for ever."""

    def __init__(self, database: Database, node: str, file: Path, channels: LiveChannels) -> None:
        """`channels`: the ids of all channels of the node's Asterisk; raises what AriSession raises."""
        self._database, self._node, self._file = database, node, file
        self._channels = channels
        self._last_alive: dict[str, datetime] = {}
        """Channels without an end -> when they were last known to live."""

        self._begun = False
        self._next_look = 0.0
        self.problem = ""
        """Why nothing can be read or kept at the moment."""

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
        """Take in what was noted since; True where there may be more at once."""
        async with self._database.session() as session:
            old = await where_read(session, self._node)
            waiting = await pending(session, self._node)
        chunk = await asyncio.to_thread(read_on, self._file, old)
        if chunk is None:
            return False
        new = list(_usable(decode(chunk.content)))
        await self._look_who_lives([raw for _, raw in waiting], old)
        legs, ids, left = self._sort(waiting, new)
        place = replace(chunk.place, alive_at=self._alive_at(old))
        if place != old or ids:
            async with self._database.session() as session:
                await move(session, self._node, old, place)
                await keep_legs(session, self._node, legs)
                await let_go(session, ids)
                await set_aside(session, self._node, left)
        await asyncio.to_thread(turn_over, self._file)
        return bool(chunk.content)

    def _sort(
        self, waiting: list[tuple[int, dict[str, Any]]], new: list[dict[str, Any]]
    ) -> tuple[list[Leg], list[int], list[dict[str, Any]]]:
        """Legs that are over; the rows of events that are done with; new events whose calls go on."""
        source: dict[Event, int | dict[str, Any]] = {}
        for row_id, raw in waiting:
            source[parse(raw)] = row_id
        for raw in new:
            source.setdefault(parse(raw), raw)
        legs: list[Leg] = []
        ids: list[int] = []
        left: list[dict[str, Any]] = []
        at = now()
        for group in groups(source):
            open_channels = unended(group)
            lost = {channel: self._lost_at(channel, at) for channel in open_channels}
            settled = max(event.at for event in group) + SETTLE <= at
            if settled and all(lost.values()):
                legs += legs_of(group, {channel: died for channel, died in lost.items() if died})
                ids += [said for event in group if isinstance(said := source[event], int)]
                self._forget(open_channels)
            else:
                left += [said for event in group if isinstance(said := source[event], dict)]
        return legs, ids, left

    # ---- channels that die with their Asterisk -----------------------------------------------------

    async def _look_who_lives(self, waiting: list[dict[str, Any]], old: Place | None) -> None:
        loop = asyncio.get_running_loop()
        if not waiting or loop.time() < self._next_look:
            return
        self._next_look = loop.time() + ALIVE_S
        open_channels = {channel for group in groups(map(parse, waiting)) for channel in unended(group)}
        try:
            living = await self._channels()
        except (AsteriskAway, AsteriskRefused):
            return
        at = now()
        # What waited when we began was seen alive by an earlier life of ours.
        first = old.alive_at if old and old.alive_at and not self._begun else at
        self._begun = True
        for channel in open_channels:
            self._last_alive[channel] = at if channel in living else self._last_alive.get(channel, first)

    def _lost_at(self, channel: str, at: datetime) -> datetime | None:
        """When a channel without an end was last alive, once it is surely dead."""
        alive = self._last_alive.get(channel)
        return alive if alive and at - alive > GONE_FOR else None

    def _alive_at(self, old: Place | None) -> datetime | None:
        return max(self._last_alive.values(), default=old.alive_at if old else None)

    def _forget(self, channels: set[str]) -> None:
        for channel in channels:
            self._last_alive.pop(channel, None)

    # ---- jobs ------------------------------------------------------------------------------------

    async def settle(self, job: TakenJob) -> None:
        """Close the record of a call that the control plane did not close."""
        async with self._database.session() as session:
            await settle_call(session, job.subject_id)
            await finish(session, job)


def _usable(found: Iterable[dict[str, Any] | Unreadable]) -> Iterator[dict[str, Any]]:
    """What can be used; of the rest the log says that it was there, without what stands in it."""
    for raw in found:
        try:
            if isinstance(raw, Unreadable):
                raise raw
            parse(raw)
        except Unreadable as problem:
            log.warning("a channel event is lost: %s", problem, extra={"action": "event_unreadable"})
        else:
            yield raw
