"""留守レポ: prompts, rules, and which of them is on."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, enum_column, new_id, now


class PromptPurpose(StrEnum):
    """What a prompt was made for. Advice only: every prompt may be chosen for everything."""

    START = "start"
    END = "end"
    CLOSED = "closed"
    RECORDING = "recording"


class WhenUnanswered(StrEnum):
    """What becomes of a whitelisted caller whom nobody answers."""

    RUSUREPO = "rusurepo"
    ANNOUNCEMENT = "announcement"


class Prompt(Base):
    """An audio prompt, 8 kHz 16-bit mono WAV under its content's SHA-256, never overwritten.

    `voice` is the pattern that spoke `text`, `file_name` what an uploaded file was called.
    """

    __tablename__ = "prompts"
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    text: Mapped[str | None] = mapped_column(String(2000))
    voice: Mapped[str | None] = mapped_column(String(20))
    purpose: Mapped[PromptPurpose | None] = mapped_column(enum_column(PromptPurpose))
    file_name: Mapped[str | None] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(64))
    duration_s: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=now)


class RusurepoRule(Base):
    """留守レポ's rule: what a caller hears before and after leaving a message, and whom the devices ring for.

    Callers of the whitelist ring through; the others ring for `ring_first_s` seconds before 留守レポ answers.
    """

    __tablename__ = "rusurepo_rules"
    __table_args__ = (UniqueConstraint("number_id", "name"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    start_prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"))
    end_prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"))
    notification_rule_id: Mapped[str | None] = mapped_column(ForeignKey("notification_rules.id"))
    whitelist_id: Mapped[str | None] = mapped_column(ForeignKey("whitelists.id"))
    ring_first_s: Mapped[int] = mapped_column(default=0, server_default="0")
    whitelisted_unanswered: Mapped[WhenUnanswered] = mapped_column(
        enum_column(WhenUnanswered), default=WhenUnanswered.RUSUREPO, server_default="rusurepo"
    )
    created_at: Mapped[datetime] = mapped_column(default=now)


class RusurepoSetting(Base):
    """留守レポ ON/OFF and the active rule of a number."""

    __tablename__ = "rusurepo_settings"
    number_id: Mapped[str] = mapped_column(ForeignKey("phone_numbers.id"), primary_key=True)
    enabled: Mapped[bool] = mapped_column(default=False)
    rule_id: Mapped[str | None] = mapped_column(ForeignKey("rusurepo_rules.id"))
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
