"""A bad line: a relay on loopback between the switch and the far machine, through which not all packets come.

Signalling passes whole, with its addresses changed so that media pass here too: RTP and UDPTL are lost, come
twice or late, each call's by its own weather.
"""

import random
import re
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"
MEDIA = re.compile(rb"^(m=\w+ )(\d+)", re.M)
LENGTH = re.compile(rb"^(Content-Length|l)[ \t]*:[ \t]*\d+", re.M | re.I)
LATE_BY = 2
"""How many packets a late one is behind."""


@dataclass(frozen=True)
class Weather:
    """What becomes of packets, as shares of all: 0.05 is one in twenty."""

    loss: float = 0.0
    in_a_row: int = 1
    """How many are lost one after another; the share of all stays the same."""
    twice: float = 0.0
    late: float = 0.0


@dataclass
class _Seat:
    """Stands here for a media port of one side."""

    port: int
    weather: Weather
    socket: socket.socket
    losing: int = 0
    held: list[tuple[int, bytes]] = field(default_factory=list)
    """Late packets, and how many others go before."""


class Path:
    """The relay. At `far_side` the switch finds the far machine, which finds the switch at `switch_side`."""

    def __init__(
        self, far_port: int, switch_port: int, weather: Callable[[bytes], Weather], seed: int
    ) -> None:
        """`weather` chooses by any SIP message of a call that names media."""
        self._weather, self._dice = weather, random.Random(seed).random
        self._seats: dict[int, _Seat] = {}
        self._selector = selectors.DefaultSelector()
        to_far, to_switch = _socket(), _socket()
        self.far_side, self.switch_side = _port(to_far), _port(to_switch)
        to_them = {switch_port: self.switch_side, self.far_side: far_port}
        to_us = {far_port: self.far_side, self.switch_side: switch_port}
        self._listen(to_far, lambda data, _: to_switch.sendto(self._changed(data, to_them), (HOST, far_port)))
        self._listen(
            to_switch, lambda data, _: to_far.sendto(self._changed(data, to_us), (HOST, switch_port))
        )
        self.passed = self.lost = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _listen(self, where: socket.socket, pass_on: Callable[[bytes, int], object]) -> None:
        self._selector.register(where, selectors.EVENT_READ, pass_on)

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                data, (_, sender) = key.fileobj.recvfrom(65536)
                key.data(data, sender)

    # ---- signalling

    def _changed(self, message: bytes, ports: dict[int, int]) -> bytes:
        """The message as if one side stood here."""
        head, gap, body = message.partition(b"\r\n\r\n")
        names = "|".join(map(str, ports))
        head = re.sub(
            rf"{HOST}:({names})\b".encode(),
            lambda found: b"%s:%d" % (HOST.encode(), ports[int(found[1])]),
            head,
        )
        body = MEDIA.sub(lambda found: found[1] + b"%d" % self._seat_of(int(found[2]), message), body)
        return LENGTH.sub(rb"\1: %d" % len(body), head) + gap + body

    def _seat_of(self, port: int, message: bytes) -> int:
        if not port:
            return 0
        seat = self._seats.get(port)
        if seat is None:
            seat = self._seats[port] = _Seat(port, self._weather(message), _socket())
            self._listen(seat.socket, lambda data, sender: self._relay(seat, data, sender))
        # A later call has the port now.
        seat.weather = self._weather(message)
        return _port(seat.socket)

    # ---- media

    def _relay(self, seat: _Seat, data: bytes, sender: int) -> None:
        """On to whom the seat stands for, from the seat of who sent it; control packets have none."""
        if sender in self._seats:
            for packet in self._through(seat, data):
                self._seats[sender].socket.sendto(packet, (HOST, seat.port))

    def _through(self, seat: _Seat, data: bytes) -> Iterator[bytes]:
        weather = seat.weather
        self.passed += 1
        if seat.losing or self._dice() < weather.loss / weather.in_a_row:
            seat.losing = (seat.losing or weather.in_a_row) - 1
            self.lost += 1
        elif self._dice() < weather.late:
            seat.held.append((LATE_BY + 1, data))
        else:
            yield data
            if self._dice() < weather.twice:
                yield data
        seat.held = [(before - 1, late) for before, late in seat.held]
        yield from (late for before, late in seat.held if not before)
        seat.held = [one for one in seat.held if one[0]]


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    return made


def _port(of: socket.socket) -> int:
    return int(of.getsockname()[1])


@contextmanager
def path(
    far_port: int, switch_port: int, weather: Callable[[bytes], Weather], seed: int = 0
) -> Iterator[Path]:
    """A relay for as long as it is needed."""
    opened = Path(far_port, switch_port, weather, seed)
    try:
        yield opened
    finally:
        opened.close()
