"""Tones that number their own packets: whoever hears one knows who said it, and whether something is missing.

A side's packets all have its tone, each a little louder than the one before, fifty in turn. A packet is 20 ms
and holds whole periods, so it can be found again in a recording wherever that cuts. Pure.
"""

import itertools
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.sip.audio import FRAME_SAMPLES, RATE, Samples, decode_ulaw, encode_ulaw, tone
from tests.sip.rtp import FRAME_S

OUTSIDE_HZ, INSIDE_HZ = 450, 950
LEVELS = 50
QUIETEST, STEP = 4000, 240
FRAME_BYTES = 2 * FRAME_SAMPLES


@cache
def payloads(hertz: int) -> list[bytes]:
    """A side's packets in turn, as G.711."""
    return [encode_ulaw(tone(hertz, FRAME_S, QUIETEST + STEP * number)) for number in range(LEVELS)]


@cache
def numbers_of(hertz: int) -> dict[bytes, int]:
    """Payload -> which of the fifty it is."""
    return {payload: number for number, payload in enumerate(payloads(hertz))}


@cache
def _frames_of(hertz: int) -> dict[bytes, int]:
    """The same as samples, which is how they stand in a recording."""
    return {decode_ulaw(payload).tobytes(): number for number, payload in enumerate(payloads(hertz))}


@dataclass(frozen=True)
class Track:
    """What one channel of a recording holds of the tone that belongs there. Packets of 20 ms."""

    packets: int = 0
    """From the first to the last."""

    missing: int = 0
    """Of these: left out, or something else in their place."""

    @property
    def seconds(self) -> float:
        return self.packets * FRAME_S


def tracks(raw: bytes) -> tuple[Track, Track]:
    """Of samples of two channels in turn, 8 kHz, 16 bit: the outside party's, which is left, and ours."""
    both = array("h", raw[: len(raw) // 4 * 4])
    return track(both[0::2], OUTSIDE_HZ), track(both[1::2], INSIDE_HZ)


def track(samples: Samples, hertz: int) -> Track:
    """What a channel holds of one tone."""
    found = list(_found(samples, hertz))
    if not found:
        return Track()
    spoken = missing = 0
    for (at, number), (next_at, next_number) in itertools.pairwise(found):
        held = math.ceil((next_at - at) / FRAME_SAMPLES)
        left_out = (next_number - number - 1) % LEVELS
        missing += max(left_out, held - 1)
        spoken += 1 + max(left_out, held - 1)
    return Track(spoken + 1, missing)


def _found(samples: Samples, hertz: int) -> Iterator[tuple[int, int]]:
    """Where each whole packet of the tone begins, and which it is."""
    known, sound = _frames_of(hertz), samples.tobytes()
    at, end = 0, len(sound) - FRAME_BYTES
    while at <= end:
        number = known.get(sound[at : at + FRAME_BYTES])
        if number is None:
            # Whatever lies between may be of any length.
            at += 2
        else:
            yield at // 2, number
            at += FRAME_BYTES


def length_s(raw: bytes) -> float:
    """Of two channels."""
    return len(raw) / 4 / RATE
