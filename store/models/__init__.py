"""The tables, a file per subject."""

from store.models.accounts import Account, Role, Token
from store.models.base import Base, UTCDateTime, new_id, now
from store.models.call_legs import CallLeg, ChannelEvent, EventsRead, LegRole
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
from store.models.phones import (
    BlockedAddress,
    DeviceRelease,
    FailedLogin,
    LoginFailure,
    ProvisioningLink,
    Registration,
    ReleaseState,
)
from store.models.rusurepo import Prompt, PromptPurpose, RusurepoRule, RusurepoSetting, WhenUnanswered
from store.models.schedules import Schedule
from store.models.transcripts import Transcript, TranscriptState
from store.models.whitelists import EntryKind, Whitelist, WhitelistEntry

__all__ = [
    "Account",
    "Base",
    "BlockedAddress",
    "Call",
    "CallLeg",
    "CallerKind",
    "ChannelEvent",
    "Chore",
    "Delivery",
    "DeliveryPurpose",
    "DeliveryState",
    "Device",
    "DeviceRelease",
    "EndedBy",
    "EntryKind",
    "EventsRead",
    "FailedLogin",
    "Job",
    "JobState",
    "JournalEntry",
    "LegRole",
    "LoginFailure",
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
    "ProvisioningLink",
    "Registration",
    "ReleaseState",
    "Revision",
    "Role",
    "RusurepoRule",
    "RusurepoSetting",
    "Schedule",
    "Token",
    "Transcript",
    "TranscriptState",
    "UTCDateTime",
    "VoiceMessage",
    "WhenUnanswered",
    "Whitelist",
    "WhitelistEntry",
    "new_id",
    "now",
]
