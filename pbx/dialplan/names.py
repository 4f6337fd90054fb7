"""Every name that Python and `asterisk-conf/extensions.conf` share; a test holds them against each other."""

APPLICATION = "denwaban"
"""Our Stasis application."""

CONTEXT_TRUNK = "from-trunk"
CONTEXT_DEVICE = "from-device"
CONTEXT_AWAY = "control-plane-away"
"""Does the whole job without the control plane."""
CONTEXT_RING = "ring"
CONTEXT_UNANSWERED = "unanswered"
CONTEXT_TAKE_MESSAGE = "take-message"
CONTEXT_LAMP = "lamp"
"""Sets the counts of a mailbox; also the context that mailboxes are in."""

CONTEXT_FAX_OUT = "fax-out"
"""Dials a far machine: originate `Local/<number>@fax-out/n` with `FAX_VARIABLES`, each after `__`."""
CONTEXT_FAX_RX = "fax-rx"
"""Receives a fax on the channel that comes here."""
CONTEXT_FAX_TX = "fax-tx"
"""Sends one; a channel comes here when the far machine has answered."""
CONTEXT_FAX_HEARD = "fax-heard"

FAX_ID = "FAX_ID"
"""The attempt's id (letters, digits, dots, hyphens): its slip's name, and its channels' account code."""
FAX_FILE = "FAX_FILE"
"""The TIFF to send, absolute."""
FAX_FROM = "FAX_FROM"
"""The sender's number, as the trunk wants it."""
FAX_STATION = "FAX_STATION"
"""What the far machine shows as the sender (TSI), up to 20 digits, spaces and `+`."""
FAX_HEADER = "FAX_HEADER"
"""Text of the header line, ASCII; none: there is no such line but the page's own."""
FAX_ECM = "FAX_ECM"
"""`yes` or `no`; none: yes."""
FAX_MAXRATE = "FAX_MAXRATE"
"""In bit/s, 2400 to 14400."""
FAX_MODE = "FAX_MODE"
"""`audio`: no T.38; `offer`: offer T.38 where the far side does not; else take it where it is offered."""
FAX_LIMIT = "FAX_LIMIT_S"
"""How long the call may last once it is answered, in seconds."""
FAX_VARIABLES = (
    FAX_ID,
    FAX_FILE,
    FAX_FROM,
    FAX_STATION,
    FAX_HEADER,
    FAX_ECM,
    FAX_MAXRATE,
    FAX_MODE,
    FAX_LIMIT,
)

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
KEY_FAX = "fax"
"""`only`: every call is a fax (FAX専用モード); `shared`: one in which fax is heard; none: never."""
KEY_FAX_STATION = "fax_station"
"""What this number shows a far machine as the receiver (CSI)."""
NUMBER_KEYS = (
    KEY_USE,
    KEY_RUSUREPO,
    KEY_RULE,
    KEY_START_PROMPT,
    KEY_END_PROMPT,
    KEY_DEVICES,
    KEY_RING_FIRST,
    KEY_RING_LISTED,
    KEY_FAX,
    KEY_FAX_STATION,
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
GLOBAL_FAX_FOLDER = "FAX_FOLDER"
GLOBAL_FAX_LIMIT = FAX_LIMIT
"""For a call that brings no limit of its own, as every received one."""
GLOBAL_FAX_RING = "FAX_RING_S"
GLOBAL_TRUNK_T38 = "TRUNK_T38"
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
    GLOBAL_FAX_FOLDER,
    GLOBAL_FAX_LIMIT,
    GLOBAL_FAX_RING,
    GLOBAL_TRUNK_T38,
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
    "fax",
    "ended_at",
    "source",
)
"""Lines of a slip, written by the dialplan or by the control plane when the database is away."""

FAX_SLIP_KEYS = (
    "direction",
    "number",
    "to",
    "caller",
    "caller_name",
    "presentation",
    "started_at",
    "dial",
    "cause",
    "tech_cause",
    "answered_at",
    "status",
    "error",
    "statusstr",
    "pages",
    "rate",
    "resolution",
    "remote",
    "ecm",
    "mode",
    "ended_at",
)
"""Lines of `fax/<id>.fax`, in the order they are written. `<id>` is the call's id of a fax that is received,
whose pages are beside it as `<id>.tif`, and the attempt's of one that is sent."""


def ring_extension(ring_s: int, rule_id: str = "") -> str:
    """Where to go in `CONTEXT_RING`: two digits of seconds, and the rule that takes a message afterwards."""
    return f"{ring_s:02d}-{rule_id}"
