"""Recordings as Asterisk leaves them: 8 kHz, 16-bit, mono WAV, now and then with an unfinished header.

Pure: bytes in, bytes out.
"""

import struct
import sys
from array import array
from dataclasses import dataclass

RATE_HZ = 8000
BYTES_PER_SECOND = RATE_HZ * 2
HEADER_BYTES = 44
CHUNK = RATE_HZ // 10
AUDIBLE_PEAK = 128
"""About -48 dBFS: a quiet voice is above it, a silent line below."""

AUDIBLE_CHUNKS = 2


class NotARecording(Exception):
    """The file is no 8 kHz 16-bit mono WAV."""


@dataclass(frozen=True)
class Sound:
    """Samples (signed 16-bit little-endian) and whether the file's header told their length rightly."""

    pcm: bytes
    header_right: bool

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / BYTES_PER_SECOND

    def holds_a_voice(self) -> bool:
        """False when there is nothing but silence."""
        samples = array("h", self.pcm) if sys.byteorder == "big" else memoryview(self.pcm).cast("h")
        if isinstance(samples, array):
            samples.byteswap()
        audible = 0
        for start in range(0, len(samples), CHUNK):
            # A voice shows in every fourth sample as well.
            chunk = samples[start : start + CHUNK : 4]
            if max(chunk) >= AUDIBLE_PEAK or min(chunk) <= -AUDIBLE_PEAK:
                audible += 1
                if audible >= AUDIBLE_CHUNKS:
                    return True
        return False


def read_wav(data: bytes) -> Sound:
    """Parse a recording. A length that a crash left at zero, or too long, is taken from the file's size.

    Raises NotARecording.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotARecording("no RIFF/WAVE header")
    at, form = 12, None
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        body = at + 8
        if name == b"fmt " and body + 16 <= len(data):
            form = struct.unpack_from("<HHIIHH", data, body)
        elif name == b"data":
            if form is None or (form[0], form[1], form[2], form[5]) != (1, 1, RATE_HZ, 16):
                raise NotARecording(f"not 8 kHz 16-bit mono: {form}")
            there = len(data) - body
            told_right = size == there or (size == there - 1 and there % 2 == 1)
            length = size if 0 < size <= there else there
            return Sound(data[body : body + length - length % 2], told_right)
        at = body + size + size % 2
    raise NotARecording("no audio in the file")


def write_wav(pcm: bytes) -> bytes:
    """A whole WAV file of `pcm` (8 kHz, 16-bit, mono)."""
    form = struct.pack("<HHIIHH", 1, 1, RATE_HZ, BYTES_PER_SECOND, 2, 16)
    parts = (
        b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(pcm)) + pcm
    )
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


def join(sounds: list[Sound]) -> Sound:
    """One recording of several, in order."""
    if len(sounds) == 1:
        return sounds[0]
    return Sound(b"".join(sound.pcm for sound in sounds), False)
