"""Whitelists: the callers whom 留守レポ lets through."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now


class EntryKind(StrEnum):
    """What an entry matches: one number, all that begin alike, or callers without a number."""

    NUMBER = "number"
    PREFIX = "prefix"
    WITHHELD = "withheld"
    PAYPHONE = "payphone"
    UNAVAILABLE = "unavailable"


class Whitelist(Base):
    __tablename__ = "whitelists"
    __table_args__ = (UniqueConstraint("number_id", "name"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(default=now)


class WhitelistEntry(Base):
    """`value` is E.164, whole or its beginning; empty for callers without a number."""

    __tablename__ = "whitelist_entries"
    __table_args__ = (UniqueConstraint("whitelist_id", "kind", "value"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    whitelist_id: Mapped[str] = mapped_column(ForeignKey("whitelists.id"))
    position: Mapped[int]
    kind: Mapped[EntryKind] = mapped_column(enum_column(EntryKind))
    value: Mapped[str] = mapped_column(String(16), default="")
    name: Mapped[str] = mapped_column(String(100), default="")
