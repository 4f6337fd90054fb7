"""Calls and their journal."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, func, select
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from store.models.base import Base, enum_column
from store.models.billing import Charge
from store.models.numbers import PhoneNumber


class CallerKind(StrEnum):
    """Why there is a caller's number, or why not (非通知, 公衆電話, 表示圏外)."""

    NUMBER = "number"
    WITHHELD = "withheld"
    PAYPHONE = "payphone"
    UNAVAILABLE = "unavailable"


class MessageOutcome(StrEnum):
    """What became of a call's recording; set once, in the transaction that settles it."""

    KEPT = "kept"
    NOTHING_SAID = "nothing_said"
    UNREADABLE = "unreadable"


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
    destination_class: Mapped[str | None] = mapped_column(String(20))
    """What kind of line was called (`DestinationClass`); None for inbound calls."""

    dialled: Mapped[str] = mapped_column(String(40))
    caller: Mapped[str | None] = mapped_column(String(40))
    caller_kind: Mapped[CallerKind] = mapped_column(enum_column(CallerKind))
    started_at: Mapped[datetime] = mapped_column(index=True)
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    result: Mapped[str | None] = mapped_column(String(40))
    message_outcome: Mapped[MessageOutcome | None] = mapped_column(enum_column(MessageOutcome))
    fax_pages: Mapped[int | None]
    """Pages of a FAX of ours that the far machine has from this call, whatever becomes of the FAX here."""

    charge: Mapped[int | None] = column_property(
        select(func.sum(Charge.amount)).where(Charge.call_id == id).correlate_except(Charge).scalar_subquery()
    )
    """Yen without tax; None as long as it is not rated."""

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
