"""クラウドFAX: documents on their way out, one fax for each destination, and what came in."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.models.base import Base, enum_column, new_id, now
from store.models.calls import CallerKind
from store.models.numbers import PhoneNumber


class FaxUse(StrEnum):
    """How calls to a number become faxes."""

    NONE = "none"
    """Never: the number has no FAX option."""
    SHARED = "shared"
    """A telephone call first, a fax when one is heard (CNG) or offered (T.38)."""
    ONLY = "only"
    """At once: FAX専用モード, and numbers that are for fax alone."""


class FaxDirection(StrEnum):
    IN = "in"
    OUT = "out"


class FaxState(StrEnum):
    """How far a fax is. The last five are final."""

    PREPARING = "preparing"
    """Its document is being made ready."""
    WAITING = "waiting"
    DIALLING = "dialling"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RECEIVED = "received"
    PARTIAL = "partial"
    """Received, but the call was cut: its whole pages are there."""


class FaxTransport(StrEnum):
    T38 = "t38"
    G711 = "g711"


class FaxResultClass(StrEnum):
    """How a fax came out, in words for people; the code behind it stands beside it."""

    OK = "ok"
    DAMAGED = "damaged"
    """All pages, some of them with rows that were heard wrong (without ECM)."""
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NOT_A_FAX = "not_a_fax"
    CUT_OFF = "cut_off"
    BAD_LINE = "bad_line"
    NOT_CAPABLE = "not_capable"
    BAD_NUMBER = "bad_number"
    REFUSED = "refused"
    NETWORK = "network"
    UNKNOWN = "unknown"
    """We do not know whether it arrived: Asterisk died at a moment when it may have."""
    BAD_DOCUMENT = "bad_document"
    CANCELLED = "cancelled"
    OUR_FAULT = "our_fault"


class SubmissionState(StrEnum):
    PREPARING = "preparing"
    READY = "ready"
    REFUSED = "refused"


class FaxSetting(Base):
    """A number's fax settings. A number without a row has the defaults; `use` fax has the option always."""

    __tablename__ = "fax_settings"
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=False)
    """The number has the FAX option."""

    fax_only: Mapped[bool] = mapped_column(default=False)
    """FAX専用モード"""

    mail_addresses: Mapped[list[str]] = mapped_column(JSON, default=list)
    notification_rule_id: Mapped[str | None] = mapped_column(ForeignKey("notification_rules.id"))
    sender_name: Mapped[str] = mapped_column(String(60), default="")
    """In the header line of every page sent."""

    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class FaxAccess(Base):
    """A device that may send from a number and see its faxes. A number without any is open to all."""

    __tablename__ = "fax_access"
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True)


class FaxSubmission(Base):
    """A document and the number it goes out from; one fax for each of its destinations."""

    __tablename__ = "fax_submissions"
    __table_args__ = (
        UniqueConstraint("account_id", "idempotency_key"),
        Index("ix_fax_submissions_account_created", "account_id", "created_at", "id"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    device_id: Mapped[str | None] = mapped_column(String(32))
    """The device it was sent from, where it was one."""

    submitted_by: Mapped[str] = mapped_column(String(32))
    """Who sent it: the user, or the token where it is nobody's."""

    state: Mapped[SubmissionState] = mapped_column(
        enum_column(SubmissionState), default=SubmissionState.PREPARING
    )
    refusal: Mapped[str | None] = mapped_column(String(40))
    """Why its document cannot be sent: a code of `store.fax_documents`."""

    file_name: Mapped[str] = mapped_column(String(100), default="")
    document: Mapped[str] = mapped_column(String(200))
    """The PDF as it was given, its name within the media folder."""

    cover: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The cover page's texts."""

    pdf: Mapped[str | None] = mapped_column(String(200))
    """What is sent, as fax pages in a PDF: what one sees, downloads and is sent again."""

    pdf_sha256: Mapped[str | None] = mapped_column(String(64))
    tiff: Mapped[str | None] = mapped_column(String(200))
    pages: Mapped[int | None]
    send_at: Mapped[datetime | None]
    """Not before then."""

    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_sha256: Mapped[str | None] = mapped_column(String(64))
    """What was asked for under the key."""

    created_at: Mapped[datetime] = mapped_column(default=now)


class Fax(Base):
    """One document to one destination, or one that came in.

    `started_at` is when the call came in, or when it was to be sent at the earliest; it never changes.
    """

    __tablename__ = "faxes"
    __table_args__ = (
        Index("ix_faxes_account_started", "account_id", "started_at", "id"),
        Index("ix_faxes_kept_since", "account_id", "created_at"),
        Index("ix_faxes_unread", "account_id", "number_id", "read_at"),
        Index("ix_faxes_pdf", "pdf"),
        Index("ix_faxes_tiff", "tiff"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    submission_id: Mapped[str | None] = mapped_column(ForeignKey("fax_submissions.id"), index=True)
    call_id: Mapped[str | None] = mapped_column(String(64), unique=True)
    """The call it came in; for one that goes out its last attempt's."""

    direction: Mapped[FaxDirection] = mapped_column(enum_column(FaxDirection))
    state: Mapped[FaxState] = mapped_column(enum_column(FaxState))
    other_party: Mapped[str | None] = mapped_column(String(40))
    other_party_kind: Mapped[CallerKind] = mapped_column(enum_column(CallerKind), default=CallerKind.NUMBER)
    file_name: Mapped[str] = mapped_column(String(100), default="")
    pages: Mapped[int | None]
    pages_done: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    result_class: Mapped[FaxResultClass | None] = mapped_column(enum_column(FaxResultClass))
    result_code: Mapped[str | None] = mapped_column(String(60))
    result_text: Mapped[str | None] = mapped_column(String(300))
    transport: Mapped[FaxTransport | None] = mapped_column(enum_column(FaxTransport))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    duration_s: Mapped[float | None]
    """On the line; of all attempts together."""

    remote_station: Mapped[str] = mapped_column(String(40), default="")
    """CSI or TSI: what the far machine says of itself."""

    rate: Mapped[int | None]
    ecm: Mapped[bool | None]
    resolution: Mapped[str] = mapped_column(String(20), default="")
    bad_rows: Mapped[int] = mapped_column(default=0)
    pdf: Mapped[str | None] = mapped_column(String(200))
    pdf_sha256: Mapped[str | None] = mapped_column(String(64))
    tiff: Mapped[str | None] = mapped_column(String(200))
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    read_at: Mapped[datetime | None]
    read_by: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(default=now)
    number: Mapped[PhoneNumber] = relationship(viewonly=True, lazy="raise_on_sql")


class FaxAttempt(Base):
    """One call made for a fax, written before Asterisk is asked for it.

    Its id is the channel's id, the call's and the name of its slip.
    """

    __tablename__ = "fax_attempts"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    fax_id: Mapped[str] = mapped_column(ForeignKey("faxes.id"), index=True)
    node: Mapped[str] = mapped_column(String(20))
    first_page: Mapped[int] = mapped_column(default=1)
    transport: Mapped[FaxTransport] = mapped_column(enum_column(FaxTransport))
    """What was tried; what it became stands in `mode`."""

    ecm: Mapped[bool] = mapped_column(default=True)
    max_rate: Mapped[int] = mapped_column(default=14400)
    fine: Mapped[bool] = mapped_column(default=True)
    started_at: Mapped[datetime] = mapped_column(default=now)
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    pages_done: Mapped[int] = mapped_column(default=0)
    result_class: Mapped[FaxResultClass | None] = mapped_column(enum_column(FaxResultClass))
    result_code: Mapped[str | None] = mapped_column(String(60))
    mode: Mapped[FaxTransport | None] = mapped_column(enum_column(FaxTransport))
    rate: Mapped[int | None]
    remote_station: Mapped[str] = mapped_column(String(40), default="")
    details: Mapped[str] = mapped_column(Text, default="")
    """The slip's words, for whoever looks into it."""


class FaxPeer(Base):
    """What worked with a destination, until it is too long ago to be trusted."""

    __tablename__ = "fax_peers"
    e164: Mapped[str] = mapped_column(String(16), primary_key=True)
    transport: Mapped[FaxTransport] = mapped_column(enum_column(FaxTransport))
    ecm: Mapped[bool] = mapped_column(default=True)
    max_rate: Mapped[int] = mapped_column(default=14400)
    fine: Mapped[bool] = mapped_column(default=True)
    expires_at: Mapped[datetime]
