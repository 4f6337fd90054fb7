"""What the parts of the switch tell each other."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, now


class Revision(Base):
    """Counts changes that a part must notice; `asterisk` counts those that Asterisk must be told of."""

    __tablename__ = "revisions"
    scope: Mapped[str] = mapped_column(String(20), primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class Chore(Base):
    """Something done now and then, by one process at a time; `due_at` says when next."""

    __tablename__ = "chores"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    due_at: Mapped[datetime]


class PartReport(Base):
    """How a part of a node says it is doing; too old a report counts as down."""

    __tablename__ = "part_reports"
    part: Mapped[str] = mapped_column(String(60), primary_key=True)
    ready: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(500), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    reported_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
