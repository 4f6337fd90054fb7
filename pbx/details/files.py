"""The file that Asterisk writes its channel events to, and those that it was turned over into.

Asterisk opens the file anew for each event; it is turned over by renaming it. A line may still reach the
old name for a moment, so whoever reads stays there a little.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from pbx.details.events import whole_lines
from store.channel_events import Place

LARGEST_BYTES = 10_000_000
CHUNK_BYTES = 4_000_000
LINGER_S = 3.0
KEPT_S = 62 * 86400.0
"""Two months: a month of details can be made again from the files."""


@dataclass(frozen=True)
class Chunk:
    """What was read: whole lines, the place they begin at, and the place behind them."""

    content: bytes
    begin: Place
    place: Place
    cut: bool
    """There was more than is read in one go."""


def read_on(current: Path, place: Place | None) -> Chunk | None:
    """What follows `place`, at most 4 MB; None where there is no file yet. Raises OSError.

    A file that is no longer there (an old backup of the database, a folder that was emptied) is given up
    for the oldest that is.
    """
    files = files_of(current)
    if not files:
        return None
    inodes = [path.stat().st_ino for path in files]
    if place is None or place.inode not in inodes:
        place = Place(inodes[0], 0)
    at = inodes.index(place.inode)
    if files[at].stat().st_size < place.position:
        # Emptied by somebody: from its beginning.
        place = Place(place.inode, 0)
    content, cut = _lines_from(files[at], place.position)
    is_over = at + 1 < len(files) and time.time() - files[at].stat().st_mtime > LINGER_S
    if not content and is_over:
        # All that will ever be in it was read.
        place = Place(inodes[at + 1], 0)
        content, cut = _lines_from(files[at + 1], 0)
    return Chunk(content, place, Place(place.inode, place.position + len(content)), cut)


def turn_over(current: Path, largest_bytes: int = LARGEST_BYTES) -> None:
    """Rename the file once it is large, and remove what is older than two months. Raises OSError."""
    if current.exists() and current.stat().st_size > largest_bytes:
        current.rename(current.with_name(f"{current.stem}-{time.time_ns()}{current.suffix}"))
    for old in files_of(current)[:-1]:
        if old != current and time.time() - old.stat().st_mtime > KEPT_S:
            old.unlink(missing_ok=True)


def files_of(current: Path) -> list[Path]:
    """All that are kept: those turned over, oldest first, and the current one where it exists."""
    old = sorted(current.parent.glob(f"{current.stem}-*{current.suffix}"))
    return [*old, current] if current.exists() else old


def _lines_from(path: Path, position: int) -> tuple[bytes, bool]:
    """Whole lines, and whether there was more than is read in one go."""
    with path.open("rb") as file:
        file.seek(position)
        chunk = file.read(CHUNK_BYTES)
    lines = chunk[: whole_lines(chunk)]
    return lines, bool(lines) and len(chunk) == CHUNK_BYTES
