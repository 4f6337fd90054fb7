"""Call details (通話明細): one row per call leg, made of what Asterisk itself noted of its channels."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, now


class LegRole(StrEnum):
    CALLER = "caller"
    CALLEE = "callee"


class CallLeg(Base):
    """One channel from beginning to end, known by its unique id; `call_id` is the call it began in.

    Numbers and devices are no foreign keys: details outlive what they tell of.
    """

    __tablename__ = "call_legs"
    __table_args__ = (
        Index("ix_call_legs_call", "call_id", "started_at"),
        Index("ix_call_legs_device", "device_id", "started_at"),
        Index("ix_call_legs_started", "started_at"),
    )
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    call_id: Mapped[str] = mapped_column(String(64))
    node: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str | None] = mapped_column(String(32))
    number: Mapped[str | None] = mapped_column(String(40))
    """The account's number of this call."""

    device_id: Mapped[str | None] = mapped_column(String(32))
    device: Mapped[str | None] = mapped_column(String(64))
    """The device's user name; None: the leg is the trunk's."""

    direction: Mapped[str] = mapped_column(String(10))
    role: Mapped[LegRole] = mapped_column(enum_column(LegRole))
    other_party: Mapped[str | None] = mapped_column(String(64))
    started_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime]
    result: Mapped[str] = mapped_column(String(20))
    cause: Mapped[int | None]
    """Q.850, as Asterisk says why it was hung up."""

    transfer: Mapped[str | None] = mapped_column(String(10))
    """`blind` or `attended`, where this side transferred the call."""

    destination_class: Mapped[str | None] = mapped_column(String(40))
    end_seen: Mapped[bool]
    """False where Asterisk died in the call: the end is when it was last known alive."""

    created_at: Mapped[datetime] = mapped_column(default=now)


class EventsRead(Base):
    """Where a node's file of channel events is to be read on: at the first event of a call that is not over.

    Moved in the transaction that keeps what was read.
    """

    __tablename__ = "channel_events_read"
    node: Mapped[str] = mapped_column(String(20), primary_key=True)
    inode: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(BigInteger)
    alive_at: Mapped[datetime | None]
    """When the node's open channels were last seen alive."""
