"""通話録音: what is set for a number, and what was recorded of its calls."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.models.base import Base, enum_column, new_id, now
from store.models.calls import CallerKind
from store.models.numbers import PhoneNumber
from store.models.transcripts import TranscriptState


class RecordingSetting(Base):
    """What of a number's calls is recorded by itself, and what the other party hears before."""

    __tablename__ = "recording_settings"
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), primary_key=True)
    inbound: Mapped[bool] = mapped_column(default=False)
    outbound: Mapped[bool] = mapped_column(default=False)
    announcement: Mapped[bool] = mapped_column(default=False)
    prompt_id: Mapped[str | None] = mapped_column(ForeignKey("prompts.id"))
    transcribe: Mapped[bool] = mapped_column(default=False)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class RecordingTranscript(Base):
    """What an engine recognised in a recording; none as long as it waits, or where it is not asked for."""

    __tablename__ = "recording_transcripts"
    recording_id: Mapped[str] = mapped_column(
        ForeignKey("recordings.id", ondelete="CASCADE"), primary_key=True
    )
    state: Mapped[TranscriptState] = mapped_column(enum_column(TranscriptState))
    text: Mapped[str | None] = mapped_column(Text)
    words: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """`party` (outside, inside), `word`, `start` and `end` (seconds into the recording), `confidence`."""

    engine: Mapped[str | None] = mapped_column(String(40))
    model: Mapped[str | None] = mapped_column(String(200))
    failure: Mapped[str | None] = mapped_column(String(500))
    recognised_at: Mapped[datetime | None]


class Recording(Base):
    """What was said on a call: stereo, the other party left. `media` is its file in the media folder.

    The `announcement_…` columns are the evidence of what the other party heard before: they copy the prompt
    as it was, for prompts are changed and deleted. None of them is set where nothing was announced.
    """

    __tablename__ = "recordings"
    __table_args__ = (
        Index("ix_recordings_account_started", "account_id", "started_at", "id"),
        Index("ix_recordings_other_party", "account_id", "other_party", "started_at"),
        Index("ix_recordings_kept_since", "created_at", "id"),
        Index("ix_recordings_media", "media"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    call_id: Mapped[str] = mapped_column(String(64), unique=True)
    direction: Mapped[str] = mapped_column(String(10))
    other_party: Mapped[str | None] = mapped_column(String(40))
    other_party_kind: Mapped[CallerKind] = mapped_column(enum_column(CallerKind))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    duration_s: Mapped[float]
    sections: Mapped[list[dict[str, str]]] = mapped_column(JSON, default=list)
    """`from` and `to` of each stretch without a pause, RFC 3339 in UTC."""

    complete: Mapped[bool] = mapped_column(default=True)
    """False where the end is missing: the switch died, or its disk was full."""

    media: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    announcement_prompt_id: Mapped[str | None] = mapped_column(String(32))
    announcement_sha256: Mapped[str | None] = mapped_column(String(64))
    announcement_text: Mapped[str | None] = mapped_column(Text)
    announcement_started_at: Mapped[datetime | None]
    announcement_ended_at: Mapped[datetime | None]
    announcement_played_to_end: Mapped[bool | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    missing_since: Mapped[datetime | None]
    """When the file was first found to be gone."""

    number: Mapped[PhoneNumber] = relationship(viewonly=True, lazy="raise_on_sql")
    transcript: Mapped[RecordingTranscript | None] = relationship(viewonly=True, lazy="raise_on_sql")
