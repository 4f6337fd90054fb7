"""From channel events to call legs: a table in, records out. Pure; docs/call-details.md says how it is read.

A leg is one SIP channel. It belongs to the call it began in, also where a transfer joins calls later on.
Events that hang together are interpreted together, once every channel among them has ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pbx.details.events import Event
from pbx.dialplan.names import FAX_LINK
from pbx.routing.caller import identify_caller
from store.call_legs import Leg

TRUNK_SIGN = "-"
"""Stands in every trunk's name and in no device's."""

DIALLED_BY_US = {"", "s"}
"""The extension of a channel that we dialled; one that dials us begins with what was dialled."""


def groups(events: Iterable[Event]) -> list[list[Event]]:
    """Events that hang together: of one channel, of one call, or of calls that a channel has been in."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    ordered = list(events)
    for event in ordered:
        leader[find(event.channel)] = find(event.call)
    found: dict[str, list[Event]] = {}
    for event in ordered:
        found.setdefault(find(event.call), []).append(event)
    return list(found.values())


def unended(group: Iterable[Event]) -> set[str]:
    """The channels of a group whose end was not seen."""
    ended, seen = set(), set()
    for event in group:
        seen.add(event.channel)
        if event.kind == "CHAN_END":
            ended.add(event.channel)
    return seen - ended


def legs_of(group: Sequence[Event], lost: Mapping[str, datetime] | None = None) -> list[Leg]:
    """The legs of a whole group. `lost`: channels whose end nobody saw -> when they were last alive."""
    channels: dict[str, list[Event]] = {}
    for event in sorted(group, key=lambda event: event.at):
        channels.setdefault(event.channel, []).append(event)
    sip = {
        channel: _Channel(own, (lost or {}).get(channel))
        for channel, own in channels.items()
        # The link to an Asterisk of the faxes is nobody's leg.
        if own[0].name.startswith("PJSIP/") and not own[0].name.startswith(f"PJSIP/{FAX_LINK}-")
    }
    return [_leg(channel, list(sip.values())) for channel in sip.values()]


class _Channel:
    """What the events of one channel say."""

    def __init__(self, events: list[Event], lost_at: datetime | None) -> None:
        first, last = events[0], events[-1]
        self.id, self.call_id = first.channel, first.call
        endpoint = first.name.removeprefix("PJSIP/").rpartition("-")[0]
        self.device = None if TRUNK_SIGN in endpoint else endpoint
        self.is_caller = first.channel == first.call and first.exten not in DIALLED_BY_US
        self.exten = first.exten if self.is_caller else ""
        self.started_at = first.at
        self.end_seen = any(event.kind == "CHAN_END" for event in events)
        self.ended_at = last.at if self.end_seen or lost_at is None else max(last.at, lost_at)
        self.answered_at = next((event.at for event in events if event.kind == "ANSWER"), None)
        hung_up = next((event.extra for event in events if event.kind == "HANGUP"), {})
        self.cause = _cause(hung_up.get("hangupcause"))
        self.dialstatus = str(hung_up.get("dialstatus", ""))
        self.transfers = [event for event in events if event.kind in {"BLINDTRANSFER", "ATTENDEDTRANSFER"}]
        told = next((event for event in events if event.presentation), last)
        self.caller = identify_caller(told.number, told.caller_name, told.presentation or "prohib").number


def _cause(said: object) -> int | None:
    return said if isinstance(said, int) and 0 < said < 127 else None


def _leg(channel: _Channel, all_channels: list[_Channel]) -> Leg:
    same_call = [other for other in all_channels if other.call_id == channel.call_id]
    first = next((other for other in same_call if other.is_caller), None)
    transfer = _transfer_before(channel, same_call)
    dialled = str(transfer.extra.get("extension", "")) if transfer else first.exten if first else ""
    return Leg(
        id=channel.id,
        call_id=channel.call_id,
        device=channel.device,
        is_caller=channel.is_caller,
        direction=_direction(first, same_call),
        dialled=first.exten if first else "",
        other_party=_other_party(channel, first, dialled),
        started_at=channel.started_at,
        answered_at=channel.answered_at,
        ended_at=channel.ended_at,
        result=_result(channel, first),
        cause=channel.cause,
        transfer=_own_transfer(channel),
        end_seen=channel.end_seen,
    )


def _transfer_before(channel: _Channel, same_call: list[_Channel]) -> Event | None:
    """The blind transfer that this channel was dialled for; None for callers and first callees."""
    if channel.is_caller:
        return None
    before = [
        event
        for other in same_call
        for event in other.transfers
        if event.kind == "BLINDTRANSFER" and event.at <= channel.started_at
    ]
    return max(before, key=lambda event: event.at, default=None)


def _own_transfer(channel: _Channel) -> str | None:
    if not channel.transfers:
        return None
    return "blind" if channel.transfers[-1].kind == "BLINDTRANSFER" else "attended"


def _direction(first: _Channel | None, same_call: list[_Channel]) -> str:
    if first is not None and first.device is None:
        return "inbound"
    outside = any(other.device is None for other in same_call)
    if outside or (first is not None and len(same_call) == 1 and _looks_external(first.exten)):
        return "outbound"
    return "internal"


def _looks_external(dialled: str) -> bool:
    """Nothing was dialled for it: only the digits tell where it was to go."""
    return dialled.startswith(("0", "+")) or (len(dialled) == 3 and dialled.startswith("1"))


def _other_party(channel: _Channel, first: _Channel | None, dialled: str) -> str | None:
    """The trunk's leg: the number outside. A device's: whom it talks to."""
    if channel.device is None:
        return channel.caller if channel.is_caller else dialled or None
    if channel.is_caller:
        return dialled or None
    if first is None:
        return None
    if first.device is None:
        return first.caller
    # A caller that transferred the call is out of it: whom it had dialled remains.
    return first.exten if first.transfers else first.device


_OF_DIAL = {"BUSY": "busy", "NOANSWER": "no_answer", "CANCEL": "cancelled"}
_OF_CAUSE = {
    1: "unknown_number",
    17: "busy",
    18: "no_answer",
    19: "no_answer",
    20: "unreachable",
    21: "refused",
    26: "answered_elsewhere",
}


def _result(channel: _Channel, first: _Channel | None) -> str:
    if channel.answered_at is not None:
        return "answered"
    if not channel.end_seen:
        return "lost"
    if channel.is_caller and channel.dialstatus in _OF_DIAL:
        return _OF_DIAL[channel.dialstatus]
    if channel.cause in _OF_CAUSE:
        return _OF_CAUSE[channel.cause]
    if channel.is_caller:
        return "cancelled" if channel.cause in {None, 16} else "failed"
    # Asterisk gives the called side no cause of its own where it stopped the ringing; where somebody else
    # answered later, because this one's own time was over.
    return {**_OF_DIAL, "ANSWER": "no_answer"}.get(
        first.dialstatus if first else "", "cancelled" if channel.cause in {None, 16} else "failed"
    )
