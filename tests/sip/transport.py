"""Sockets for SIP: UDP, and TCP with a listener of its own."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from tests.sip.message import Malformed, Request, Response, StreamParser, parse

Peer = tuple[str, int]
Receive = Callable[[Request | Response, Peer], None]


class Transport(Protocol):
    """Carries whole messages."""

    name: str
    reliable: bool
    port: int

    async def connect(self, peer: Peer) -> None:
        """Make sure that `send` can reach `peer`."""

    def send(self, data: bytes, peer: Peer) -> None: ...

    def close(self) -> None: ...


class UdpTransport(asyncio.DatagramProtocol):
    """One datagram, one message."""

    name = "UDP"
    reliable = False

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._socket: asyncio.DatagramTransport | None = None
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        self.port = self._socket.get_extra_info("sockname")[1]

    async def connect(self, peer: Peer) -> None:
        """Datagrams need no connection."""

    def send(self, data: bytes, peer: Peer) -> None:
        if self._socket:
            self._socket.sendto(data, peer)

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        # Phones and proxies send short datagrams to keep a way through a firewall open.
        if data.strip(b"\r\n\0"):
            self._receive(parse(data), addr)


class TcpTransport:
    """Connections by peer, made by either side."""

    name = "TCP"
    reliable = True

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._server: asyncio.Server | None = None
        self._connections: dict[Peer, _Connection] = {}
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._receive, self._remember), host, port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def connect(self, peer: Peer) -> None:
        existing = self._connections.get(peer)
        if existing is None or existing.closed:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: _Connection(self._receive, self._remember), *peer)

    def send(self, data: bytes, peer: Peer) -> None:
        """To a peer without a connection nothing is sent, as if its machine were off."""
        if connection := self._connections.get(peer):
            connection.send(data)

    def close(self) -> None:
        if self._server:
            self._server.close()
        for connection in self._connections.values():
            connection.close()

    def _remember(self, peer: Peer, connection: "_Connection") -> None:
        self._connections[peer] = connection


class _Connection(asyncio.Protocol):
    def __init__(self, receive: Receive, remember: Callable[[Peer, "_Connection"], None]) -> None:
        self._receive, self._remember = receive, remember
        self._parser = StreamParser()
        self._wire: asyncio.Transport | None = None
        self._peer: Peer = ("", 0)

    @property
    def closed(self) -> bool:
        return self._wire is None or self._wire.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._peer = transport.get_extra_info("peername")[:2]
        self._remember(self._peer, self)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._parser.feed(data)
        except Malformed:
            # A stream that lost its frame cannot find it again.
            self.close()
            raise
        for message in messages:
            self._receive(message, self._peer)

    def send(self, data: bytes) -> None:
        if self._wire and not self.closed:
            self._wire.write(data)

    def close(self) -> None:
        if self._wire:
            self._wire.close()
