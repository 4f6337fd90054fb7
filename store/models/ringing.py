"""How calls reach people: ring plans, and callers who are not put through."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now
from store.models.whitelists import EntryKind


class RingPlan(Base):
    """Which devices ring for a number. No row: all at once.

    `devices` are `{"device_id": …, "ring_s": …}` in their order; none: all of the account. In turn each rings
    for its own time; at once they ring for `ring_s`, or for less where their own is not null. When nobody
    answers, all are busy, nobody is registered or all channels are taken, the rule takes a message, or there
    is an announcement.
    """

    __tablename__ = "ring_plans"
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), primary_key=True)
    in_turn: Mapped[bool] = mapped_column(default=False)
    ring_s: Mapped[int]
    devices: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    unanswered_rule_id: Mapped[str | None] = mapped_column(ForeignKey("rusurepo_rules.id"))


class Treatment(StrEnum):
    """What becomes of a blocked caller."""

    REJECT = "reject"
    BUSY = "busy"
    ANNOUNCEMENT = "announcement"
    RUSUREPO = "rusurepo"


class BlockedCaller(Base):
    """A caller who is not put through: to one number, or to all of the account (`number_id` None).

    `value` is as in whitelists: E.164, whole or its beginning; empty for callers without a number.
    """

    __tablename__ = "blocked_callers"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str | None] = mapped_column(ForeignKey("phone_numbers.id"))
    kind: Mapped[EntryKind] = mapped_column(enum_column(EntryKind))
    value: Mapped[str] = mapped_column(String(16), default="")
    treatment: Mapped[Treatment] = mapped_column(enum_column(Treatment))
    name: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
