"""Every name that Python and `asterisk-conf/extensions.conf` share; a test holds them against each other."""

APPLICATION = "denwaban"
"""Our Stasis application."""

CONTEXT_TRUNK = "from-trunk"
CONTEXT_DEVICE = "from-device"
CONTEXT_AWAY = "control-plane-away"
"""Does the whole job without the control plane."""
CONTEXT_RING = "ring"
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
NUMBER_KEYS = (KEY_USE, KEY_RUSUREPO, KEY_RULE, KEY_START_PROMPT, KEY_END_PROMPT, KEY_DEVICES)

TOLD_FAMILY = "told"
KEY_REVISION = "revision"
"""Which revision of the store Asterisk was told last, `told/revision`; none: a new Asterisk."""

AGI_SPOOLED = "spooled"
"""FastAGI route: a slip lies ready in the spool."""

GLOBAL_CALL_LIMIT = "CALL_LIMIT_S"
GLOBAL_MESSAGE_LIMIT = "MESSAGE_LIMIT_S"
GLOBAL_RING_LIMIT = "RING_LIMIT_S"
GLOBAL_MESSAGE = "MESSAGE_S"
GLOBAL_SILENCE = "SILENCE_S"
GLOBAL_RECORDING_FOLDER = "RECORDING_FOLDER"
GLOBAL_TONE = "TONE"
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
