"""The tables, a file per subject."""

from store.models.accounts import Account, Role, SignInCount, Token, TokenKind, User, UserDevice
from store.models.audit import ActorKind, AuditAction, AuditEntry
from store.models.base import Base, UTCDateTime, new_id, now
from store.models.calls import Call, CallerKind, JournalEntry, MessageOutcome
from store.models.jobs import Job, JobState
from store.models.messages import EndedBy, MessageSource, MessageStatus, VoiceMessage
from store.models.notifications import (
    Delivery,
    DeliveryPurpose,
    DeliveryState,
    NotificationRule,
    NotificationService,
)
from store.models.numbers import Device, NumberUse, PhoneNumber
from store.models.parts import Chore, PartReport, Revision
from store.models.rusurepo import Prompt, PromptPurpose, RusurepoRule, RusurepoSetting, WhenUnanswered
from store.models.schedules import Schedule
from store.models.transcripts import Transcript, TranscriptState
from store.models.whitelists import EntryKind, Whitelist, WhitelistEntry

__all__ = [
    "Account",
    "ActorKind",
    "AuditAction",
    "AuditEntry",
    "Base",
    "Call",
    "CallerKind",
    "Chore",
    "Delivery",
    "DeliveryPurpose",
    "DeliveryState",
    "Device",
    "EndedBy",
    "EntryKind",
    "Job",
    "JobState",
    "JournalEntry",
    "MessageOutcome",
    "MessageSource",
    "MessageStatus",
    "NotificationRule",
    "NotificationService",
    "NumberUse",
    "PartReport",
    "PhoneNumber",
    "Prompt",
    "PromptPurpose",
    "Revision",
    "Role",
    "RusurepoRule",
    "RusurepoSetting",
    "Schedule",
    "SignInCount",
    "Token",
    "TokenKind",
    "Transcript",
    "TranscriptState",
    "UTCDateTime",
    "User",
    "UserDevice",
    "VoiceMessage",
    "WhenUnanswered",
    "Whitelist",
    "WhitelistEntry",
    "new_id",
    "now",
]
