"""The tables, a file per subject."""

from store.models.accounts import Account, Role, Token
from store.models.base import Base, UTCDateTime, new_id, now
from store.models.calls import Call, CallerKind, JournalEntry, MessageOutcome
from store.models.jobs import Job, JobState
from store.models.messages import EndedBy, MessageSource, VoiceMessage
from store.models.numbers import Device, NumberUse, PhoneNumber
from store.models.parts import PartReport, Revision
from store.models.rusurepo import Prompt, RusurepoRule, RusurepoSetting, WhenUnanswered
from store.models.schedules import Schedule
from store.models.whitelists import EntryKind, Whitelist, WhitelistEntry

__all__ = [
    "Account",
    "Base",
    "Call",
    "CallerKind",
    "Device",
    "EndedBy",
    "EntryKind",
    "Job",
    "JobState",
    "JournalEntry",
    "MessageOutcome",
    "MessageSource",
    "NumberUse",
    "PartReport",
    "PhoneNumber",
    "Prompt",
    "Revision",
    "Role",
    "RusurepoRule",
    "RusurepoSetting",
    "Schedule",
    "Token",
    "UTCDateTime",
    "VoiceMessage",
    "WhenUnanswered",
    "Whitelist",
    "WhitelistEntry",
    "new_id",
    "now",
]
