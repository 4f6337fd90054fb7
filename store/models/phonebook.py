"""Web電話帳: entries, their numbers, imports on trial, the contract, and what each device shows of it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now


def exact_text(length: int) -> String:
    """Text compared sign by sign, as SQLite does: a locale of the server must not change an order."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class PhonebookEntry(Base):
    """Somebody in the phonebook. `sort_key` and `words` are made of the rest: see `store.phonebook_words`."""

    __tablename__ = "phonebook_entries"
    __table_args__ = (
        # Holds all that a search reads, so that no row is fetched which is not shown.
        Index("ix_phonebook_entries_search", "account_id", "sort_key", "id", "words"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(100))
    reading: Mapped[str] = mapped_column(String(100), default="")
    company: Mapped[str] = mapped_column(String(100), default="")
    memo: Mapped[str] = mapped_column(String(1000), default="")
    sort_key: Mapped[str] = mapped_column(exact_text(400))
    words: Mapped[str] = mapped_column(exact_text(800))
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class PhonebookNumber(Base):
    """A number of an entry: E.164, or as dialled where it has no such form (117, extensions)."""

    __tablename__ = "phonebook_numbers"
    __table_args__ = (Index("ix_phonebook_numbers_number", "account_id", "number"),)
    entry_id: Mapped[str] = mapped_column(
        ForeignKey("phonebook_entries.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    label: Mapped[str] = mapped_column(String(20), default="")
    number: Mapped[str] = mapped_column(String(20))


class ImportState(StrEnum):
    PREVIEW = "preview"
    APPLIED = "applied"


class PhonebookImport(Base):
    """A CSV file on trial: `content` is the file as it came, compressed. Both go after a day."""

    __tablename__ = "phonebook_imports"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    file_name: Mapped[str | None] = mapped_column(String(100))
    encoding: Mapped[str | None] = mapped_column(String(20))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[ImportState] = mapped_column(enum_column(ImportState), default=ImportState.PREVIEW)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    applied_at: Mapped[datetime | None]
    added: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)


class PhonebookContract(Base):
    """The account has the option: for all its IDs, those that come later too. Without a row it has not."""

    __tablename__ = "phonebook_contracts"
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    since: Mapped[datetime] = mapped_column(default=now)
    changes: Mapped[int] = mapped_column(default=0, server_default="0")
    """Counts what was changed in the phonebook, for who keeps its words in memory."""


class StandbyType(StrEnum):
    """待ち受けタイプ: what a softphone's waiting screen shows."""

    ONE_BUTTON = "one_button"
    TWO_BUTTONS = "two_buttons"
    LIST = "list"


class DevicePhonebook(Base):
    """What a device shows of the phonebook; without a row, the list."""

    __tablename__ = "device_phonebooks"
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True)
    standby_type: Mapped[StandbyType] = mapped_column(enum_column(StandbyType), default=StandbyType.LIST)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class PhonebookLink(Base):
    """A link that gives a device the phonebook once; known by its SHA-256 only."""

    __tablename__ = "phonebook_links"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    expires_at: Mapped[datetime] = mapped_column(index=True)
