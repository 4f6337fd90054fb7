"""Trunks: the lines to carriers, which all accounts share."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now


class DidLocation(StrEnum):
    """Where a carrier says which of our numbers was called."""

    REQUEST_URI = "request_uri"
    TO = "to"
    P_CALLED_PARTY_ID = "p_called_party_id"


class NumberStyle(StrEnum):
    """How a carrier wants numbers: `0312345678` and `010…`, or `+81…`."""

    NATIONAL = "national"
    E164 = "e164"


class Trunk(Base):
    """A line to a carrier. Those with a smaller `priority` are tried first.

    With `registers` we log in there, and calls come over that registration; calls from the networks in
    `accept` are the carrier's in any case. The password is sealed (`store.sealing`).
    """

    __tablename__ = "trunks"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    enabled: Mapped[bool] = mapped_column(default=True)
    priority: Mapped[int]
    uri: Mapped[str] = mapped_column(String(200))
    accept: Mapped[list[str]] = mapped_column(JSON)
    registers: Mapped[bool] = mapped_column(default=False)
    username: Mapped[str | None] = mapped_column(String(100))
    sealed_password: Mapped[str | None] = mapped_column(String(500))
    from_domain: Mapped[str | None] = mapped_column(String(200))
    did_location: Mapped[DidLocation] = mapped_column(enum_column(DidLocation))
    number_style: Mapped[NumberStyle] = mapped_column(enum_column(NumberStyle))
    codecs: Mapped[list[str]] = mapped_column(JSON)
    t38: Mapped[bool] = mapped_column(default=False)
    emergency: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class TrunkState(StrEnum):
    """How far the login at a carrier has come."""

    REGISTERING = "registering"
    """Asked, and not answered yet."""

    REGISTERED = "registered"
    REJECTED = "rejected"
    """The carrier answers, and does not let us in."""

    UNREACHABLE = "unreachable"
    """The carrier does not answer at all."""


class TrunkRegistration(Base):
    """A node's login at a carrier as its Asterisk said last; `since` when it has been so."""

    __tablename__ = "trunk_registrations"
    trunk_id: Mapped[str] = mapped_column(ForeignKey("trunks.id", ondelete="CASCADE"), primary_key=True)
    node: Mapped[str] = mapped_column(String(20), primary_key=True)
    state: Mapped[TrunkState] = mapped_column(enum_column(TrunkState))
    since: Mapped[datetime]
    read_at: Mapped[datetime]
