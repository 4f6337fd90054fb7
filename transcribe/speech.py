"""Sound before it is recognised: where speech begins and ends, and another sample rate.

Pure. Samples are signed 16-bit, mono.
"""

from math import gcd

import numpy
from numpy.typing import NDArray

Samples = NDArray[numpy.int16]

FRAME_S = 0.02
EDGE_S = 0.5
"""Kept before the first and after the last frame above the gate: consonants begin softly."""

ABOVE_FLOOR = 3.0
BELOW_LOUD = 30.0
INAUDIBLE = 8.0
"""Root mean square, about -72 dBFS: what is below is silence whatever else there is."""

TAPS_PER_PHASE = 32
PASSBAND = 0.94
KAISER_BETA = 8.0


def samples_of(pcm: bytes) -> Samples:
    """Little-endian bytes as samples; an odd last byte is dropped."""
    return numpy.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(numpy.int16)


def spoken_part(samples: Samples, rate_hz: int) -> tuple[int, int]:
    """Where to begin and end listening, as sample numbers; both the same where nothing can be heard.

    A frame is silent only if it is both near the noise floor and far below the loud frames, so that
    quiet speech beside loud speech, and speech in loud noise, stay whole.
    """
    frame = round(rate_hz * FRAME_S)
    count = len(samples) // frame
    if count == 0:
        return 0, 0
    frames = samples[: count * frame].reshape(count, frame).astype(numpy.float32)
    levels = numpy.sqrt(numpy.einsum("ij,ij->i", frames, frames) / frame)
    floor, loud = numpy.quantile(levels, 0.1), numpy.quantile(levels, 0.95)
    gate = max(INAUDIBLE, min(floor * ABOVE_FLOOR, loud / BELOW_LOUD))
    above = numpy.flatnonzero(levels > gate)
    if len(above) == 0:
        return 0, 0
    edge = round(rate_hz * EDGE_S)
    first, last = int(above[0]) * frame, (int(above[-1]) + 1) * frame
    # The rest of a frame at the very end is not measured: it stays.
    return max(0, first - edge), min(len(samples), last + max(edge, frame))


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """`samples` at another rate, by a windowed-sinc filter in polyphase form; clipped, never wrapped."""
    if from_hz == to_hz or len(samples) == 0:
        return samples
    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    taps = _low_pass(up, down)
    delay = len(taps) // 2
    signal = samples.astype(numpy.float32)
    wanted = numpy.arange(-(-len(samples) * up // down))
    position = wanted * down + delay
    out = numpy.empty(len(wanted), numpy.float32)
    for phase in range(up):
        mine = position % up == phase
        filtered = numpy.convolve(signal, taps[phase::up])
        out[mine] = filtered[position[mine] // up]
    return numpy.clip(numpy.rint(out), -32768, 32767).astype(numpy.int16)


def _low_pass(up: int, down: int) -> NDArray[numpy.float32]:
    """For a signal with `up - 1` zeros after each sample; an odd number of taps, gain `up`."""
    # Going down, the filter must be as much narrower in frequency, and so as much longer.
    half = TAPS_PER_PHASE // 2 * max(up, down)
    cutoff = PASSBAND / max(up, down)
    at = numpy.arange(-half, half + 1)
    taps = numpy.sinc(at * cutoff) * cutoff * numpy.kaiser(2 * half + 1, KAISER_BETA)
    scaled: NDArray[numpy.float32] = (taps * (up / taps.sum())).astype(numpy.float32)
    return scaled
