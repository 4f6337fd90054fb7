"""What sending and receiving work with."""

from dataclasses import dataclass
from pathlib import Path

from faxgw.line import Line
from store.database import Database
from store.media import Media


@dataclass(frozen=True)
class Parts:
    database: Database
    media: Media
    line: Line
    spool: Path
    node: str
    retry_s: float
    """The wait before the second call to a busy number; the others are reckoned from it."""

    @property
    def outgoing(self) -> Path:
        """The pages of calls that are made now."""
        return self.spool / "out"

    @property
    def work(self) -> Path:
        """Files that are not finished."""
        return self.spool / "work"
