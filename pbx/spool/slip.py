"""A slip (伝票): what is known of a call whose row is not in the database. Pure.

Lines of `key=value`; a later line wins. The dialplan writes it line by line as it goes, the control plane
in one go when the database is away.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from store.models import EndedBy

_ENDED_BY = {
    "DTMF": EndedBy.HASH,
    "TIMEOUT": EndedBy.LIMIT,
    "SILENCE": EndedBy.SILENCE,
    "HANGUP": EndedBy.HANGUP,
    "ERROR": EndedBy.ERROR,
}
"""Asterisk's RECORD_STATUS."""


@dataclass(frozen=True)
class Slip:
    """The facts of one call; times are aware UTC."""

    number: str
    caller: str
    caller_name: str
    presentation: str
    started_at: datetime | None
    answered_at: datetime | None = None
    recording_at: datetime | None = None
    ended_at: datetime | None = None
    record: str = ""
    dial: str = ""
    fax: str = ""
    """The call was a fax, or became one: `BEGAN`, then how it came out, or `GIVEN` to another Asterisk."""

    rule: str = ""
    """The id of the 留守レポ rule that took the call."""
    source: str = "dialplan"
    direction: str = ""
    """`outbound` and `internal` for what a device called; then `number` is our number that was shown."""

    device: str = ""
    """User name of the device that called."""

    dialled: str = ""
    destination_class: str = ""
    trunk: str = ""
    sip: str = ""
    """Status of the last trunk's refusal."""

    refused: str = ""
    """Name of what the caller was told instead of being connected."""

    @property
    def ended_by(self) -> EndedBy | None:
        """Why the dialplan's recording ended; None when it did not say."""
        return _ENDED_BY.get(self.record)

    @property
    def caller_stayed(self) -> bool:
        """The dialplan got a caller whose message the control plane had recorded before."""
        return self.record == "EARLIER"


def parse_slip(text: str) -> Slip:
    """Read a slip; what is missing or unreadable is left empty, for a slip may end anywhere.

    Its last line counts only if it was finished: half a time or number would be another one.
    """
    lines = dict(line.split("=", 1) for line in text.split("\n")[:-1] if "=" in line)
    return Slip(
        number=lines.get("number", ""),
        caller=lines.get("caller", ""),
        caller_name=lines.get("caller_name", ""),
        presentation=lines.get("presentation", ""),
        started_at=_time(lines.get("started_at")),
        answered_at=_time(lines.get("answered_at")) or _when_answered(lines),
        recording_at=_time(lines.get("recording_at")),
        ended_at=_time(lines.get("ended_at")),
        record=lines.get("record", ""),
        dial=lines.get("dial", ""),
        fax=lines.get("fax", ""),
        rule=lines.get("rule", ""),
        source=lines.get("source", "dialplan"),
        direction=lines.get("direction", ""),
        device=lines.get("device", ""),
        dialled=lines.get("dialled", ""),
        destination_class=lines.get("destination_class", ""),
        trunk=lines.get("trunk", ""),
        sip=lines.get("sip", ""),
        refused=lines.get("refused", ""),
    )


def format_slip(slip: Slip) -> str:
    times = {
        "started_at": slip.started_at,
        "answered_at": slip.answered_at,
        "recording_at": slip.recording_at,
        "ended_at": slip.ended_at,
    }
    lines = {
        "number": slip.number,
        "caller": slip.caller,
        "caller_name": slip.caller_name,
        "presentation": slip.presentation,
        "record": slip.record,
        "dial": slip.dial,
        "fax": slip.fax,
        "rule": slip.rule,
        "source": slip.source,
        **{name: f"{at.timestamp():.3f}" for name, at in times.items() if at},
    }
    return "".join(f"{name}={_one_line(value)}\n" for name, value in lines.items())


def _when_answered(lines: dict[str, str]) -> datetime | None:
    """From when the caller's channel left, and how much of its time was talk."""
    left_at, talk_ms = _time(lines.get("left_at")), lines.get("talk_ms", "")
    if left_at is None or not talk_ms.isdecimal() or lines.get("dial") != "ANSWER":
        return None
    return left_at - timedelta(milliseconds=int(talk_ms))


def _one_line(value: str) -> str:
    """A value cannot begin a line of its own."""
    return value.replace("\r", " ").replace("\n", " ")


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(text), UTC) if text else None
    except (ValueError, OverflowError, OSError):
        return None
