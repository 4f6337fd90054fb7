"""The FastAGI server against peers that behave badly: nobody else may notice."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from pbx.agi.server import LONGEST_LINE, MOST_LINES, AgiServer, Variables

pytestmark = pytest.mark.integration

REQUEST = (
    b"agi_network: yes\nagi_network_script: spooled\nagi_request: agi://127.0.0.1:4573/spooled\n"
    b"agi_channel: PJSIP/trunk-00000001\nagi_callerid: 09012345678\nagi_calleridname: \nagi_enhanced: 0.0\n\n"
)
PATIENCE_S = 0.5
LIMIT_S = 10.0


class Scripts:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def spooled(self, variables: Variables) -> None:
        self.asked.append(dict(variables))

    async def failing(self, variables: Variables) -> None:
        raise ZeroDivisionError

    async def hanging(self, variables: Variables) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def scripts() -> Scripts:
    return Scripts()


@pytest.fixture
async def server(scripts: Scripts) -> AsyncIterator[AgiServer]:
    routes = {"spooled": scripts.spooled, "failing": scripts.failing, "hanging": scripts.hanging}
    server = AgiServer(routes, request_limit_s=PATIENCE_S)
    await server.start("127.0.0.1", 0)
    yield server
    async with asyncio.timeout(LIMIT_S):
        await server.stop()


async def open_to(server: AgiServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def say(server: AgiServer, said: bytes) -> bytes:
    """Say something and hear until the server closes; our own side stays open."""
    reader, writer = await open_to(server)
    try:
        writer.write(said)
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_request_reaches_its_script(server: AgiServer, scripts: Scripts) -> None:
    await say(server, REQUEST)
    (variables,) = scripts.asked
    assert variables["agi_network_script"] == "spooled"
    assert variables["agi_callerid"] == "09012345678"
    assert variables["agi_calleridname"] == ""


async def test_lines_may_end_with_carriage_returns_and_come_in_pieces(
    server: AgiServer, scripts: Scripts
) -> None:
    reader, writer = await open_to(server)
    for piece in REQUEST.replace(b"\n", b"\r\n").partition(b"script"):
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(LIMIT_S):
        await reader.read()
    await close(writer)
    assert len(scripts.asked) == 1


async def test_connect_and_close(server: AgiServer, scripts: Scripts) -> None:
    for _ in range(20):
        _, writer = await open_to(server)
        await close(writer)
    await say(server, REQUEST)
    assert len(scripts.asked) == 1


BAD = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "no route": REQUEST.replace(b"spooled\nagi_request", b"nowhere\nagi_request"),
    "an empty block": b"\n",
    "a line without end": b"agi_x: " + b"x" * (LONGEST_LINE * 3),
    "too many lines": b"agi_x: 1\n" * (MOST_LINES + 5),
    "no text": bytes(range(128, 256)) + b"\n\n",
    "a script that fails": REQUEST.replace(b"spooled\n", b"failing\n"),
    "a script that hangs": REQUEST.replace(b"spooled\n", b"hanging\n"),
    "half a header": REQUEST[:40],
    "nothing": b"",
}


@pytest.mark.parametrize("said", BAD.values(), ids=BAD.keys())
async def test_a_bad_peer_is_shown_the_door(server: AgiServer, scripts: Scripts, said: bytes) -> None:
    assert await say(server, said) == b""
    assert scripts.asked == []
    await say(server, REQUEST)
    assert len(scripts.asked) == 1


async def test_a_slow_peer_is_not_waited_for_without_end(server: AgiServer, scripts: Scripts) -> None:
    reader, writer = await open_to(server)
    began = time.monotonic()

    async def trickle() -> None:
        for byte in REQUEST:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(reader.read(), return_exceptions=True)
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)
    await close(writer)
    assert time.monotonic() - began < PATIENCE_S * 4
    assert scripts.asked == []


async def test_two_hundred_half_open_connections_do_not_delay_a_good_one(scripts: Scripts) -> None:
    server = AgiServer({"spooled": scripts.spooled}, request_limit_s=60)
    await server.start("127.0.0.1", 0)
    peers = [await open_to(server) for _ in range(200)]
    for _, writer in peers:
        writer.write(REQUEST[:30])
    began = time.monotonic()
    await say(server, REQUEST)
    assert time.monotonic() - began < 1.0
    assert len(scripts.asked) == 1
    for _, writer in peers:
        await close(writer)
    await server.stop()
