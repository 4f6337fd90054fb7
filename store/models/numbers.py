"""Telephone numbers and the devices of an account."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.models.base import Base, enum_column, new_id, now
from store.models.rusurepo import RusurepoSetting
from store.models.schedules import Schedule


class NumberUse(StrEnum):
    VOICE = "voice"
    FAX = "fax"


class PhoneNumber(Base):
    __tablename__ = "phone_numbers"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    e164: Mapped[str] = mapped_column(String(16), unique=True)
    use: Mapped[NumberUse] = mapped_column(enum_column(NumberUse), default=NumberUse.VOICE)
    display_name: Mapped[str] = mapped_column(String(100), default="")
    sells_recording: Mapped[bool] = mapped_column(default=True, server_default=true())
    sells_rusurepo: Mapped[bool] = mapped_column(default=True, server_default=true())
    sells_fax: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Which options are sold with the number."""

    channels: Mapped[int | None]
    """How many calls of people it carries at once; None: no limit."""

    line: Mapped[int | None]
    """Chooses this number for a call when dialled as `*01`; unique within the account."""

    created_at: Mapped[datetime] = mapped_column(default=now)
    rusurepo: Mapped[RusurepoSetting | None] = relationship(viewonly=True, lazy="raise_on_sql")
    schedule: Mapped[Schedule | None] = relationship(viewonly=True, lazy="raise_on_sql")


class Device(Base):
    """A SIP account (ID, 端末). The password is sealed (`store.sealing`)."""

    __tablename__ = "devices"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    username: Mapped[str] = mapped_column(String(32), unique=True)
    sealed_password: Mapped[str] = mapped_column(String(500))
    name: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
