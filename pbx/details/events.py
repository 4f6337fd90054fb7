"""Asterisk's channel events as it writes them: a JSON object per line. Pure.

https://docs.asterisk.org/Configuration/Reporting/Channel-Event-Logging-CEL/
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

BEGINNING = b'{"eventtype"'
LINE_END = b"\n"


class Unreadable(Exception):
    """A line that is no channel event."""


@dataclass(frozen=True)
class Event:
    """What befell a channel. `call` is the linked id: the first channel's of all that hang together."""

    kind: str
    at: datetime
    channel: str
    call: str
    name: str
    """The channel's: `PJSIP/1001-0000002a`."""

    number: str = ""
    caller_name: str = ""
    presentation: str = ""
    """What the dialplan kept of CALLERID(num-pres)."""

    exten: str = ""
    extra: dict[str, Any] = field(default_factory=dict, hash=False)


def parse(raw: dict[str, Any]) -> Event:
    """One event of the file, decoded. Raises Unreadable."""
    try:
        extra = orjson.loads(raw.get("eventextra") or "{}")
        return Event(
            kind=str(raw["eventtype"]),
            at=datetime.fromtimestamp(float(raw["eventtime"]), UTC),
            channel=str(raw["uniqueid"]),
            call=str(raw["linkedid"]),
            name=str(raw["channame"]),
            number=str(raw.get("num", "")),
            caller_name=str(raw.get("name", "")),
            presentation=str(raw.get("userfield", "")),
            exten=str(raw.get("exten", "")),
            extra=extra if isinstance(extra, dict) else {},
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as problem:
        raise Unreadable(f"{type(problem).__name__}: {problem}") from None


def whole_lines(chunk: bytes) -> int:
    """How many bytes of `chunk` are whole lines."""
    return chunk.rfind(LINE_END) + 1


def decode(chunk: bytes) -> Iterator[dict[str, Any] | Unreadable]:
    """The objects of whole lines. A line that was cut by a death or a full disk costs only itself:
    what was written behind it is found by how every event begins.
    """
    for line in chunk.split(LINE_END):
        if not line.strip():
            continue
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            yield from _salvage(line)


def _salvage(line: bytes) -> Iterator[dict[str, Any] | Unreadable]:
    *cut, last = line.split(BEGINNING)
    yield Unreadable(f"a line of {len(line)} bytes was cut")
    if cut:
        with suppress(orjson.JSONDecodeError):
            yield orjson.loads(BEGINNING + last)
