"""What the gateway and the line agree on: names, files and slips. Pure.

The gateway makes a fax's pages and has the line call; the line (Asterisk's contexts `fax-*`) sends or
receives them, and leaves what came of it in the spool: a slip `<id>.fax`, for one that came in beside its
pages `<id>.tif`. For one that came in the id is the call's, for one that goes out its attempt's, which is
the account code of its channels, too. A slip is written line by line as things happen, and its last line is
`ended_at`: one without it is of a call that goes on or, where no channel has its id, of an Asterisk that
died.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

CONTEXT_RECEIVE = "fax-rx"
CONTEXT_DIAL = "fax-out"
"""Sends a fax: originate `DIAL` with `SEND_VARIABLES`, each with two underscores before its name."""

CONTEXT_SEND = "fax-tx"
"""Where the trunk's channel goes on once the far machine has answered."""

CONTEXT_DONE = "fax-done"
DIAL = f"Local/s@{CONTEXT_DIAL}/n"

VAR_FILE = "FAX_FILE"
"""The TIFF, absolute."""
VAR_ID = "FAX_ID"
VAR_TO = "FAX_TO"
"""Whom to call, E.164."""
VAR_FROM = "FAX_FROM"
"""Our number, E.164."""
VAR_STATION = "FAX_STATION"
"""CSI or TSI of ours: up to 20 digits, blanks and `+`."""
VAR_HEADER = "FAX_HEADER"
"""SpanDSP's own header line; empty where the pages have one."""
VAR_ECM = "FAX_ECM"
"""`yes` or `no`."""
VAR_MAX_RATE = "FAX_MAXRATE"
VAR_MODE = "FAX_MODE"
"""`t38` where T.38 may be used, `offer` to offer it where the far side does not, `audio` where not."""
VAR_RING_S = "FAX_RING_S"
VAR_LIMIT_S = "FAX_LIMIT_S"
"""The call is cut after so many seconds, whatever it does."""
SEND_VARIABLES = (
    VAR_FILE,
    VAR_ID,
    VAR_TO,
    VAR_FROM,
    VAR_STATION,
    VAR_HEADER,
    VAR_ECM,
    VAR_MAX_RATE,
    VAR_MODE,
    VAR_RING_S,
    VAR_LIMIT_S,
)

SLIP = ".fax"
PAGES = ".tif"
SLIP_KEYS = (
    "direction",
    "number",
    "caller",
    "caller_name",
    "presentation",
    "started_at",
    "answered_at",
    "dialstatus",
    "cause",
    "tech_cause",
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
"""`direction` in or out; `mode` t38 or audio; `status` FAXSTATUS, empty where no fax was begun; `cause` and
`tech_cause` (the SIP status) and `dialstatus` of a call that goes out."""


@dataclass(frozen=True)
class FaxSlip:
    """What the line says of one call; times are aware UTC."""

    direction: str = ""
    number: str = ""
    """Ours, E.164."""
    caller: str = ""
    caller_name: str = ""
    presentation: str = ""
    started_at: datetime | None = None
    answered_at: datetime | None = None
    dialstatus: str = ""
    cause: int | None = None
    tech_cause: int | None = None
    status: str = ""
    error: str = ""
    statusstr: str = ""
    pages: int = 0
    rate: int | None = None
    resolution: str = ""
    remote: str = ""
    ecm: bool | None = None
    mode: str = ""
    ended_at: datetime | None = None


def parse_fax_slip(text: str) -> FaxSlip:
    """Read a slip; what is missing or unreadable is left empty, for a slip may end anywhere.

    Its last line counts only if it was finished.
    """
    lines = dict(line.split("=", 1) for line in text.split("\n")[:-1] if "=" in line)
    words = {key: _plain(lines.get(key, "")) for key in SLIP_KEYS}
    return FaxSlip(
        direction=words["direction"],
        number=words["number"],
        caller=words["caller"],
        caller_name=words["caller_name"],
        presentation=words["presentation"],
        started_at=_time(words["started_at"]),
        answered_at=_time(words["answered_at"]),
        dialstatus=words["dialstatus"],
        cause=_count(words["cause"]),
        tech_cause=_count(words["tech_cause"]),
        status=words["status"],
        error=words["error"],
        statusstr=words["statusstr"],
        pages=_count(words["pages"]) or 0,
        rate=_count(words["rate"]),
        resolution=words["resolution"],
        remote=words["remote"].strip()[:40],
        ecm={"yes": True, "no": False}.get(words["ecm"].lower()),
        mode=words["mode"],
        ended_at=_time(words["ended_at"]),
    )


def _plain(text: str) -> str:
    """A far machine writes what it likes into its station id."""
    return "".join(sign for sign in text if sign.isprintable() and sign != "�")


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(text), UTC) if text else None
    except (ValueError, OverflowError, OSError):
        return None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
