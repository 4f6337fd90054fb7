"""What a caller hears, and what a caller may listen for. Pure: packets and times in, answers out.

await call.hear(until=AUDIO, timeout_s=5)
await call.hear(until=silence_of(0.3), timeout_s=20)
await call.hear(until=tone_of(1000), timeout_s=20)
"""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from tests.sip.audio import (
    LOUD_RMS,
    RATE,
    Samples,
    decode_alaw,
    decode_ulaw,
    dominant_frequency,
    rms,
    share_of,
)
from tests.sip.rtp import NotRtp, parse_event
from tests.sip.sdp import PCMA, PCMU

DECODERS = {PCMU: decode_ulaw, PCMA: decode_alaw}
LONGEST_HOLE = 10 * RATE
"""In samples. A larger step in the RTP time is another stream, not a pause in this one."""


@dataclass(frozen=True)
class HeardPacket:
    """One RTP packet, and when it came (event loop's clock, seconds)."""

    at: float
    timestamp: int
    sequence: int
    payload_type: int
    payload: bytes
    marker: bool = False

    @cached_property
    def samples(self) -> Samples:
        """Empty where this is no audio we know."""
        decode = DECODERS.get(self.payload_type)
        return decode(self.payload) if decode else array("h")

    @cached_property
    def loud(self) -> bool:
        """Whether a person would hear it."""
        return rms(self.samples) > LOUD_RMS


@dataclass(frozen=True)
class Gap:
    """A packet that came late: `at` is when it came, after `seconds` without any."""

    at: float
    seconds: float


@dataclass(frozen=True)
class Sound:
    """A stretch of what was heard."""

    packets: Sequence[HeardPacket]

    @property
    def seconds(self) -> float:
        """From the first packet to the end of the last; 0 where nothing came."""
        return self.packets[-1].at - self.packets[0].at + 0.020 if self.packets else 0.0

    @property
    def loud(self) -> "Sound":
        """From the first packet that a person would hear to the last."""
        loud = [place for place, packet in enumerate(self.packets) if packet.loud]
        return Sound(self.packets[loud[0] : loud[-1] + 1] if loud else ())

    def samples(self) -> Samples:
        """The audio laid out by its RTP time; what is missing is silence."""
        laid = array("h")
        begin = 0
        for packet in self.packets:
            place = (packet.timestamp - begin) & 0xFFFFFFFF
            if not laid or not place <= len(laid) + LONGEST_HOLE:
                begin = (packet.timestamp - len(laid)) & 0xFFFFFFFF
                place = len(laid)
            laid.extend(array("h", bytes(2 * max(0, place - len(laid)))))
            laid[place : place + len(packet.samples)] = packet.samples
        return laid

    def levels(self) -> list[float]:
        """RMS of each packet, in order."""
        return [rms(packet.samples) for packet in self.packets]

    def frequency_hz(self) -> float:
        """The strongest frequency."""
        return dominant_frequency(self.samples())

    def gaps(self, longer_than_s: float = 0.040) -> list[Gap]:
        """Where the packet clock slipped. A pause the sender made on purpose (marker bit) is none."""
        pairs = zip(self.packets, self.packets[1:], strict=False)
        return [
            Gap(late.at, late.at - early.at)
            for early, late in pairs
            if not late.marker and late.at - early.at > longer_than_s
        ]

    def lost(self) -> int:
        """Packets that never came, by their numbers."""
        pairs = zip(self.packets, self.packets[1:], strict=False)
        return sum(max(0, _signed(late.sequence - early.sequence) - 1) for early, late in pairs)

    def digits(self) -> str:
        """The keys that the far end pressed and let go (RFC 4733)."""
        pressed: dict[int, str] = {}
        for packet in self.packets:
            if packet.payload_type in DECODERS:
                continue
            with suppress(NotRtp):
                event = parse_event(packet.payload)
                if event.end:
                    pressed[packet.timestamp] = event.digit
        return "".join(pressed.values())


Until = Callable[[Sequence[HeardPacket], float], bool]
"""Of the packets heard since the last listening, and the time: is this what was waited for?

When the call is over the time is infinite, since nothing more will come.
"""


def PACKET(heard: Sequence[HeardPacket], now: float) -> bool:
    """Anything at all, silence too."""
    return bool(heard)


def AUDIO(heard: Sequence[HeardPacket], now: float) -> bool:
    """The first packet that a person would hear."""
    return any(packet.loud for packet in heard)


def silence_of(seconds: float) -> Until:
    """Something was heard, and then nothing for so long: the prompt is over. Hanging up is silence too."""

    def is_over(heard: Sequence[HeardPacket], now: float) -> bool:
        last = next((packet for packet in reversed(heard) if packet.loud), None)
        return last is not None and now - last.at >= seconds

    return is_over


def tone_of(frequency_hz: float, share: float = 0.6, seconds: float = 0.1) -> Until:
    """A tone that fills at least `share` of the power for `seconds`."""
    packets = max(1, round(seconds / 0.020))

    def sounds(heard: Sequence[HeardPacket], now: float) -> bool:
        recent = heard[-packets:]
        if len(recent) < packets or not all(packet.loud for packet in recent):
            return False
        samples = array("h")
        for packet in recent:
            samples.extend(packet.samples)
        return share_of(samples, frequency_hz) >= share

    return sounds


def keys(digits: str) -> Until:
    """The far end pressed these and let go (RFC 4733)."""
    return lambda heard, now: Sound(heard).digits() == digits


def _signed(difference: int) -> int:
    """The distance between two packet numbers, which begin again after 65535."""
    return (difference + 0x8000 & 0xFFFF) - 0x8000
