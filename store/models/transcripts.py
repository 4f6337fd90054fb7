"""What was said in a message, as text."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column


class TranscriptState(StrEnum):
    """How far the recognition of a message is."""

    WAITING = "waiting"
    DONE = "done"
    EMPTY = "empty"
    """Nothing was recognised in it."""

    FAILED = "failed"


class Transcript(Base):
    """What an engine recognised in a message, and what an administrator made of it.

    There is none as long as a message waits for its first recognition. It goes with its message.
    """

    __tablename__ = "transcripts"
    message_id: Mapped[str] = mapped_column(
        ForeignKey("voice_messages.id", ondelete="CASCADE"), primary_key=True
    )
    state: Mapped[TranscriptState] = mapped_column(enum_column(TranscriptState))
    text: Mapped[str | None] = mapped_column(Text)
    words: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """`word`, `start` and `end` (seconds from the beginning of the message's audio), `confidence`."""

    confidence: Mapped[float | None]
    engine: Mapped[str | None] = mapped_column(String(40))
    model: Mapped[str | None] = mapped_column(String(200))
    failure: Mapped[str | None] = mapped_column(String(500))
    recognised_at: Mapped[datetime | None]
    corrected_text: Mapped[str | None] = mapped_column(Text)
    corrected_by: Mapped[str | None] = mapped_column(String(64))
    corrected_at: Mapped[datetime | None]
    search_text: Mapped[str] = mapped_column(Text, default="")
    """The text that is shown, as searches see it (`store.transcripts.folded`)."""

    @property
    def shown_text(self) -> str | None:
        """The correction where there is one, else what was recognised."""
        return self.text if self.corrected_text is None else self.corrected_text

    @property
    def shown_state(self) -> TranscriptState:
        """A corrected message has its text, whatever becomes of its recognition."""
        return self.state if self.corrected_text is None else TranscriptState.DONE
