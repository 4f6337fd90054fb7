"""The tables, a file per subject."""

from store.models.accounts import Account, Role, Token
from store.models.base import Base, UTCDateTime, new_id, now
from store.models.billing import (
    Charge,
    ChargeKind,
    Contract,
    CreditAccount,
    CreditMonth,
    Invoice,
    InvoiceKind,
    MethodState,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentState,
    Reservation,
    Subscription,
    TariffVersion,
    TopUp,
    TopUpSource,
)
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
    "Base",
    "Call",
    "CallerKind",
    "Charge",
    "ChargeKind",
    "Chore",
    "Contract",
    "CreditAccount",
    "CreditMonth",
    "Delivery",
    "DeliveryPurpose",
    "DeliveryState",
    "Device",
    "EndedBy",
    "EntryKind",
    "Invoice",
    "InvoiceKind",
    "Job",
    "JobState",
    "JournalEntry",
    "MessageOutcome",
    "MessageSource",
    "MessageStatus",
    "MethodState",
    "NotificationRule",
    "NotificationService",
    "NumberUse",
    "PartReport",
    "Payment",
    "PaymentKind",
    "PaymentMethod",
    "PaymentState",
    "PhoneNumber",
    "Prompt",
    "PromptPurpose",
    "Reservation",
    "Revision",
    "Role",
    "RusurepoRule",
    "RusurepoSetting",
    "Schedule",
    "Subscription",
    "TariffVersion",
    "Token",
    "TopUp",
    "TopUpSource",
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
