"""What callers said to 留守レポ."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.models.base import Base, enum_column, new_id, now
from store.models.calls import CallerKind
from store.models.numbers import PhoneNumber
from store.models.transcripts import Transcript


class EndedBy(StrEnum):
    """Why a recording ended."""

    HASH = "hash"
    LIMIT = "limit"
    HANGUP = "hangup"
    SILENCE = "silence"
    ERROR = "error"


class MessageSource(StrEnum):
    CONTROL_PLANE = "control_plane"
    DIALPLAN = "dialplan"


class MessageStatus(StrEnum):
    """How far the customer's people are with it (未対応, 対応中, 完了)."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class VoiceMessage(Base):
    """A message a caller left. `media` is its file's name within the media folder.

    `read_by` is the user who read it first, or the token where it is nobody's.
    """

    __tablename__ = "voice_messages"
    __table_args__ = (
        Index("ix_voice_messages_account_started", "account_id", "started_at", "id"),
        Index("ix_voice_messages_caller", "account_id", "caller", "started_at"),
        Index("ix_voice_messages_unread", "account_id", "number_id", "read_at"),
        Index("ix_voice_messages_kept_since", "account_id", "created_at"),
        Index("ix_voice_messages_media", "media"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    call_id: Mapped[str] = mapped_column(String(64), unique=True)
    rule_id: Mapped[str | None] = mapped_column(String(32))
    """The rule that took the call. No foreign key: a rule that was deleted meanwhile costs no message."""

    caller: Mapped[str | None] = mapped_column(String(40))
    caller_kind: Mapped[CallerKind] = mapped_column(enum_column(CallerKind))
    started_at: Mapped[datetime]
    duration_s: Mapped[float]
    ended_by: Mapped[EndedBy] = mapped_column(enum_column(EndedBy))
    source: Mapped[MessageSource] = mapped_column(enum_column(MessageSource))
    media: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    read_at: Mapped[datetime | None]
    read_by: Mapped[str | None] = mapped_column(String(32))
    status: Mapped[MessageStatus] = mapped_column(
        enum_column(MessageStatus), default=MessageStatus.OPEN, server_default=MessageStatus.OPEN.value
    )
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    updated_at: Mapped[datetime] = mapped_column(default=now)
    """When a person last changed it; its own making counts as the first time."""

    number: Mapped[PhoneNumber] = relationship(viewonly=True, lazy="raise_on_sql")
    transcript: Mapped[Transcript | None] = relationship(viewonly=True, lazy="raise_on_sql")
