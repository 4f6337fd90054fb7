"""`/events`: what happens is followed, resumed, and costs a slow reader nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from aiohttp.test_utils import BaseTestServer, TestServer

from portal_api import following
from portal_api.following import TAIL, Tail
from portal_api.main import build_app
from portal_api.routing import Parts
from store.database import Database
from store.events import append, append_in, purge_events, read_events
from store.journal import CallJournal
from store.media import Media
from store.models import CallerKind, EndedBy, MessageSource, now
from store.tokens import revoke_token
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0
Json = dict[str, Any]


class Follower:
    """Reads one stream."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def block(self) -> dict[str, str]:
        """The fields of the next block that is more than a comment."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                line = (await self.response.content.readline()).decode()
                if not line:
                    raise EOFError
                if line == "\n" and fields:
                    return fields
                name, colon, value = line.rstrip("\n").partition(": ")
                if name and colon:
                    fields[name] = value

    async def event(self) -> Json:
        """The next event."""
        while "data" not in (fields := await self.block()):
            pass
        told: Json = json.loads(fields["data"])
        assert fields["event"] == told["kind"]
        assert told["kind"] == "gap" or fields["id"] == str(told["id"])
        return told


class Api:
    """A running API, followed by plain HTTP."""

    def __init__(self, server: BaseTestServer, http: ClientSession) -> None:
        self.server, self._http = server, http

    @asynccontextmanager
    async def follow(
        self, token: str, query: str = "", last: int | str | None = None
    ) -> AsyncIterator[Follower]:
        headers = {"Authorization": f"Bearer {token}"}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        url = self.server.make_url(f"/api/v1/events?{query}")
        async with self._http.get(url, headers=headers) as response:
            yield Follower(response)


@pytest.fixture
async def followed(database: Database, media: Media) -> AsyncIterator[Api]:
    app = build_app(Parts(database, media, "test", SECRET_KEY))
    async with TestServer(app) as server, ClientSession() as http:
        yield Api(server, http)


async def happen(database: Database, account_id: str, kind: str, subject_id: str) -> None:
    await database.transaction(
        lambda connection: append(connection, account_id, kind, subject_id, {"a": "あ"})
    )


async def test_what_happens_is_told_as_it_happens(
    followed: Api, database: Database, ours: Furnished, theirs: Furnished
) -> None:
    await happen(database, ours.account_id, "call.started", "before")
    async with followed.follow(ours.token) as follower:
        assert follower.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        await follower.block()
        await happen(database, theirs.account_id, "call.started", "theirs")
        await happen(database, ours.account_id, "call.started", "ours")
        told = await follower.event()
        assert (told["kind"], told["subject_id"], told["data"]) == ("call.started", "ours", {"a": "あ"})
        assert told["at"].endswith("+09:00")


async def test_a_stream_is_resumed_where_it_ended(followed: Api, database: Database, ours: Furnished) -> None:
    await happen(database, ours.account_id, "call.started", "first")
    async with followed.follow(ours.token, "after=0") as follower:
        first = await follower.event()
    for subject in ("second", "third"):
        await happen(database, ours.account_id, "call.ended", subject)
    async with followed.follow(ours.token, last=first["id"]) as follower:
        assert [(await follower.event())["subject_id"] for _ in range(2)] == ["second", "third"]
    # What is kept counts, whatever `after` says beside it.
    async with followed.follow(ours.token, "after=999999999", last=first["id"]) as follower:
        assert (await follower.event())["subject_id"] == "second"


async def test_only_what_is_asked_for(
    followed: Api, database: Database, ours: Furnished, admin: Client
) -> None:
    for kind in ("call.started", "message.kept", "delivery.sent"):
        await happen(database, ours.account_id, kind, kind)
    async with followed.follow(ours.token, "after=0&kinds=message,delivery") as follower:
        assert [(await follower.event())["kind"] for _ in range(2)] == ["message.kept", "delivery.sent"]
    for query, field in (("kinds=x", "kinds"), ("after=-1", "after"), ("after=x", "after"), ("y=1", "y")):
        assert (await admin.get(f"/api/v1/events?{query}")).fields == [field]
    for last in ("x", "-1", "1e3", "9" * 30):
        refused = await admin.get("/api/v1/events", headers={"Last-Event-ID": last})
        assert (refused.status, refused.fields) == (400, ["Last-Event-ID"])
    assert (await admin("HEAD", "/api/v1/events")).status == 200


async def test_a_gap_is_told(followed: Api, database: Database, ours: Furnished) -> None:
    for subject in ("old", "older"):
        await happen(database, ours.account_id, "call.started", subject)
    assert await purge_events(database, now() + timedelta(days=6)) == 0
    assert await purge_events(database, now() + timedelta(days=8)) == 2
    # A purged event's id is not given again.
    await happen(database, ours.account_id, "call.started", "new")
    async with followed.follow(ours.token, last=1) as follower:
        assert (await follower.event())["kind"] == "gap"
        new = await follower.event()
        assert new["subject_id"] == "new"
    async with followed.follow(ours.token, last=new["id"] + 1000) as follower:
        assert (await follower.event())["kind"] == "gap"
        await happen(database, ours.account_id, "call.started", "newer")
        assert (await follower.event())["subject_id"] == "newer"


async def test_ids_become_visible_in_their_order(database: Database, ours: Furnished) -> None:
    """Who appends waits for who has appended and not committed; else a reader would pass over it."""
    order: list[str] = []

    async def write(name: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with database.session() as session:
            await append_in(session, ours.account_id, "call.started", [name])
            entered.set()
            await leave.wait()
        order.append(name)

    entered, leave, go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    go.set()
    slow = asyncio.create_task(write("slow", entered, leave))
    await entered.wait()
    quick = asyncio.create_task(write("quick", asyncio.Event(), go))
    async with database.session() as session:
        assert await read_events(session, ours.account_id, 0, [], 10) == []
    leave.set()
    await asyncio.gather(slow, quick)
    async with database.session() as session:
        rows = await read_events(session, ours.account_id, 0, [], 10)
    assert [row.subject_id for row in rows] == ["slow", "quick"] == order


async def test_a_quiet_stream_beats_and_ends_with_its_token(
    followed: Api, database: Database, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_S", 0.1)
    async with followed.follow(ours.token) as follower, asyncio.timeout(DEADLINE_S):
        while await follower.response.content.readline() != b": \n":
            pass
        async with database.session() as session:
            await revoke_token(session, None, ours.token_id)
        await follower.response.content.read()
        assert follower.response.content.at_eof()


async def test_stopping_ends_streams(database: Database, media: Media, ours: Furnished) -> None:
    app = build_app(Parts(database, media, "test", SECRET_KEY))
    async with ClientSession() as http, asyncio.timeout(DEADLINE_S):
        server = TestServer(app)
        await server.start_server()
        async with Api(server, http).follow(ours.token) as follower:
            await follower.block()
            await server.close()
            await follower.response.content.read()


def tail_of(api: Api) -> Tail:
    assert isinstance(api.server, TestServer)
    return api.server.app[TAIL]


async def nobody_follows(tail: Tail) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if not tail.streams:
                return
            await asyncio.sleep(0.02)


async def test_no_more_streams_than_agreed(
    followed: Api, ours: Furnished, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOST_OF_ACCOUNT", 1)
    async with followed.follow(ours.token) as follower:
        await follower.block()
        async with followed.follow(ours.token) as refused:
            assert refused.response.status == 429
            assert (await refused.response.json(content_type=None))["code"] == "too_many_streams"
    tail = tail_of(followed)
    await nobody_follows(tail)


async def test_a_reader_that_stands_still_is_cut_off(
    followed: Api, database: Database, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "STALLED_S", 0.3)
    tail = tail_of(followed)
    async with followed.follow(ours.token) as follower, asyncio.timeout(DEADLINE_S):
        await follower.block()
        assert tail.streams == 1
        # More than fits into the sockets' buffers.
        async with database.session() as session:
            ids = [f"{number}" for number in range(3000)]
            await append_in(session, ours.account_id, "call.started", ids, {"long": "x" * 3000})
        await nobody_follows(tail)


async def test_calls_messages_and_changes_are_told(
    database: Database, admin: Client, ours: Furnished
) -> None:
    journal = CallJournal(database)
    writing = asyncio.create_task(journal.run())
    await journal.open_call(
        id="test-1.1", node="test", account_id=ours.account_id, number_id=ours.number_id,
        dialled=ours.e164, caller=None, caller_kind=CallerKind.WITHHELD, started_at=now(),
    )  # fmt: skip
    # A call for no number of ours belongs to nobody.
    await journal.open_call(
        id="test-1.2", node="test", account_id=None, number_id=None,
        dialled="1", caller=None, caller_kind=CallerKind.WITHHELD, started_at=now(),
    )  # fmt: skip
    await journal.keep_message(
        {
            "account_id": ours.account_id, "number_id": ours.number_id, "call_id": "test-1.1", "caller": None,
            "caller_kind": CallerKind.WITHHELD, "started_at": now(), "duration_s": 1.0,
            "ended_by": EndedBy.HASH, "source": MessageSource.CONTROL_PLANE, "media": "x", "sha256": "0",
        }
    )  # fmt: skip
    journal.change_call("test-1.1", answered_at=now())
    journal.change_call("test-1.1", ended_at=now(), result="message")
    journal.change_call("test-1.2", ended_at=now(), result="refused")
    await journal.flushed()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    path = f"/api/v1/messages/{ours.message_id}"
    await admin("PATCH", path, json={"read": True})
    await admin("DELETE", path)
    async with database.session() as session:
        rows = await read_events(session, ours.account_id, 0, [], 10)
    told = [(row.kind, row.subject_id, row.data) for row in rows]
    kept = rows[1].subject_id
    assert told == [
        ("call.started", "test-1.1", {}),
        ("message.kept", kept, {"number_id": ours.number_id}),
        ("call.ended", "test-1.1", {"result": "message"}),
        ("message.changed", ours.message_id, {"read": True}),
        ("message.deleted", ours.message_id, {}),
    ]
