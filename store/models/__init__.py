"""The tables, a file per subject."""

from store.models.accounts import Account, Role, SignInCount, Token, TokenKind, User, UserDevice
from store.models.audit import ActorKind, AuditAction, AuditEntry
from store.models.base import Base, UTCDateTime, new_id, now
from store.models.calls import Call, CallerKind, JournalEntry, MessageOutcome
from store.models.events import Event, IdempotencyKey
from store.models.faxes import (
    Fax,
    FaxAccess,
    FaxAttempt,
    FaxDirection,
    FaxPeer,
    FaxResultClass,
    FaxSetting,
    FaxState,
    FaxSubmission,
    FaxTransport,
    FaxUse,
    SubmissionState,
)
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
from store.models.outbound import (
    OFF_AT_FIRST,
    ON_AT_FIRST,
    SWITCHABLE,
    UNCHARGED,
    DestinationClass,
    DeviceCalling,
    OutboundSetting,
)
from store.models.parts import Chore, PartReport, Revision
from store.models.phonebook import (
    DevicePhonebook,
    ImportState,
    PhonebookContract,
    PhonebookEntry,
    PhonebookImport,
    PhonebookLink,
    PhonebookNumber,
    StandbyType,
)
from store.models.recordings import Recording, RecordingSetting, RecordingTranscript
from store.models.ringing import BlockedCaller, RingPlan, Treatment
from store.models.rusurepo import Prompt, PromptPurpose, RusurepoRule, RusurepoSetting, WhenUnanswered
from store.models.schedules import Schedule
from store.models.transcripts import Transcript, TranscriptState
from store.models.trunks import DidLocation, NumberStyle, Trunk
from store.models.whitelists import EntryKind, Whitelist, WhitelistEntry

__all__ = [
    "OFF_AT_FIRST",
    "ON_AT_FIRST",
    "SWITCHABLE",
    "UNCHARGED",
    "Account",
    "ActorKind",
    "AuditAction",
    "AuditEntry",
    "Base",
    "BlockedCaller",
    "Call",
    "CallerKind",
    "Chore",
    "Delivery",
    "DeliveryPurpose",
    "DeliveryState",
    "DestinationClass",
    "Device",
    "DeviceCalling",
    "DevicePhonebook",
    "DidLocation",
    "EndedBy",
    "EntryKind",
    "Event",
    "Fax",
    "FaxAccess",
    "FaxAttempt",
    "FaxDirection",
    "FaxPeer",
    "FaxResultClass",
    "FaxSetting",
    "FaxState",
    "FaxSubmission",
    "FaxTransport",
    "FaxUse",
    "IdempotencyKey",
    "ImportState",
    "Job",
    "JobState",
    "JournalEntry",
    "MessageOutcome",
    "MessageSource",
    "MessageStatus",
    "NotificationRule",
    "NotificationService",
    "NumberStyle",
    "NumberUse",
    "OutboundSetting",
    "PartReport",
    "PhoneNumber",
    "PhonebookContract",
    "PhonebookEntry",
    "PhonebookImport",
    "PhonebookLink",
    "PhonebookNumber",
    "Prompt",
    "PromptPurpose",
    "Recording",
    "RecordingSetting",
    "RecordingTranscript",
    "Revision",
    "RingPlan",
    "Role",
    "RusurepoRule",
    "RusurepoSetting",
    "Schedule",
    "SignInCount",
    "StandbyType",
    "SubmissionState",
    "Token",
    "TokenKind",
    "Transcript",
    "TranscriptState",
    "Treatment",
    "Trunk",
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
