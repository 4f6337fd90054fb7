"""The tables. Times are aware UTC, ids are opaque text, enumerations are stored as their values."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


def new_id() -> str:
    """An id nobody can guess."""
    return uuid4().hex


def now() -> datetime:
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """Aware datetimes in and out; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive datetime must not reach the database")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


# Every constraint has a name of ours: a later migration can drop it by that name, on SQLite too.
CONSTRAINT_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=CONSTRAINT_NAMES)
    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: JSON}  # noqa: RUF012 (SQLAlchemy's own form)


def _enum(kind: type[StrEnum]) -> Enum:
    return Enum(
        kind, native_enum=False, length=20, values_callable=lambda members: [m.value for m in members]
    )


class Role(StrEnum):
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class NumberUse(StrEnum):
    VOICE = "voice"
    FAX = "fax"


class CallerKind(StrEnum):
    """Why there is a caller's number, or why not (非通知, 公衆電話, 表示圏外)."""

    NUMBER = "number"
    WITHHELD = "withheld"
    PAYPHONE = "payphone"
    UNAVAILABLE = "unavailable"


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


class MessageOutcome(StrEnum):
    """What became of a call's recording; set once, in the transaction that settles it."""

    KEPT = "kept"
    NOTHING_SAID = "nothing_said"
    UNREADABLE = "unreadable"


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Token(Base):
    """A bearer token, known by its SHA-256 only. An operator's belongs to no account."""

    __tablename__ = "tokens"
    __table_args__ = (
        CheckConstraint("(role = 'operator') = (account_id IS NULL)", name="operator_has_no_account"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    role: Mapped[Role] = mapped_column(_enum(Role))
    label: Mapped[str] = mapped_column(String(200), default="")
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]


class PhoneNumber(Base):
    __tablename__ = "phone_numbers"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    e164: Mapped[str] = mapped_column(String(16), unique=True)
    use: Mapped[NumberUse] = mapped_column(_enum(NumberUse), default=NumberUse.VOICE)
    display_name: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    rusurepo: Mapped["RusurepoSetting | None"] = relationship(viewonly=True, lazy="raise_on_sql")


class Device(Base):
    """A SIP account (ID, 端末). The password is sealed (`store.sealing`)."""

    __tablename__ = "devices"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    username: Mapped[str] = mapped_column(String(32), unique=True)
    sealed_password: Mapped[str] = mapped_column(String(500))
    name: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Prompt(Base):
    """An audio prompt, 8 kHz 16-bit mono WAV under its content's SHA-256, never overwritten."""

    __tablename__ = "prompts"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    text: Mapped[str | None] = mapped_column(String(2000))
    sha256: Mapped[str] = mapped_column(String(64))
    duration_s: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=now)


class RusurepoRule(Base):
    """留守レポ's rule: what a caller hears before and after leaving a message."""

    __tablename__ = "rusurepo_rules"
    __table_args__ = (UniqueConstraint("number_id", "name"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    start_prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"))
    end_prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class RusurepoSetting(Base):
    """留守レポ ON/OFF and the active rule of a number."""

    __tablename__ = "rusurepo_settings"
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=False)
    rule_id: Mapped[str | None] = mapped_column(ForeignKey("rusurepo_rules.id"))
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class Call(Base):
    """One call, known by its first channel's unique id, the same in Asterisk, spool, journal and API."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_account_started", "account_id", "started_at", "id"),
        Index("ix_calls_number_started", "number_id", "started_at"),
    )
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    node: Mapped[str] = mapped_column(String(20), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str | None] = mapped_column(ForeignKey("phone_numbers.id"))
    device_id: Mapped[str | None] = mapped_column(ForeignKey("devices.id"))
    direction: Mapped[str] = mapped_column(String(10), default="inbound")
    dialled: Mapped[str] = mapped_column(String(40))
    caller: Mapped[str | None] = mapped_column(String(40))
    caller_kind: Mapped[CallerKind] = mapped_column(_enum(CallerKind))
    started_at: Mapped[datetime] = mapped_column(index=True)
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    result: Mapped[str | None] = mapped_column(String(40))
    message_outcome: Mapped[MessageOutcome | None] = mapped_column(_enum(MessageOutcome))
    number: Mapped[PhoneNumber | None] = relationship(viewonly=True, lazy="raise_on_sql")


class JournalEntry(Base):
    """A milestone of a call. Append-only."""

    __tablename__ = "call_journal"
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    call_id: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(40))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


class VoiceMessage(Base):
    """A message a caller left. `media` is its file's name within the media folder."""

    __tablename__ = "voice_messages"
    __table_args__ = (Index("ix_voice_messages_account_started", "account_id", "started_at", "id"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    call_id: Mapped[str] = mapped_column(String(64), unique=True)
    caller: Mapped[str | None] = mapped_column(String(40))
    caller_kind: Mapped[CallerKind] = mapped_column(_enum(CallerKind))
    started_at: Mapped[datetime]
    duration_s: Mapped[float]
    ended_by: Mapped[EndedBy] = mapped_column(_enum(EndedBy))
    source: Mapped[MessageSource] = mapped_column(_enum(MessageSource))
    media: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    number: Mapped[PhoneNumber] = relationship(viewonly=True, lazy="raise_on_sql")


class Job(Base):
    """Work that outlives a call, written in the transaction of what caused it, taken under a lease."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_ready", "kind", "state", "run_at"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[JobState] = mapped_column(_enum(JobState), default=JobState.WAITING)
    run_at: Mapped[datetime] = mapped_column(default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str | None] = mapped_column(String(100))
    leased_until: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(String(2000))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Revision(Base):
    """Counts changes that a part must notice; `asterisk` counts those that Asterisk must be told of."""

    __tablename__ = "revisions"
    scope: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class PartReport(Base):
    """How a part of a node says it is doing; too old a report counts as down."""

    __tablename__ = "part_reports"
    part: Mapped[str] = mapped_column(String(60), primary_key=True)
    ready: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(500), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reported_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
