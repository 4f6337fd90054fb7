"""Schedules: which rule a number follows at which hour."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, new_id, now


class Schedule(Base):
    """A number's schedule. `plan` is what `store.hours.read_plan` reads.

    While `overridden`, `override_rule_id` (None: OFF) applies instead, until `override_until` (None: until
    it is taken back).
    """

    __tablename__ = "schedules"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), unique=True)
    enabled: Mapped[bool] = mapped_column(default=False)
    plan: Mapped[dict[str, Any]]
    overridden: Mapped[bool] = mapped_column(default=False)
    override_rule_id: Mapped[str | None] = mapped_column(ForeignKey("rusurepo_rules.id"))
    override_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
