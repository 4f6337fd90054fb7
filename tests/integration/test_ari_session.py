"""The ARI session against a peer of our own: it outlives what a peer, or a mistake of ours, does to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from pbx.asterisk.ari import AriSession
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp

pytestmark = pytest.mark.integration

LIMIT_S = 20.0


class Peer:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.sockets: list[web.WebSocketResponse] = []
        self.asked: list[str] = []
        self.status = 200
        self.mute = False

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/ari/events", self.events)
        application.router.add_put("/ari/applications/denwaban/eventFilter", self.fine)
        application.router.add_route("*", "/ari/{rest:.*}", self.http)
        return application

    async def fine(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def http(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        return web.json_response([], status=self.status)

    async def events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT and not self.mute:
                await self.reply(socket, json.loads(message.data))
        return socket

    async def reply(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        self.asked.append(f"{asked['method']} {asked['uri']}")
        await socket.send_json(
            {
                "type": "RESTResponse",
                "request_id": asked["request_id"],
                "status_code": self.status,
                "reason_phrase": "so it is",
            }
        )

    async def tell(self, event: object) -> None:
        await self.sockets[-1].send_str(event if isinstance(event, str) else json.dumps(event))


@pytest.fixture
async def peer() -> AsyncIterator[tuple[Peer, int]]:
    peer = Peer()
    server = TestServer(peer.application(), host="127.0.0.1")
    await server.start_server()
    assert server.port is not None
    yield peer, server.port
    await server.close()


class Ours:
    """The session, and what it tells."""

    def __init__(self, port: int) -> None:
        self.session = AriSession("127.0.0.1", port, "password")
        self.heard: list[str] = []
        self.synchronised = 0
        self.on_connected: Callable[[], Awaitable[None]] = self._fine

    async def _fine(self) -> None:
        pass

    async def synchronise(self) -> None:
        self.synchronised += 1
        await self.on_connected()

    def on_event(self, event: dict[str, Any]) -> None:
        self.heard.append(event["type"])
        if event["type"] == "Poison":
            raise KeyError("channel")


@pytest.fixture
async def ours(peer: tuple[Peer, int]) -> AsyncIterator[Ours]:
    ours = Ours(peer[1])
    running = asyncio.create_task(ours.session.run(ours.synchronise, ours.on_event))
    yield ours
    assert not running.done(), "the session ended"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_event_that_is_not_understood_costs_nothing(peer: tuple[Peer, int], ours: Ours) -> None:
    await ours.session.until_connected(LIMIT_S)
    await peer[0].tell({"type": "Poison"})
    await peer[0].tell({"type": "StasisEnd"})
    await until(lambda: "StasisEnd" in ours.heard)
    assert ours.session.connected
    assert ours.synchronised == 1


async def test_what_is_no_json_costs_one_connection(peer: tuple[Peer, int], ours: Ours) -> None:
    await ours.session.until_connected(LIMIT_S)
    await peer[0].tell("{")
    await until(lambda: ours.synchronised == 2)
    await ours.session.until_connected(LIMIT_S)


@pytest.mark.parametrize(
    "mistake", [KeyError("dialplan"), HungUp("late"), AsteriskAway("no"), TimeoutError()]
)
async def test_a_synchronisation_that_fails_is_tried_again(
    peer: tuple[Peer, int], ours: Ours, mistake: Exception
) -> None:
    async def fail_once() -> None:
        if ours.synchronised == 1:
            raise mistake

    ours.on_connected = fail_once
    await until(lambda: ours.session.connected)
    assert ours.synchronised >= 1


async def test_a_lost_websocket_is_opened_again_and_synchronised(peer: tuple[Peer, int], ours: Ours) -> None:
    await ours.session.until_connected(LIMIT_S)
    await peer[0].sockets[-1].close()
    await until(lambda: ours.synchronised == 2)
    await ours.session.until_connected(LIMIT_S)


async def test_a_command_without_an_answer_ends_with_the_connection(
    peer: tuple[Peer, int], ours: Ours
) -> None:
    await ours.session.until_connected(LIMIT_S)
    peer[0].mute = True
    asking = asyncio.ensure_future(ours.session.hang_up("test-1.1", 16))
    await asyncio.sleep(0)
    await peer[0].sockets[-1].close()
    with pytest.raises(AsteriskAway):
        await asking


@pytest.mark.parametrize("status", [404, 409, 412])
async def test_a_channel_that_is_not_there_means_the_caller_is_gone(
    peer: tuple[Peer, int], ours: Ours, status: int
) -> None:
    await ours.session.until_connected(LIMIT_S)
    peer[0].status = status
    with pytest.raises(HungUp):
        await ours.session.play("test-1.1", "p", "sound:x")
    with pytest.raises(HungUp):
        await ours.session.answer("test-1.1")


async def test_to_end_what_has_ended_is_no_error(peer: tuple[Peer, int], ours: Ours) -> None:
    await ours.session.until_connected(LIMIT_S)
    peer[0].status = 404
    await ours.session.hang_up("test-1.1", 16)
    await ours.session.stop_playback("p")
    await ours.session.stop_recording("r")
    assert not await ours.session.playback_exists("p")
    assert not await ours.session.recording_exists("r")


async def test_other_refusals_are_told(peer: tuple[Peer, int], ours: Ours) -> None:
    await ours.session.until_connected(LIMIT_S)
    peer[0].status = 500
    with pytest.raises(AsteriskRefused, match="500"):
        await ours.session.record("test-1.1", "r", 51, 10)
    with pytest.raises(AsteriskRefused, match="500"):
        await ours.session.recording_exists("r")


async def test_another_control_plane_is_not_fought_over_the_calls(
    peer: tuple[Peer, int], ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("pbx.asterisk.ari.REPLACED_S", 0.05)
    monkeypatch.setattr(ours.session, "_away", lambda problem: pauses.append(ours.synchronised))
    await ours.session.until_connected(LIMIT_S)
    await peer[0].tell({"type": "ApplicationReplaced"})
    await until(lambda: ours.synchronised == 2)
    assert pauses == [1]
    assert "ApplicationReplaced" not in ours.heard
