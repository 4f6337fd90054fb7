"""The audio of one call: a 20 ms clock of our own that sends, and an ear that keeps what comes."""

import asyncio
import math
import secrets
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tests.sip.audio import ALAW_SILENCE, FRAME_SAMPLES, ULAW_SILENCE
from tests.sip.errors import CallEnded, Ending
from tests.sip.listening import HeardPacket, Sound, Until
from tests.sip.rtp import FRAME_S, NotRtp, Stream, parse_rtp
from tests.sip.sdp import PCMA, PCMU, TELEPHONE_EVENT, Audio

SILENT_PAYLOADS = {PCMU: bytes([ULAW_SILENCE]) * FRAME_SAMPLES, PCMA: bytes([ALAW_SILENCE]) * FRAME_SAMPLES}
PORT_ATTEMPTS = 50


@dataclass
class _Utterance:
    """Payloads that wait for their 20 ms each."""

    payloads: deque[bytes]
    is_digit: bool
    done: asyncio.Future[None]
    begun: bool = False


@dataclass(frozen=True)
class _Frame:
    """What these 20 ms hold."""

    payload: bytes
    is_digit: bool = False
    first: bool = False


@dataclass(frozen=True)
class _Listener:
    until: Until
    since: int
    heard: asyncio.Future[None]


class Media(asyncio.DatagramProtocol):
    """Sends silence all the time, as a phone does, unless there is something to say."""

    def __init__(self, host: str, send_rtp: bool = True) -> None:
        self.host = host
        self.heard: list[HeardPacket] = []
        self._loop = asyncio.get_running_loop()
        self._rtp_socket, self._rtcp_socket = _bind_pair(host)
        self.port: int = self._rtp_socket.getsockname()[1]
        self._wire: asyncio.DatagramTransport | None = None
        self._stream = Stream(secrets.randbits(32), secrets.randbits(16), secrets.randbits(32))
        self._remote: Audio | None = None
        self._codec = PCMU
        self._queue: deque[_Utterance] = deque()
        self._quiet_until = 0.0 if send_rtp else math.inf
        self._next_frame_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._listeners: list[_Listener] = []
        self._cursor = 0
        self._ending: Ending | None = None

    async def open(self) -> None:
        """Begin to listen."""
        self._wire, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=self._rtp_socket)

    @property
    def codec(self) -> int:
        """The payload type both ends agreed on."""
        return self._codec

    def connect(self, remote: Audio) -> None:
        """Send to where the far end listens from now on; the clock starts with the first call."""
        self._remote = remote
        self._codec = remote.formats[0] if remote.formats else PCMU
        if self._timer is None and self._ending is None:
            self._next_frame_at = self._loop.time()
            self._tick()

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, as if the way were cut; the RTP time goes on."""
        self._quiet_until = self._loop.time() + seconds

    async def speak(self, payloads: Iterable[bytes]) -> None:
        """Send these, 20 ms each, after what is still to be said. Raises CallEnded."""
        await self._utter(_Utterance(deque(payloads), False, self._loop.create_future()), first=False)

    async def press(self, payloads: Iterable[bytes]) -> None:
        """Send a digit's packets, ahead of what is being said. Raises CallEnded."""
        await self._utter(_Utterance(deque(payloads), True, self._loop.create_future()), first=True)

    async def hear(self, until: Until, timeout_s: float) -> Sound:
        """Listen, from where the last listening ended. Raises CallEnded, TimeoutError."""
        begin = self._cursor
        listener = _Listener(until, begin, self._loop.create_future())
        self._listeners.append(listener)
        self._judge(self._loop.time() if self._ending is None else math.inf)
        try:
            if self._ending and not listener.heard.done():
                raise CallEnded(self._ending)
            await asyncio.wait_for(listener.heard, timeout_s)
        except TimeoutError:
            raise TimeoutError(f"not heard in {timeout_s} s; {self._account(begin)}") from None
        finally:
            self._listeners.remove(listener)
        self._cursor = len(self.heard)
        return Sound(self.heard[begin:])

    def close(self, ending: Ending) -> None:
        """The call is over: stop the clock, tell who waits. May be called again."""
        if self._ending:
            return
        self._ending = ending
        if self._timer:
            self._timer.cancel()
        if self._wire:
            self._wire.close()
        self._rtp_socket.close()
        self._rtcp_socket.close()
        self._judge(math.inf)
        waiting = [one.done for one in self._queue] + [one.heard for one in self._listeners]
        for future in waiting:
            if not future.done():
                future.set_exception(CallEnded(ending))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        now = self._loop.time()
        try:
            packet = parse_rtp(data)
        except NotRtp:
            return
        self.heard.append(
            HeardPacket(
                now, packet.timestamp, packet.sequence, packet.payload_type, packet.payload, packet.marker
            )
        )
        self._judge(now)

    async def _utter(self, utterance: _Utterance, first: bool) -> None:
        if self._ending:
            raise CallEnded(self._ending)
        if utterance.payloads:
            (self._queue.appendleft if first else self._queue.append)(utterance)
            await utterance.done

    def _judge(self, now: float) -> None:
        for listener in self._listeners:
            if not listener.heard.done() and listener.until(self.heard[listener.since :], now):
                listener.heard.set_result(None)

    def _tick(self) -> None:
        """Send what is due. After a hold-up the packets come late but none is left out."""
        now = self._loop.time()
        while self._next_frame_at <= now:
            self._send_frame(now)
            self._next_frame_at += FRAME_S
        self._judge(now)
        self._timer = self._loop.call_at(self._next_frame_at, self._tick)

    def _send_frame(self, now: float) -> None:
        frame = self._next_frame()
        if self._remote is None or now < self._quiet_until:
            self._stream.pause()
        elif frame.is_digit:
            self._emit(
                self._stream.event(self._remote.event_format or TELEPHONE_EVENT, frame.payload, frame.first)
            )
        else:
            self._emit(self._stream.audio(self._codec, frame.payload))

    def _next_frame(self) -> "_Frame":
        if not self._queue:
            return _Frame(SILENT_PAYLOADS[self._codec])
        utterance = self._queue[0]
        frame = _Frame(utterance.payloads.popleft(), utterance.is_digit, not utterance.begun)
        utterance.begun = True
        if not utterance.payloads:
            self._queue.popleft()
            if not utterance.done.done():
                utterance.done.set_result(None)
        return frame

    def _emit(self, data: bytes) -> None:
        if self._wire and self._remote:
            self._wire.sendto(data, (self._remote.host, self._remote.port))

    def _account(self, begin: int) -> str:
        packets = self.heard[begin:]
        return f"{len(packets)} packets came, {sum(packet.loud for packet in packets)} of them loud"


def _bind_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """An even port for RTP, and the next for RTCP, which nobody reads: it only must not be refused."""
    for _ in range(PORT_ATTEMPTS):
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.setblocking(False)
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()
    raise OSError("no free pair of ports")
