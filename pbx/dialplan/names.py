"""Every name that Python and `asterisk-conf/extensions.conf` share; a test holds them against each other."""

APPLICATION = "denwaban"
"""Our Stasis application."""

WATCHER = "denwaban-watcher"
"""AMI user that hears of logins that failed, and may do nothing."""

CONTEXT_TRUNK = "from-trunk"
CONTEXT_DEVICE = "from-device"
CONTEXT_AWAY = "control-plane-away"
"""Does the whole job without the control plane."""
CONTEXT_RING = "ring"
CONTEXT_UNANSWERED = "unanswered"
CONTEXT_TAKE_MESSAGE = "take-message"
CONTEXT_LAMP = "lamp"
"""Sets the counts of a mailbox; also the context that mailboxes are in."""

LAMP_MAILBOX = "LAMP_MAILBOX"
LAMP_NEW = "LAMP_NEW"
LAMP_OLD = "LAMP_OLD"
LAMP_VARIABLES = (LAMP_MAILBOX, LAMP_NEW, LAMP_OLD)

NUMBER_FAMILY = "number"
"""Asterisk-database family holding a number's settings, `number/<E.164>/<key>`."""
KEY_USE = "use"
KEY_RUSUREPO = "rusurepo"
KEY_RULE = "rule"
KEY_START_PROMPT = "start_prompt"
KEY_END_PROMPT = "end_prompt"
KEY_DEVICES = "devices"
KEY_RING_FIRST = "ring_first"
"""How long the devices ring before a message is taken, in seconds; none: not at all."""
KEY_RING_LISTED = "ring_listed"
"""What `ring_first` is for callers of the whitelist; none: they ring, and an announcement follows."""
NUMBER_KEYS = (
    KEY_USE,
    KEY_RUSUREPO,
    KEY_RULE,
    KEY_START_PROMPT,
    KEY_END_PROMPT,
    KEY_DEVICES,
    KEY_RING_FIRST,
    KEY_RING_LISTED,
)

WHITELIST_FAMILY = "allow"
"""Family of whom the number's active whitelist names, `allow/<E.164>/<caller>`: the caller's number, the
beginning of numbers and a `*`, or why there is no number."""

TOLD_FAMILY = "told"
KEY_REVISION = "revision"
"""Which revision of the store Asterisk was told last, `told/revision`; none: a new Asterisk."""

AGI_SPOOLED = "spooled"
"""FastAGI route: a slip lies ready in the spool."""

STASIS_INBOUND = "inbound"
STASIS_UNANSWERED = "unanswered"
"""How a call comes to our application, its first argument."""

GLOBAL_CALL_LIMIT = "CALL_LIMIT_S"
GLOBAL_MESSAGE_LIMIT = "MESSAGE_LIMIT_S"
GLOBAL_RING_LIMIT = "RING_LIMIT_S"
GLOBAL_MESSAGE = "MESSAGE_S"
GLOBAL_SILENCE = "SILENCE_S"
GLOBAL_RECORDING_FOLDER = "RECORDING_FOLDER"
GLOBAL_TONE = "TONE"
GLOBAL_NO_ANSWER = "NO_ANSWER"
GLOBAL_HEARTBEAT = "HEARTBEAT"
GLOBAL_AGI_URL = "AGI_URL"
GLOBALS = (
    GLOBAL_CALL_LIMIT,
    GLOBAL_MESSAGE_LIMIT,
    GLOBAL_RING_LIMIT,
    GLOBAL_MESSAGE,
    GLOBAL_SILENCE,
    GLOBAL_RECORDING_FOLDER,
    GLOBAL_TONE,
    GLOBAL_NO_ANSWER,
    GLOBAL_HEARTBEAT,
    GLOBAL_AGI_URL,
)

SLIP_KEYS = (
    "number",
    "caller",
    "caller_name",
    "presentation",
    "started_at",
    "answered_at",
    "recording_at",
    "record",
    "dial",
    "rule",
    "ended_at",
    "source",
)
"""Lines of a slip, written by the dialplan or by the control plane when the database is away."""


def ring_extension(ring_s: int, rule_id: str = "") -> str:
    """Where to go in `CONTEXT_RING`: two digits of seconds, and the rule that takes a message afterwards."""
    return f"{ring_s:02d}-{rule_id}"
