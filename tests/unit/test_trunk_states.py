"""How it is told whether a trunk is registered, and where its carrier is asked."""

import asyncio
from typing import cast

import pytest

from pbx.trunks import answers, options, server_of, state_of
from store.models import TrunkState

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("sip:carrier.example", ("carrier.example", 5060, True)),
        ("sip:192.0.2.1:5070", ("192.0.2.1", 5070, True)),
        ("sip:192.0.2.1:5070;transport=udp", ("192.0.2.1", 5070, True)),
        ("sip:carrier.example;transport=tcp", ("carrier.example", 5060, False)),
        ("sip:carrier.example;transport=tls", ("carrier.example", 5061, False)),
        ("sips:carrier.example", ("carrier.example", 5061, False)),
        ("sip:[2001:db8::1]", ("2001:db8::1", 5060, True)),
        ("sip:[2001:db8::1]:5070", ("2001:db8::1", 5070, True)),
    ],
)
def test_where_a_carrier_is_asked(uri: str, server: tuple[str, int, bool]) -> None:
    assert server_of(uri) == server


def test_the_question_is_whole() -> None:
    first, *headers = options("192.0.2.1", 5070, "127.0.0.1:40000").decode().split("\r\n")
    assert first == "OPTIONS sip:192.0.2.1:5070 SIP/2.0"
    assert headers[-2:] == ["", ""]
    names = [header.partition(":")[0] for header in headers[:-2]]
    assert {"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"} <= set(names)


class _Carrier(asyncio.DatagramProtocol):
    def __init__(self, deaf: bool) -> None:
        self.deaf = deaf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.deaf:
            self.wire.sendto(b"SIP/2.0 405 Method Not Allowed\r\n\r\n", addr)


@pytest.mark.parametrize(("deaf", "state"), [(False, TrunkState.REJECTED), (True, TrunkState.UNREACHABLE)])
async def test_a_carrier_that_refuses_and_one_that_is_silent(
    monkeypatch: pytest.MonkeyPatch, deaf: bool, state: TrunkState
) -> None:
    monkeypatch.setattr("pbx.trunks.PROBE_LIMIT_S", 0.3)
    loop = asyncio.get_running_loop()
    wire, _ = await loop.create_datagram_endpoint(lambda: _Carrier(deaf), local_addr=("127.0.0.1", 0))
    try:
        port = wire.get_extra_info("sockname")[1]
        assert await state_of("Rejected", f"sip:127.0.0.1:{port}") is state
    finally:
        wire.close()


async def test_over_tcp_it_is_there_where_somebody_listens() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await answers(f"sip:127.0.0.1:{port};transport=tcp")
    server.close()
    await server.wait_closed()
    assert not await answers(f"sip:127.0.0.1:{port};transport=tcp")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("Registered", TrunkState.REGISTERED),
        ("Unregistered", TrunkState.REGISTERING),
        ("", TrunkState.REGISTERING),
    ],
)
async def test_nobody_is_asked_where_asterisk_knows(said: str, state: TrunkState) -> None:
    assert await state_of(said, "sip:192.0.2.1") is state
