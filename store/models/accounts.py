"""Customers and who may act for them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now

USUAL_RETENTION_DAYS = 30
USUAL_FAX_RETENTION_DAYS = 180


class Role(StrEnum):
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


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


class Token(Base):
    """A bearer token, known by its SHA-256 only. An operator's belongs to no account."""

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
