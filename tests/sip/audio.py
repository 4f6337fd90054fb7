"""Sound as a test needs it: G.711, tones, something like speech, WAV files, and measuring. Pure.

Samples are 16-bit at 8 kHz in an `array("h")`.
"""

import math
import random
import wave
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Samples = array[int]
else:
    Samples = array

RATE = 8000
FRAME_SAMPLES = 160
LOUD_RMS = 150
"""A 20 ms frame louder than this is heard as sound; comfort noise and G.711 silence stay far below."""

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5
_CLIP = 32635
_BIAS = 0x84


def encode_ulaw(samples: Samples) -> bytes:
    """G.711 µ-law."""
    table = _encoding(_ulaw_of)
    return bytes([table[(sample >> 2) & 0x3FFF] for sample in samples])


def decode_ulaw(payload: bytes) -> Samples:
    table = _ulaw_values()
    return array("h", [table[code] for code in payload])


def encode_alaw(samples: Samples) -> bytes:
    """G.711 A-law."""
    table = _encoding(_alaw_of)
    return bytes([table[(sample >> 2) & 0x3FFF] for sample in samples])


def decode_alaw(payload: bytes) -> Samples:
    table = _alaw_values()
    return array("h", [table[code] for code in payload])


@cache
def _encoding(code_of: Callable[[int], int]) -> bytes:
    """Codes by the upper 14 bits of a sample, negative ones in the upper half: G.711 looks at no more."""
    return bytes(code_of((step if step < 0x2000 else step - 0x4000) << 2) for step in range(0x4000))


@cache
def _ulaw_values() -> tuple[int, ...]:
    def value(code: int) -> int:
        code = ~code & 0xFF
        size = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 7)) - _BIAS
        return -size if code & 0x80 else size

    return tuple(value(code) for code in range(256))


@cache
def _alaw_values() -> tuple[int, ...]:
    def value(code: int) -> int:
        code ^= 0x55
        segment, step = code >> 4 & 7, (code & 0x0F) << 4
        size = step + 8 if segment == 0 else step + 0x108 << segment - 1
        return size if code & 0x80 else -size

    return tuple(value(code) for code in range(256))


def _ulaw_of(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    size = min(abs(sample), _CLIP) + _BIAS
    segment = size.bit_length() - 8
    return ~(sign | segment << 4 | size >> segment + 3 & 0x0F) & 0xFF


def _alaw_of(sample: int) -> int:
    sign = 0x80 if sample >= 0 else 0
    size = min(sample if sample >= 0 else ~sample, 0x7FFF)
    segment = max(size.bit_length() - 8, 0)
    step = size >> (segment + 3 if segment else 4) & 0x0F
    return (sign | segment << 4 | step) ^ 0x55


def silence(seconds: float) -> Samples:
    return array("h", bytes(2 * round(seconds * RATE)))


def tone(frequency_hz: float, seconds: float, level: int = 8000) -> Samples:
    """A sine of peak `level` (32767 is full scale)."""
    step = 2 * math.pi * frequency_hz / RATE
    return array("h", [round(level * math.sin(step * n)) for n in range(round(seconds * RATE))])


def speech_like(seconds: float, seed: int = 1) -> Samples:
    """Syllables of a voice-like buzz with some hiss, four a second: loud enough to count as talking."""
    chance = random.Random(seed)
    pitch_hz = chance.uniform(110, 180)
    samples = array("h")
    for n in range(round(seconds * RATE)):
        at = n / RATE
        syllable = 0.25 + 0.75 * abs(math.sin(math.pi * 4 * at))
        voice = sum(
            math.sin(2 * math.pi * pitch_hz * harmonic * at) / harmonic for harmonic in (1, 2, 3, 5, 8)
        )
        samples.append(round(4500 * syllable * (voice + chance.uniform(-0.3, 0.3))))
    return samples


def frames(samples: Samples) -> Iterator[Samples]:
    """20 ms each; the last one filled up with silence."""
    for begin in range(0, len(samples), FRAME_SAMPLES):
        frame = samples[begin : begin + FRAME_SAMPLES]
        yield (
            frame
            if len(frame) == FRAME_SAMPLES
            else frame + array("h", bytes(2 * (FRAME_SAMPLES - len(frame))))
        )


def read_wav(path: Path) -> Samples:
    """An 8 kHz, 16-bit, mono WAV. Raises ValueError on any other."""
    with wave.open(str(path), "rb") as file:
        shape = (file.getframerate(), file.getsampwidth(), file.getnchannels())
        if shape != (RATE, 2, 1):
            raise ValueError(f"{path.name} is {shape}, not 8 kHz, 16-bit, mono")
        return array("h", file.readframes(file.getnframes()))


def write_wav(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setframerate(RATE)
        file.setsampwidth(2)
        file.setnchannels(1)
        file.writeframes(samples.tobytes())


def rms(samples: Samples) -> float:
    """Root of the mean square; 0 where there is nothing."""
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) if samples else 0.0


def share_of(samples: Samples, frequency_hz: float) -> float:
    """How much of the power lies at `frequency_hz`, 0 to 1: a pure tone gives 1 (Goertzel)."""
    total = sum(sample * sample for sample in samples)
    return 2 * _goertzel(samples, frequency_hz) / (len(samples) * total) if total else 0.0


def dominant_frequency(samples: Samples) -> float:
    """The strongest frequency in Hz, to about 1 Hz, of half a second in the middle; 0 for silence."""
    middle = len(samples) // 2
    excerpt = samples[max(0, middle - RATE // 4) : middle + RATE // 4]
    if rms(excerpt) < 1:
        return 0.0
    # A short window has wide ears: it cannot miss a tone between two steps of the first, coarse search.
    glance = excerpt[: RATE // 20]
    coarse = max(range(60, 3900, 10), key=lambda hz: _goertzel(glance, hz))
    return float(max(range(coarse - 15, coarse + 16), key=lambda hz: _goertzel(excerpt, hz)))


def _goertzel(samples: Samples, frequency_hz: float) -> float:
    """Squared magnitude of one frequency's part."""
    factor = 2 * math.cos(2 * math.pi * frequency_hz / RATE)
    before, last = 0.0, 0.0
    for sample in samples:
        before, last = last, sample + factor * last - before
    return before * before + last * last - factor * before * last
