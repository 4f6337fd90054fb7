"""Where devices are logged in, how they are logged out, and who failed to log in."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now


class Registration(Base):
    """A contact of a device as Asterisk had it at `read_at`. `since` is when we saw it first."""

    __tablename__ = "registrations"
    __table_args__ = (UniqueConstraint("node", "device_id", "uri"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    node: Mapped[str] = mapped_column(String(20))
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    uri: Mapped[str] = mapped_column(String(400))
    user_agent: Mapped[str] = mapped_column(String(300), default="")
    address: Mapped[str] = mapped_column(String(64), default="")
    since: Mapped[datetime]
    seen_at: Mapped[datetime]
    """When it last registered or answered, as far as we noticed."""

    expires_at: Mapped[datetime]
    latency_ms: Mapped[float | None]
    reachable: Mapped[bool | None]
    """Whether it answers; None: not asked yet."""

    read_at: Mapped[datetime]


class ReleaseState(StrEnum):
    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"


class DeviceRelease(Base):
    """A device was told to be logged out (解除). Its old password is kept, sealed, until proven dead.

    No foreign key to the device: what was done to one that is gone stays on record.
    """

    __tablename__ = "device_releases"
    __table_args__ = (Index("ix_device_releases_device", "device_id", "requested_at", "id"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    device_id: Mapped[str] = mapped_column(String(32))
    sealed_old_password: Mapped[str | None] = mapped_column(String(500))
    end_calls: Mapped[bool]
    state: Mapped[ReleaseState] = mapped_column(enum_column(ReleaseState), default=ReleaseState.PENDING)
    reason: Mapped[str | None] = mapped_column(String(40))
    contacts_removed: Mapped[int | None]
    calls_ended: Mapped[int | None]
    requested_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class ProvisioningLink(Base):
    """A link that gives a device's settings once; known by its SHA-256 only."""

    __tablename__ = "provisioning_links"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class LoginFailure(StrEnum):
    WRONG_PASSWORD = "wrong_password"
    UNKNOWN_DEVICE = "unknown_device"


class FailedLogin(Base):
    """Failed logins of one address with one user name, counted together while they follow each other."""

    __tablename__ = "failed_logins"
    __table_args__ = (
        Index("ix_failed_logins_account", "account_id", "first_at", "id"),
        Index("ix_failed_logins_first", "first_at", "id"),
        Index("ix_failed_logins_source", "address", "username", "last_at"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    node: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    device_id: Mapped[str | None] = mapped_column(String(32))
    username: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(String(45))
    reason: Mapped[LoginFailure] = mapped_column(enum_column(LoginFailure))
    count: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class BlockedAddress(Base):
    """An address whose packets every node refuses until then."""

    __tablename__ = "blocked_addresses"
    address: Mapped[str] = mapped_column(String(45), primary_key=True)
    failures: Mapped[int]
    since: Mapped[datetime]
    until: Mapped[datetime] = mapped_column(index=True)
