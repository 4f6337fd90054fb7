"""`python -m bench.api [--calls N]`: the API's lists, searches and details, on a full database.

Three figures for each request: how long it takes at a steady rate (p50, p99), how many a second at most,
and that as a share of what a bare aiohttp handler manages that runs the same query and serialises the
rows, without our checks, shapes and documents.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import ClientSession, TCPConnector, web
from sqlalchemy import insert

from portal_api.main import build_app, settle
from portal_api.routing import Parts
from settings import AccessSettings
from store.call_legs import legs_of_call
from store.calls import CallFilter, get_call, list_calls
from store.database import Database, open_database
from store.media import Media
from store.messages import MessageFilter, list_messages
from store.migrate import migrate
from store.models import Base, Call, CallerKind, EndedBy, MessageSource, VoiceMessage, new_id
from store.pages import PageRequest
from store.phonebook import EntryPageRequest, NewEntry, NewNumber, list_entries
from store.phonebook_imports import add_entries
from store.phonebook_names import read_names
from tests.furnishing import FIRST_CALL, SECRET_KEY, Furnished, furnish
from tests.postgres import create_database, running_postgres

MESSAGES = 50_000
ENTRIES = 50_000
TOGETHER = 5_000
RATE_PER_S = 100
STEADY_S = 8.0
FULL_S = 4.0
AT_ONCE = 16
STEADY_AIM_MS = 50.0
SHARE_AIM = 0.5
FAMILY, GIVEN = "田中山本佐藤鈴木高橋伊藤渡辺小林", "太郎花子一二三健美香翔陽"
KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"

Query = Callable[[Database, str], Awaitable[Any]]


@dataclass(frozen=True)
class Measured:
    """One request's figures."""

    name: str
    p50_ms: float
    p99_ms: float
    rate: float
    bare_rate: float

    @property
    def share(self) -> float:
        return self.rate / self.bare_rate if self.bare_rate else 0.0


# ---- a full database ---------------------------------------------------------------------------------


async def fill(url: str, media: Media, calls: int) -> Furnished:
    """Fill an empty database: calls, messages, entries of one account."""
    await migrate(url)
    database = open_database(url, 30.0)
    async with database.session() as session:
        ours = await furnish(session, media, "株式会社あさひ", "+81312345678")
    for first in range(0, calls, TOGETHER):
        await _add(
            database, Call, [_call(ours, number) for number in range(first, min(first + TOGETHER, calls))]
        )
    for first in range(0, MESSAGES, TOGETHER):
        await _add(
            database, VoiceMessage, [_message(ours, number) for number in range(first, first + TOGETHER)]
        )
    async with database.session() as session:
        await add_entries(session, ours.account_id, [_entry(number) for number in range(ENTRIES)])
    await database.close()
    return ours


async def _add(database: Database, table: type[Base], rows: list[dict[str, Any]]) -> None:
    async with database.session() as session:
        await session.execute(insert(table), rows)


def _call(ours: Furnished, number: int) -> dict[str, Any]:
    at = FIRST_CALL + timedelta(seconds=number)
    return {
        "id": f"bench-{number}", "node": "bench", "account_id": ours.account_id, "number_id": ours.number_id,
        "dialled": ours.e164, "caller": f"+8190{number:08}", "caller_kind": CallerKind.NUMBER,
        "started_at": at, "answered_at": at, "ended_at": at + timedelta(seconds=30), "result": "message",
    }  # fmt: skip


def _message(ours: Furnished, number: int) -> dict[str, Any]:
    at = FIRST_CALL + timedelta(seconds=number)
    return {
        "id": new_id(), "account_id": ours.account_id, "number_id": ours.number_id, "media": "bench.wav",
        "call_id": f"bench-{number}", "caller": f"+8190{number:08}", "caller_kind": CallerKind.NUMBER,
        "started_at": at, "duration_s": 9.0, "ended_by": EndedBy.HASH, "sha256": "0" * 64,
        "source": MessageSource.CONTROL_PLANE,
    }  # fmt: skip


def _entry(number: int) -> NewEntry:
    name = f"{FAMILY[number % 16]}{FAMILY[number // 16 % 16]} {GIVEN[number // 256 % 12]}{number}"
    reading = "".join(KANA[number // 44**place % 44] for place in range(4))
    return NewEntry(name, reading, f"会社{number % 997}", "", (NewNumber(f"+8190{number:08}"),))


# ---- the requests, and the same without us -----------------------------------------------------------


async def _bare_calls(database: Database, account_id: str) -> Any:
    async with database.session() as session:
        page = await list_calls(session, account_id, CallFilter(), PageRequest())
    return [(row.id, row.caller, row.number and row.number.e164, row.started_at) for row in page.items]


async def _bare_call(database: Database, account_id: str) -> Any:
    async with database.session() as session:
        row = await get_call(session, account_id, "bench-77")
        await legs_of_call(session, "bench-77")
    return (row.id, row.caller, row.number and row.number.e164, row.started_at)


async def _bare_messages(database: Database, account_id: str) -> Any:
    async with database.session() as session:
        page = await list_messages(session, account_id, MessageFilter(read=False), PageRequest())
        await read_names(session, account_id, {row.caller for row in page.items if row.caller})
    return [(row.id, row.caller, row.number.e164, row.started_at, row.note) for row in page.items]


def _bare_entries(search: str | None) -> Query:
    async def entries(database: Database, account_id: str) -> Any:
        async with database.session() as session:
            page = await list_entries(session, account_id, EntryPageRequest(), search)
        return [(row.id, row.name, row.reading, [one.number for one in row.numbers]) for row in page.items]

    return entries


REQUESTS: dict[str, tuple[str, Query]] = {
    "list of calls": ("/api/v1/calls", _bare_calls),
    "one call": ("/api/v1/calls/bench-77", _bare_call),
    "unread messages": ("/api/v1/messages?read=false", _bare_messages),
    "list of entries": ("/api/v1/phonebook/entries", _bare_entries(None)),
    "entries by name": ("/api/v1/phonebook/entries?search=山本", _bare_entries("山本")),
    "entries by number": ("/api/v1/phonebook/entries?search=0049999", _bare_entries("0049999")),
    "entries, none found": ("/api/v1/phonebook/entries?search=ヌヌヌヌヌ", _bare_entries("ヌヌヌヌヌ")),
}


def serve(url: str, media: Path, account_id: str, port: Any) -> None:
    """Run the API and the bare handlers in this process; their port goes to `port`."""

    async def run() -> None:
        database = open_database(url)
        parts = Parts(database, Media(media), "bench", SECRET_KEY, access=AccessSettings(requests_per_s=0))
        app = build_app(parts)
        bare = web.Application()
        for place, (_, query) in enumerate(REQUESTS.values()):
            bare.router.add_get(f"/{place}", _bare(database, account_id, query))
        ports = []
        for one in (app, bare):
            runner = web.AppRunner(one, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
        settle()
        port.send(ports)
        await asyncio.Event().wait()

    uvloop.run(run())


def _bare(
    database: Database, account_id: str, query: Query
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=orjson.dumps(await query(database, account_id)), content_type="application/json"
        )

    return answer


# ---- measuring ---------------------------------------------------------------------------------------


async def steady(http: ClientSession, url: str, rate: int) -> list[float]:
    """Ask at a steady rate; how long each took, in ms, from when it was due."""

    async def ask(due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        async with http.get(url) as answer:
            await answer.read()
        # Who is told to come back was not served at all.
        return (time.perf_counter() - due) * 1000 if answer.status == 200 else float("inf")

    began = time.perf_counter() + 0.1
    return sorted(await asyncio.gather(*(ask(began + n / rate) for n in range(int(STEADY_S * rate)))))


async def _asked(http: ClientSession, url: str) -> None:
    async with http.get(url) as answer:
        await answer.read()


async def at_most(http: ClientSession, url: str) -> float:
    """Requests a second with some always under way."""
    until, done = time.perf_counter() + FULL_S, 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < until:
            async with http.get(url) as answer:
                await answer.read()
            done += answer.status == 200

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return done / FULL_S


async def measure(token: str, ports: list[int], rate: int) -> list[Measured]:
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
    found = []
    async with ClientSession(headers=headers, connector=TCPConnector(limit=200)) as http:
        for place, (name, (path, _)) in enumerate(REQUESTS.items()):
            ours, bare = f"http://127.0.0.1:{ports[0]}{path}", f"http://127.0.0.1:{ports[1]}/{place}"
            # Connections are made and the phonebook is read once, not at every request.
            await asyncio.gather(*(_asked(http, ours) for _ in range(AT_ONCE)))
            took = await steady(http, ours, rate)
            most, bare_most = await at_most(http, ours), await at_most(http, bare)
            p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
            found.append(Measured(name, p50, p99, most, bare_most))
    return found


def on(url: str, folder: Path, calls: int, rate: int) -> list[Measured]:
    """Fill the database at `url` and measure on it."""
    media = folder / "media"
    began = time.monotonic()
    ours = asyncio.run(fill(url, Media(media), calls))
    print(
        f"{calls:,} calls, {MESSAGES:,} messages, {ENTRIES:,} entries: {time.monotonic() - began:.0f} s",
        flush=True,
    )
    receiving, sending = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(url, media, ours.account_id, sending)
    )
    server.start()
    try:
        return asyncio.run(measure(ours.token, receiving.recv(), rate))
    finally:
        server.terminate()
        server.join()


def report(title: str, found: list[Measured], rate: int) -> bool:
    """Print the figures; False where one misses its aim."""
    print(f"\n{title}, at {rate} requests a second, and as many as can be with {AT_ONCE} at once")
    print(f"{'request':<22}{'p50 ms':>8}{'p99 ms':>8}{'per s':>8}{'bare':>8}{'share':>8}")
    for one in found:
        print(
            f"{one.name:<22}{one.p50_ms:>8.1f}{one.p99_ms:>8.1f}"
            f"{one.rate:>8.0f}{one.bare_rate:>8.0f}{one.share:>8.2f}"
        )
    return all(one.p99_ms < STEADY_AIM_MS and one.share >= SHARE_AIM for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.api", description="the API on a full database")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=RATE_PER_S)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    asked = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory(prefix="denwaban-bench-") as name:
        folder = Path(name)
        if asked.only != "postgresql":
            well &= report(
                "SQLite",
                on(f"sqlite+aiosqlite:///{folder}/bench.db", folder, asked.calls, asked.rate),
                asked.rate,
            )
        if asked.only != "sqlite":
            with running_postgres() as server:
                url = asyncio.run(create_database(server))
                well &= report("PostgreSQL", on(url, folder, asked.calls, asked.rate), asked.rate)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
