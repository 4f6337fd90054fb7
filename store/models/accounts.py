"""Customers and who may act for them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now

USUAL_RETENTION_DAYS = 30
USUAL_FAX_RETENTION_DAYS = 180


class Role(StrEnum):
    """What somebody may do. A member uses devices of the account and sees what belongs to them."""

    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"
    MEMBER = "member"
    READ_ONLY = "read_only"


class TokenKind(StrEnum):
    """A session's token comes of signing in, and ends with signing out."""

    API = "api"
    SESSION = "session"


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)
    message_retention_days: Mapped[int | None] = mapped_column(
        default=USUAL_RETENTION_DAYS, server_default=str(USUAL_RETENTION_DAYS)
    )
    """How long messages are kept; None: until somebody deletes them."""

    fax_retention_days: Mapped[int | None] = mapped_column(
        default=USUAL_FAX_RETENTION_DAYS, server_default=str(USUAL_FAX_RETENTION_DAYS)
    )
    """The same for faxes."""


class User(Base):
    """Somebody who signs in. An operator belongs to no account.

    `password_hash` is argon2id's own text. The secret of the one-time codes is sealed; it counts from
    `totp_since` on. `totp_step` is the last code's step of 30 s: no code works twice.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("(role = 'operator') = (account_id IS NULL)", name="operator_has_no_account"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    role: Mapped[Role] = mapped_column(enum_column(Role))
    login: Mapped[str] = mapped_column(String(100), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    password_changed_at: Mapped[datetime] = mapped_column(default=now)
    sealed_totp_secret: Mapped[str | None] = mapped_column(String(500))
    totp_since: Mapped[datetime | None]
    totp_step: Mapped[int] = mapped_column(default=0)
    recovery_digests: Mapped[list[str]] = mapped_column(JSON, default=list)
    """SHA-256 of the recovery codes that are left."""

    signed_in_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class UserDevice(Base):
    """A device that a member uses."""

    __tablename__ = "user_devices"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(
        ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class SignInCount(Base):
    """How often somebody tried to sign in since `since`; `key` is a digest of a login or of an address."""

    __tablename__ = "sign_in_counts"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    tries: Mapped[int] = mapped_column(default=0)
    since: Mapped[datetime]


class Token(Base):
    """A bearer token, known by its SHA-256 only. An operator's belongs to no account.

    A user's token is worth what the user is worth at the moment; `scopes` (None: all) narrow it further.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        CheckConstraint("(role = 'operator') = (account_id IS NULL)", name="operator_has_no_account"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    role: Mapped[Role] = mapped_column(enum_column(Role))
    label: Mapped[str] = mapped_column(String(200), default="")
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]
    kind: Mapped[TokenKind] = mapped_column(
        enum_column(TokenKind), default=TokenKind.API, server_default=TokenKind.API.value
    )
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"), index=True)
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
