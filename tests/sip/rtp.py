"""RTP packets and the digits in them (RFC 3550, RFC 4733). Pure."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

FRAME_S = 0.020
FRAME_SAMPLES = 160
"""8 kHz, 20 ms: one packet."""

DIGITS = "0123456789*#ABCD"
END_PACKETS = 3
"""RFC 4733: the last packet of an event is sent three times, since it may be lost."""

_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_VOLUME = 10
"""10 dB below full scale, as phones send."""


class NotRtp(ValueError):
    """These bytes are not an RTP packet."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def pack(self) -> bytes:
        second = self.payload_type | (0x80 if self.marker else 0)
        header = _HEADER.pack(
            0x80, second, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc & 0xFFFFFFFF
        )
        return header + self.payload


def parse_rtp(data: bytes) -> RtpPacket:
    """Read one packet, skipping contributing sources, extension and padding. Raises NotRtp."""
    if len(data) < _HEADER.size or data[0] >> 6 != 2:
        raise NotRtp(f"{len(data)} bytes")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    begin = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < begin + 4:
            raise NotRtp("the extension is cut")
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if end < begin:
        raise NotRtp("the packet is cut")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, data[begin:end], bool(second & 0x80))


@dataclass(frozen=True)
class TelephoneEvent:
    """A digit in the air; `duration` in samples since it began."""

    digit: str
    duration: int
    end: bool

    def pack(self) -> bytes:
        return _EVENT.pack(DIGITS.index(self.digit), _VOLUME | (0x80 if self.end else 0), self.duration)


def parse_event(payload: bytes) -> TelephoneEvent:
    """Raises NotRtp."""
    if len(payload) < _EVENT.size or payload[0] >= len(DIGITS):
        raise NotRtp("not a telephone event")
    number, flags, duration = _EVENT.unpack_from(payload)
    return TelephoneEvent(DIGITS[number], duration, bool(flags & 0x80))


def digit_payloads(digit: str, duration_ms: int) -> Iterator[bytes]:
    """One digit as payloads, one every 20 ms: growing, then the end three times."""
    frames = max(1, round(duration_ms / 20))
    for frame in range(1, frames + 1):
        yield TelephoneEvent(digit, frame * FRAME_SAMPLES, end=False).pack()
    for _ in range(END_PACKETS):
        yield TelephoneEvent(digit, frames * FRAME_SAMPLES, end=True).pack()


class Stream:
    """The outgoing packets of one source: no holes in the numbers, holes in time where nothing is sent."""

    def __init__(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self._next = RtpPacket(0, sequence, timestamp, ssrc, b"", marker=True)
        self._event_began = timestamp

    def audio(self, payload_type: int, payload: bytes) -> bytes:
        """The packet of this 20 ms; the first one, and the first after a pause, bears the marker."""
        return self._send(payload_type, payload, self._next.timestamp, self._next.marker)

    def event(self, payload_type: int, payload: bytes, first: bool) -> bytes:
        """A digit's packet: all of one digit bear the time it began (RFC 4733), its first the marker."""
        if first:
            self._event_began = self._next.timestamp
        return self._send(payload_type, payload, self._event_began, marker=first)

    def pause(self) -> None:
        """Let 20 ms pass without a packet."""
        self._advance(sequence=0, marker=True)

    def _send(self, payload_type: int, payload: bytes, timestamp: int, marker: bool) -> bytes:
        packet = replace(
            self._next, payload_type=payload_type, payload=payload, timestamp=timestamp, marker=marker
        )
        self._advance(sequence=1, marker=False)
        return packet.pack()

    def _advance(self, sequence: int, marker: bool) -> None:
        self._next = replace(
            self._next,
            sequence=(self._next.sequence + sequence) & 0xFFFF,
            timestamp=(self._next.timestamp + FRAME_SAMPLES) & 0xFFFFFFFF,
            marker=marker,
        )
