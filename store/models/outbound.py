"""Calling out: who may call what, and in whose name."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base


class DestinationClass(StrEnum):
    """What kind of line a call goes to; decides what it costs and whether it is allowed."""

    EMERGENCY = "emergency"
    """110, 118, 119: never charged, never refused for any setting."""

    INTERNAL = "internal"
    FREE = "free"
    FIXED = "fixed"
    MOBILE = "mobile"
    IP = "ip"
    NAVI = "navi"
    """0570, charged even under flat rates."""

    SPECIAL = "special"
    """1XY and #XXXX: services with a number of three or four digits."""

    PREMIUM = "premium"
    """0180, 0990 and their like abroad; satellite telephones."""

    OVERSEAS = "overseas"


UNCHARGED = frozenset({DestinationClass.EMERGENCY, DestinationClass.INTERNAL, DestinationClass.FREE})
SWITCHABLE = tuple(
    one for one in DestinationClass if one not in (DestinationClass.EMERGENCY, DestinationClass.INTERNAL)
)
"""What may be switched on and off, in the order shown."""

OFF_AT_FIRST = frozenset({DestinationClass.PREMIUM, DestinationClass.OVERSEAS})
ON_AT_FIRST = frozenset(SWITCHABLE) - OFF_AT_FIRST


class OutboundSetting(Base):
    """What an account may call. No row: the usual classes.

    Until `callback_until` a call-back of an emergency service is awaited (set by a call to 110, 118 or 119).
    """

    __tablename__ = "outbound_settings"
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    classes: Mapped[list[str]] = mapped_column(JSON)
    callback_until: Mapped[datetime | None]


class DeviceCalling(Base):
    """How a device calls and is called within its account. No row: nothing is set.

    `classes` None: what the account may call; else only what both allow.
    """

    __tablename__ = "device_calling"
    __table_args__ = (Index("uq_device_calling_short_number", "account_id", "short_number", unique=True),)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    short_number: Mapped[str | None] = mapped_column(String(4))
    default_number_id: Mapped[str | None] = mapped_column(ForeignKey("phone_numbers.id"))
    hides_number: Mapped[bool] = mapped_column(default=False)
    classes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
