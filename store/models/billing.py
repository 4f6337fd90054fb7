"""Money: tariffs, what was sold, credit, charges, invoices and payments. Amounts are whole yen without tax
unless a name says otherwise."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Date, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now

MONTH = String(7)
"""A billing month, as `2026-11`."""


class TariffVersion(Base):
    """A published version of the tariff; once it is in force it never changes."""

    __tablename__ = "tariffs"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    valid_from: Mapped[date] = mapped_column(Date, unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    content: Mapped[dict[str, Any]]
    published_at: Mapped[datetime] = mapped_column(default=now)


class Contract(Base):
    """Whom an account's invoices are addressed to."""

    __tablename__ = "contracts"
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    customer_name: Mapped[str] = mapped_column(String(200))
    postal_code: Mapped[str] = mapped_column(String(8), default="")
    address: Mapped[str] = mapped_column(String(300), default="")
    mail_address: Mapped[str | None] = mapped_column(String(254))
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class Subscription(Base):
    """An item or plan of the tariff, sold for a while; days are Japan's, `ends_on` the last one.

    `subject_id` is the number's or device's (None: the account's), which may be gone by now.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_account", "account_id", "starts_on"),
        Index("ix_subscriptions_subject", "subject_id", "item"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    item: Mapped[str] = mapped_column(String(30))
    subject_id: Mapped[str | None] = mapped_column(String(32))
    subject_name: Mapped[str] = mapped_column(String(200), default="")
    """The number or the ID as people know it, for invoices that outlive it."""

    starts_on: Mapped[date] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)
    created_at: Mapped[datetime] = mapped_column(default=now)


class CreditAccount(Base):
    """An account's credit settings. Whoever changes what its credit is made of writes this row first."""

    __tablename__ = "credit_accounts"
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    automatic_top_up: Mapped[bool] = mapped_column(default=False)
    automatic_limit: Mapped[int] = mapped_column(default=3)
    """So many automatic top-ups per billing month at most."""

    turn: Mapped[int] = mapped_column(default=0)


class CreditMonth(Base):
    """Sums of one account's billing month: kept with the rows they sum up, in the same transactions."""

    __tablename__ = "credit_months"
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    month: Mapped[str] = mapped_column(MONTH, primary_key=True)
    ceiling: Mapped[int]
    warn_at: Mapped[int]
    charged: Mapped[int] = mapped_column(default=0)
    topped_up: Mapped[int] = mapped_column(default=0)
    warned_at: Mapped[datetime | None]


class Reservation(Base):
    """What a call may cost at most, as long as it is not charged."""

    __tablename__ = "credit_reservations"
    call_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    month: Mapped[str] = mapped_column(MONTH)
    tariff_id: Mapped[str] = mapped_column(ForeignKey("tariffs.id"))
    destination_class: Mapped[str] = mapped_column(String(20))
    e164: Mapped[str] = mapped_column(String(40))
    plan: Mapped[str | None] = mapped_column(String(30))
    yen: Mapped[int]
    limit_s: Mapped[int | None]
    """How long the call may last; None: as long as it likes."""

    reserved_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    """When the meter saw it answered; None: not yet, or nobody looked."""

    released_at: Mapped[datetime | None]


class ChargeKind(StrEnum):
    CALL = "call"
    CORRECTION = "correction"


class Charge(Base):
    """What one call cost. Append-only: a database trigger refuses every change. Known by what it is for."""

    __tablename__ = "charges"
    __table_args__ = (Index("ix_charges_account_month", "account_id", "month", "at"),)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    month: Mapped[str] = mapped_column(MONTH)
    kind: Mapped[ChargeKind] = mapped_column(enum_column(ChargeKind))
    call_id: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime]
    tariff_id: Mapped[str] = mapped_column(ForeignKey("tariffs.id"))
    line: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(60))
    destination_class: Mapped[str] = mapped_column(String(20))
    number_id: Mapped[str | None] = mapped_column(String(32))
    device_id: Mapped[str | None] = mapped_column(String(32))
    seconds: Mapped[int]
    units: Mapped[int]
    amount: Mapped[int]
    tax_percent: Mapped[int]
    noted_at: Mapped[datetime] = mapped_column(default=now)


class TopUpSource(StrEnum):
    MANUAL = "manual"
    AUTOMATIC = "automatic"


class TopUp(Base):
    """チャージ. Append-only, as charges are; `key` makes a repeated request the same one."""

    __tablename__ = "top_ups"
    __table_args__ = (
        UniqueConstraint("account_id", "key"),
        Index("ix_top_ups_account_at", "account_id", "at", "id"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    month: Mapped[str] = mapped_column(MONTH)
    at: Mapped[datetime]
    amount: Mapped[int]
    source: Mapped[TopUpSource] = mapped_column(enum_column(TopUpSource))
    key: Mapped[str] = mapped_column(String(100))
    by: Mapped[str] = mapped_column(String(100), default="")
    """Who asked for it, or the call that needed it."""

    balance: Mapped[int]
    """What could be spent right after it."""


class InvoiceKind(StrEnum):
    INVOICE = "invoice"
    CORRECTION = "correction"


class Invoice(Base):
    """An issued document. Append-only: `content` is all that it says, `digest` its SHA-256."""

    __tablename__ = "invoices"
    __table_args__ = (
        Index("ix_invoices_account_issued", "account_id", "created_at", "id"),
        UniqueConstraint("account_id", "month", "sequence"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    number: Mapped[str] = mapped_column(String(30), unique=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    month: Mapped[str] = mapped_column(MONTH, index=True)
    sequence: Mapped[int]
    """0 for the month's invoice, then its corrections."""

    kind: Mapped[InvoiceKind] = mapped_column(enum_column(InvoiceKind))
    corrects_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"))
    issued_on: Mapped[date] = mapped_column(Date)
    due_on: Mapped[date] = mapped_column(Date)
    customer_name: Mapped[str] = mapped_column(String(200))
    total: Mapped[int]
    """With tax: what is to be paid, or for a correction what changes."""

    content: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    pdf: Mapped[str] = mapped_column(String(200))
    pdf_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class PaymentKind(StrEnum):
    """口座振替, 銀行振込, カード."""

    BANK_DEBIT = "bank_debit"
    BANK_TRANSFER = "bank_transfer"
    CARD = "card"


class MethodState(StrEnum):
    VERIFYING = "verifying"
    ACTIVE = "active"
    REFUSED = "refused"


class PaymentMethod(Base):
    """決済方法, from a billing month on: of those in force the youngest holds."""

    __tablename__ = "payment_methods"
    __table_args__ = (Index("ix_payment_methods_account", "account_id", "effective_month", "created_at"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[PaymentKind] = mapped_column(enum_column(PaymentKind))
    state: Mapped[MethodState] = mapped_column(enum_column(MethodState))
    effective_month: Mapped[str] = mapped_column(MONTH)
    sealed_token: Mapped[str | None] = mapped_column(Text)
    customer_ref: Mapped[str | None] = mapped_column(String(200))
    method_ref: Mapped[str | None] = mapped_column(String(200))
    card_brand: Mapped[str | None] = mapped_column(String(30))
    card_last4: Mapped[str | None] = mapped_column(String(4))
    card_expires: Mapped[str | None] = mapped_column(MONTH)
    """The card's last calendar month."""

    warned_month: Mapped[str | None] = mapped_column(MONTH)
    """The calendar month in which it was last told that the card expires."""

    reason_code: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(String(500))
    requested_by: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class PaymentState(StrEnum):
    WAITING = "waiting"
    """For the customer's transfer, or for the bank's list of debits."""

    PROCESSING = "processing"
    PAID = "paid"
    FAILED = "failed"


class Payment(Base):
    """How an invoice is paid."""

    __tablename__ = "payments"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    invoice_id: Mapped[str] = mapped_column(ForeignKey("invoices.id"), unique=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[PaymentKind] = mapped_column(enum_column(PaymentKind))
    method_id: Mapped[str | None] = mapped_column(ForeignKey("payment_methods.id"))
    amount: Mapped[int]
    state: Mapped[PaymentState] = mapped_column(enum_column(PaymentState), index=True)
    due_on: Mapped[date] = mapped_column(Date)
    attempts: Mapped[int] = mapped_column(default=0)
    provider_ref: Mapped[str | None] = mapped_column(String(200))
    reason_code: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(String(500))
    reminders: Mapped[int] = mapped_column(default=0)
    reminded_on: Mapped[date | None] = mapped_column(Date)
    paid_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
