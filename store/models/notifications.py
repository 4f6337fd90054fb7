"""通知設定: who is told of a message, where, and what became of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.models.base import Base, enum_column, new_id, now


class NotificationRule(Base):
    """通知ルール: mail addresses and services that are told together."""

    __tablename__ = "notification_rules"
    __table_args__ = (UniqueConstraint("account_id", "name"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(100))
    mail_addresses: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    services: Mapped[list["NotificationService"]] = relationship(
        viewonly=True, lazy="raise_on_sql", order_by="NotificationService.created_at"
    )


class NotificationService(Base):
    """通知サービス: one destination of a rule. `sealed_config` is the JSON of its fields, sealed."""

    __tablename__ = "notification_services"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    rule_id: Mapped[str] = mapped_column(ForeignKey("notification_rules.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    label: Mapped[str] = mapped_column(String(100), default="")
    sealed_config: Mapped[str] = mapped_column(Text)
    broken_since: Mapped[datetime | None]
    broken_until: Mapped[datetime | None]
    """When it mends by itself (a new month's quota); None: when somebody mends it."""

    broken_code: Mapped[str | None] = mapped_column(String(40))
    broken_reason: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=now)

    def is_broken(self, at: datetime) -> bool:
        return self.broken_since is not None and (self.broken_until is None or at < self.broken_until)


class DeliveryState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class DeliveryPurpose(StrEnum):
    """Why something is sent."""

    MESSAGE = "message"
    TEST = "test"
    WARNING = "warning"
    """A service of the rule has stopped working."""
    FAX = "fax"
    """A fax came in, was sent or could not be sent."""


class Delivery(Base):
    """One piece of news on its way to one destination: a service, or a mail address where there is one.

    It outlives what it refers to, so its references are no foreign keys. `steps` is what is known of each
    step that was begun, by its name: see `store.deliveries`.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_account_created", "account_id", "created_at", "id"),
        Index("ix_deliveries_message", "message_id"),
        Index("ix_deliveries_fax", "fax_id"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    purpose: Mapped[DeliveryPurpose] = mapped_column(enum_column(DeliveryPurpose))
    message_id: Mapped[str | None] = mapped_column(String(32))
    fax_id: Mapped[str | None] = mapped_column(String(32))
    number_id: Mapped[str | None] = mapped_column(String(32))
    rule_id: Mapped[str | None] = mapped_column(String(32))
    """None: to an address that stands in a number's fax settings."""

    service_id: Mapped[str | None] = mapped_column(String(32))
    """Where it goes, or for a warning what it is about."""

    address: Mapped[str | None] = mapped_column(String(254))
    kind: Mapped[str] = mapped_column(String(20))
    label: Mapped[str] = mapped_column(String(254))
    lane: Mapped[str | None] = mapped_column(String(100))
    state: Mapped[DeliveryState] = mapped_column(enum_column(DeliveryState), default=DeliveryState.WAITING)
    steps: Mapped[dict[str, Any]] = mapped_column(default=dict)
    attempts: Mapped[int] = mapped_column(default=0)
    reason_code: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_attempt_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
