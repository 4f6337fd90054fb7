"""A recording's sound: raw files as Asterisk leaves them become one stereo WAV.

8 kHz, 16-bit, two channels, the party outside left. Raw files have no header: whatever a crash left of one
can be read. Hours of sound pass through here, so it goes by pieces.
"""

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

RATE_HZ = 8000
FRAME_BYTES = 4
"""Two channels of two bytes."""

BYTES_PER_SECOND = RATE_HZ * FRAME_BYTES
PIECE = 1024 * 1024
LONGEST_BYTES = 0xFFFFFFFF - 36
"""WAV cannot say more: 37 hours."""


def whole_bytes(path: Path) -> int:
    """How much of a raw file counts: a crash may have cut its last frame."""
    size = path.stat().st_size
    return size - size % FRAME_BYTES


def wav_header(size: int) -> bytes:
    """The header before `size` bytes of sound."""
    form = struct.pack("<HHIIHH", 1, 2, RATE_HZ, BYTES_PER_SECOND, FRAME_BYTES, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + struct.pack("<I", len(form))
        + form
        + b"data"
        + struct.pack("<I", size)
    )


def write_stereo_wav(target: Path, raw: Sequence[Path]) -> tuple[float, str]:
    """Write the files one after the other as one WAV; give its length in seconds and its SHA-256."""
    sizes = [whole_bytes(path) for path in raw]
    total = min(sum(sizes), LONGEST_BYTES // FRAME_BYTES * FRAME_BYTES)
    digest = hashlib.sha256()
    with target.open("wb") as out:
        header = wav_header(total)
        digest.update(header)
        out.write(header)
        left = total
        for path, size in zip(raw, sizes, strict=True):
            with path.open("rb") as file:
                left -= _copy(file, out, digest, min(size, left))
    return total / BYTES_PER_SECOND, digest.hexdigest()


def _copy(file: BinaryIO, out: BinaryIO, digest: "hashlib._Hash", size: int) -> int:
    left = size
    while left:
        piece = file.read(min(PIECE, left))
        if not piece:
            raise OSError("a recording became shorter while it was read")
        digest.update(piece)
        out.write(piece)
        left -= len(piece)
    return size
