"""Every name that Python and `asterisk-conf/extensions.conf` share; a test holds them against each other."""

from store import fax_line

APPLICATION = "denwaban"
"""Our Stasis application."""

WATCHER = "denwaban-watcher"
"""AMI user that hears of logins that failed, and may do nothing."""

CONTEXT_TRUNK = "from-trunk"
CONTEXT_CALLED = "called"
"""A call from a trunk, by the number that was called."""
CONTEXT_DEVICE = "from-device"
CONTEXT_AWAY = "control-plane-away"
"""Does the whole job without the control plane."""
CONTEXT_RING = "ring"
CONTEXT_UNANSWERED = "unanswered"
CONTEXT_TAKE_MESSAGE = "take-message"
CONTEXT_CALL_OUT = "call-out"
"""Dials a trunk for a device."""
CONTEXT_CALL_COLLEAGUE = "call-colleague"
"""Rings another device of the account."""
CONTEXT_DEVICE_AWAY = "calls-without-control-plane"
"""What devices can still call while the control plane is away."""
CONTEXT_TRANSFERRED = "transferred"
"""Where a device sends somebody by a transfer."""
CONTEXT_REFUSED = "refused"
"""Says why a call is not made."""
CONTEXT_LAMP = "lamp"
"""Sets the counts of a mailbox; also the context that mailboxes are in."""

CONTEXT_FAX_HEARD = "fax-heard"
"""Included wherever a call may become a fax; Asterisk's detector wants `fax` in the context it is in."""

CONTEXT_FAX_RECEIVE = fax_line.CONTEXT_RECEIVE
CONTEXT_FAX_SEND = fax_line.CONTEXT_SEND
CONTEXT_FAX_DIAL = fax_line.CONTEXT_DIAL
CONTEXT_FAX_DONE = fax_line.CONTEXT_DONE
CONTEXT_FROM_FAX = "from-fax"
"""In the switch: the Asterisk of the faxes calls out."""
CONTEXT_FROM_SWITCH = "from-switch"
"""In the Asterisk of the faxes: the switch hands a call over."""
FAX_LINK = "fax-link"
"""What each of these two calls the other; with a hyphen, which no device's name has."""
HEADER_LINK = "X-Denwaban-Link"
"""SIP header with the link's key: who has it is the other one."""

LAMP_MAILBOX = "LAMP_MAILBOX"
LAMP_NEW = "LAMP_NEW"
LAMP_OLD = "LAMP_OLD"
LAMP_VARIABLES = (LAMP_MAILBOX, LAMP_NEW, LAMP_OLD)

NUMBER_FAMILY = "number"
"""Asterisk-database family holding a number's settings, `number/<E.164>/<key>`."""
KEY_USE = "use"
KEY_RUSUREPO = "rusurepo"
KEY_RULE = "rule"
"""The rule that takes messages; where 留守レポ is OFF, of whom nobody answers."""
KEY_START_PROMPT = "start_prompt"
KEY_END_PROMPT = "end_prompt"
KEY_DEVICES = "devices"
"""Who rings, turn by turn: `<seconds>:<devices with & between>`, with | between the turns; and `:own` behind
where some ring for a time of their own."""
KEY_RING = "ring"
"""For how long it rings where 留守レポ is OFF, in two digits of seconds."""
OWN_TIME_KEYS = "own_time"
"""For how many seconds a device rings among others, `number/<E.164>/own_time/<user name>`."""
OWN_TIMES = "own"
KEY_ACCOUNT = "account"
KEY_CHANNELS = "channels"
"""How many calls of people the number carries at once; none: no limit."""
KEY_RING_FIRST = "ring_first"
"""How long the devices ring before a message is taken, in seconds; none: not at all."""
KEY_RING_LISTED = "ring_listed"
"""What `ring_first` is for callers of the whitelist; none: they ring, and an announcement follows."""
KEY_FAX = "fax"
"""`only`: every call is a fax (FAX専用モード); `shared`: one in which fax is heard; none: never."""
NUMBER_KEYS = (
    KEY_USE,
    KEY_RUSUREPO,
    KEY_RULE,
    KEY_START_PROMPT,
    KEY_END_PROMPT,
    KEY_DEVICES,
    KEY_RING,
    KEY_CHANNELS,
    KEY_ACCOUNT,
    KEY_RING_FIRST,
    KEY_RING_LISTED,
    KEY_FAX,
)

WHITELIST_FAMILY = "allow"
"""Family of whom the number's active whitelist names, `allow/<E.164>/<caller>`: the caller's number, the
beginning of numbers and a `*`, or why there is no number."""

BLOCK_FAMILY = "block"
"""Family of callers that a number, or all of an account, does not take, `block/<E.164 or account>/<caller>`:
what becomes of them. Callers are written as in `WHITELIST_FAMILY`."""
CONTEXT_BLOCKED = "blocked"
"""An extension for each treatment."""
BLOCKED = "BLOCKED"
"""What a slip has in place of how dialling came out."""

RECORD_FAMILY = "record"
"""Family of what the dialplan must know of a number's recording, `record/<E.164>/<key>`."""
KEY_OPTION = "option"
KEY_INBOUND = "inbound"
KEY_OUTBOUND = "outbound"
KEY_PROMPT = "prompt"
"""Id of what is announced; none: nothing is."""
KEY_ANNOUNCEMENT = "announcement"
"""Its sound, without suffix."""
RECORD_KEYS = (KEY_OPTION, KEY_INBOUND, KEY_OUTBOUND, KEY_PROMPT, KEY_ANNOUNCEMENT)

RECORDING_FEATURES = ("recording-start", "recording-pause", "recording-resume", "recording-stop")
"""What our party's keys do (`features.conf`)."""
RECORDING_ASKED = "RECORDING_ASKED"
"""What the control plane asks for, before it presses `RECORDING_KEY` on the outside party's channel."""
RECORDING_STATE = "RECORDING_STATE"
RECORDING_CONNECTED = "RECORDING_CONNECTED"
"""Shared variable of the outside party's channel: it has been connected."""
RECORDING_KEY = "D"
RECORDING_RENEW = "renew"
"""What is asked for when somebody else talks with the party outside."""

CALLER_FAMILY = "caller"
"""Family of devices as they call, `caller/<user name>/<key>`."""
KEY_NUMBER = "number"
"""The number that an emergency call shows while the control plane is away."""
CALLER_KEYS = (KEY_ACCOUNT, KEY_NUMBER)

INTERNAL_FAMILY = "internal"
"""Family of whom devices call within an account, `internal/<account>/<short number or user name>`."""

TRUNK_FAMILY = "trunk"
KEY_ORDINARY = "ordinary"
KEY_EMERGENCY = "emergency"
"""The trunks in the order in which they are tried, `trunk/ordinary`, with `&` between; those that take
emergency calls, `trunk/emergency`."""
STYLE_KEYS = "style"
"""How a trunk wants numbers, `trunk/style/<trunk>`: `e164`, or none for national."""

DID_KEYS = "did"
"""Where a trunk says which number was called, `trunk/did/<trunk>`: `to`, `p_called_party_id`, or none."""

SHOWN_FAMILY = "shown"
"""What telephones show of a caller, `shown/<call>`, from the control plane's decision until they ring."""

NAME_OF_TRUNKS = "trunk"
"""The name of a caller whom a trunk gives none."""

CALLBACK_FAMILY = "callback"
"""Until when (seconds since 1970) an account may be called back by an emergency service,
`callback/<account>`; written by the dialplan."""

CALL_ID = "CALL_ID"
"""Variable of every channel that belongs to a call of ours: the call's id. ARI shows it in every channel."""

TOLD_FAMILY = "told"
KEY_REVISION = "revision"
"""Which revision of the store Asterisk was told last, `told/revision`; none: a new Asterisk."""

AGI_SPOOLED = "spooled"
"""FastAGI route: a slip lies ready in the spool."""

METER_CHANNEL = "meter-"
"""How the ids of channels begin through which a caller is told that the credit ends."""

STASIS_INBOUND = "inbound"
STASIS_UNANSWERED = "unanswered"
STASIS_OUTBOUND = "outbound"
"""How a call comes to our application, its first argument."""

GLOBAL_CALL_LIMIT = "CALL_LIMIT_S"
GLOBAL_MESSAGE_LIMIT = "MESSAGE_LIMIT_S"
GLOBAL_RING_LIMIT = "RING_LIMIT_S"
GLOBAL_MESSAGE = "MESSAGE_S"
GLOBAL_SILENCE = "SILENCE_S"
GLOBAL_RECORDING_FOLDER = "RECORDING_FOLDER"
GLOBAL_CALL_FOLDER = "CALL_FOLDER"
GLOBAL_RECORDING_FEATURES = "RECORDING_FEATURES"
GLOBAL_TONE = "TONE"
GLOBAL_NO_ANSWER = "NO_ANSWER"
GLOBAL_SOUNDS = "SOUNDS"
GLOBAL_DIAL_LIMIT = "DIAL_LIMIT_S"
GLOBAL_CALLBACK = "CALLBACK_S"
GLOBAL_HEARTBEAT = "HEARTBEAT"
GLOBAL_AGI_URL = "AGI_URL"
GLOBAL_FAX_FOLDER = "FAX_FOLDER"
GLOBAL_FAX_LIMIT = fax_line.VAR_LIMIT_S
"""For a call that brings no limit of its own, as every received one."""
GLOBAL_FAX_RING = fax_line.VAR_RING_S
GLOBAL_FAX_LINK = "FAX_LINK"
"""The link's key where faxes have an Asterisk of their own, else empty."""
GLOBAL_FAX_TRUNK = "FAX_TRUNK"
"""The only trunk of an Asterisk of the faxes; empty in the switch."""
GLOBALS = (
    GLOBAL_CALL_LIMIT,
    GLOBAL_MESSAGE_LIMIT,
    GLOBAL_RING_LIMIT,
    GLOBAL_MESSAGE,
    GLOBAL_SILENCE,
    GLOBAL_RECORDING_FOLDER,
    GLOBAL_CALL_FOLDER,
    GLOBAL_RECORDING_FEATURES,
    GLOBAL_TONE,
    GLOBAL_NO_ANSWER,
    GLOBAL_SOUNDS,
    GLOBAL_DIAL_LIMIT,
    GLOBAL_CALLBACK,
    GLOBAL_HEARTBEAT,
    GLOBAL_AGI_URL,
    GLOBAL_FAX_FOLDER,
    GLOBAL_FAX_LIMIT,
    GLOBAL_FAX_RING,
    GLOBAL_FAX_LINK,
    GLOBAL_FAX_TRUNK,
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
    "direction",
    "device",
    "dialled",
    "destination_class",
    "trunk",
    "sip",
    "refused",
    "talk_ms",
    "left_at",
)
"""Lines of a slip, written by the dialplan or by the control plane when the database is away."""


def ring_extension(ring_s: int, rule_id: str = "") -> str:
    """Where to go in `CONTEXT_RING`: two digits of seconds, and the rule that takes a message afterwards."""
    return f"{ring_s:02d}-{rule_id}"


def call_out_extension(
    destination: str, own_number: str, destination_class: str, hidden: bool, limit_s: int | None
) -> str:
    """Where to go in `CONTEXT_CALL_OUT`: whom to call, in whose name, shown or hidden, for how long."""
    shown = "hidden" if hidden else "shown"
    return f"{destination}-{own_number}-{destination_class}-{shown}-{'' if limit_s is None else limit_s}"
