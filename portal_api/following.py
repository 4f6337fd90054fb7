"""Following what happens: one look at the database for all who follow, and a stream for each."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.problems import Problem
from portal_api.routing import PARTS, short_session
from portal_api.schemas import JAPAN
from portal_api.streaming import write_soon
from store.events import newest_id, read_events
from store.models import Event

LOOK_S = 0.5
HEARTBEAT_S = 15.0
STALLED_S = 30.0
READ_TOGETHER = 100
MOST_STREAMS = 200
MOST_OF_ACCOUNT = 20

OpenSession = Callable[[], AbstractAsyncContextManager[AsyncSession]]


class Tail:
    """Knows the newest event's id, as long as anybody follows."""

    def __init__(self, open_session: OpenSession) -> None:
        self._open_session = open_session
        self._followed = asyncio.Event()
        self._moved = asyncio.Event()
        self._streams: Counter[str] = Counter()
        self.newest = 0
        self.closing = False

    @property
    def streams(self) -> int:
        """How many follow."""
        return self._streams.total()

    @contextmanager
    def follow(self, account_id: str) -> Iterator[None]:
        """Count as one who follows. Raises Problem `too_many_streams`."""
        if self.streams >= MOST_STREAMS or self._streams[account_id] >= MOST_OF_ACCOUNT:
            raise Problem("too_many_streams", headers={"Retry-After": "30"})
        self._streams[account_id] += 1
        self._followed.set()
        try:
            yield
        finally:
            self._streams[account_id] -= 1
            self._streams += Counter()
            if not self._streams:
                self._followed.clear()

    async def beyond(self, seen: int, timeout_s: float) -> None:
        """Wait until there is an event newer than `seen`, or until `timeout_s` is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.newest <= seen and not self.closing:
                    await self._moved.wait()

    async def run(self) -> None:
        """Look again and again; a database that is away is asked until it is back."""
        while True:
            await self._followed.wait()
            with suppress(Problem):
                async with self._open_session() as session:
                    newest = await newest_id(session)
                if newest != self.newest:
                    self.newest = newest
                    self._wake()
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Let every stream end."""
        self.closing = True
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


TAIL = web.AppKey("tail", Tail)


async def tailing(app: web.Application) -> AsyncIterator[None]:
    """Run the app's Tail as long as the app runs."""
    parts = app[PARTS]
    app[TAIL] = tail = Tail(lambda: short_session(parts.database, parts.database_timeout_s))
    looking = asyncio.create_task(tail.run(), name="tail")
    yield
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def end_streams(app: web.Application) -> None:
    """On shutdown: a stream would never end by itself."""
    app[TAIL].close()


class Stream:
    """One who follows an account. What it takes slowly waits in the database, not in memory."""

    def __init__(
        self, request: web.Request, open_session: OpenSession, account_id: str, areas: Sequence[str]
    ) -> None:
        self._request = request
        self._open_session = open_session
        self._account_id = account_id
        self._areas = areas
        self._response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                # Proxies of nginx's kind would gather events otherwise.
                "X-Accel-Buffering": "no",
            }
        )
        self._said_at = 0.0

    async def send(
        self, after: int, complete: bool, tail: Tail, still_welcome: Callable[[], Any]
    ) -> web.StreamResponse:
        """Answer with events until the client goes, or is no longer welcome, or we stop."""
        await self._response.prepare(self._request)
        await self._say(f"retry: 3000\nid: {after}\n\n" if complete else _gap(after))
        while not tail.closing:
            seen = tail.newest
            events = await self._next(after)
            for event in events:
                await self._say(written(event))
                after = event.id
            if len(events) == READ_TOGETHER:
                continue
            await tail.beyond(seen, HEARTBEAT_S)
            if time.monotonic() - self._said_at >= HEARTBEAT_S:
                if not await still_welcome():
                    break
                await self._say(": \n\n")
        await self._response.write_eof()
        return self._response

    async def _next(self, after: int) -> Sequence[Event]:
        try:
            async with self._open_session() as session:
                return await read_events(session, self._account_id, after, self._areas, READ_TOGETHER)
        except Problem:
            # The database is away: whoever follows needs to know nothing of it.
            await asyncio.sleep(LOOK_S)
            return []

    async def _say(self, text: str) -> None:
        await write_soon(self._request, self._response, text.encode(), STALLED_S)
        self._said_at = time.monotonic()


def written(event: Event) -> str:
    """The event as the stream shows it."""
    told = {
        "id": event.id,
        "at": event.at.astimezone(JAPAN).isoformat(),
        "kind": event.kind,
        "subject_id": event.subject_id,
        "data": event.data,
    }
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"


def _gap(after: int) -> str:
    """Something may have happened that is no longer kept: read everything anew."""
    return f'retry: 3000\nid: {after}\nevent: gap\ndata: {{"kind": "gap"}}\n\n'
