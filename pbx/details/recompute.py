"""A month of call details made again from Asterisk's own events, and held against what is stored.

What is stored was made of these events call by call, by processes that die and databases that are away. Here
they are read once more from the beginning: whatever was lost, doubled or changed on the way shows.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pbx.details.events import Event, Unreadable, decode, parse
from pbx.details.files import files_of
from pbx.details.legs import groups, legs_of, unended
from store.call_legs import WIDEST_GAP, Leg, Stored, moments_of, rows_as_of, stored_in
from store.database import Database
from store.models import Call, CallLeg, now

LONGEST_CALL = timedelta(days=1)
"""Events this long before and after a month may belong to its calls."""

IN_PASSING = timedelta(minutes=1)
"""What happened so lately may not be stored yet."""

COMPARED = (
    "call_id",
    "role",
    "device",
    "direction",
    "other_party",
    "started_at",
    "answered_at",
    "ended_at",
    "result",
    "cause",
    "transfer",
    "end_seen",
)


@dataclass(frozen=True)
class Difference:
    """`leg_id` None: of the call's own record. `field` `row`: there is none on one of the two sides."""

    call_id: str
    leg_id: str | None
    field: str
    stored: Any
    events: Any


@dataclass
class Found:
    """What came of it."""

    legs: int = 0
    calls: int = 0
    running: int = 0
    """Calls that go on, or were over only just now."""

    unreadable: int = 0
    """Lines of the files that are no events."""

    events_since: datetime | None = None
    """Calls from before then cannot be made again: their events are kept no longer."""

    differences: list[Difference] = field(default_factory=list)


async def recompute(database: Database, node: str, current: Path, since: datetime, until: datetime) -> Found:
    """Make the node's details of calls that began from `since` to before `until` again, and compare.

    `current` is the file that Asterisk writes to. Raises OSError, and as the database does.
    """
    found = Found()
    events = await asyncio.to_thread(_read, current, since - LONGEST_CALL, until + LONGEST_CALL, found)
    async with database.session() as session:
        stored = await stored_in(session, node, since, until)
        legs = [leg for leg in _legs(events, stored, found) if since <= leg.started_at < until]
        rows = await rows_as_of(session, node, legs, stored)
    found.legs, found.calls = len(rows), len({row.call_id for row in rows})
    found.differences = list(compare(rows, stored, found.events_since, now() - IN_PASSING))
    return found


def _read(current: Path, since: datetime, until: datetime, found: Found) -> list[Event]:
    events: list[Event] = []
    for path in files_of(current):
        for raw in decode(path.read_bytes()):
            try:
                if isinstance(raw, Unreadable):
                    raise raw
                event = parse(raw)
            except Unreadable:
                found.unreadable += 1
                continue
            if found.events_since is None or event.at < found.events_since:
                found.events_since = event.at
            if since <= event.at < until:
                events.append(event)
    return list(dict.fromkeys(events))


def _legs(events: Iterable[Event], stored: Stored, found: Found) -> Iterator[Leg]:
    for group in groups(events):
        open_channels = unended(group)
        lost = {channel: stored.legs[channel].ended_at for channel in open_channels & stored.legs.keys()}
        if open_channels - lost.keys() and max(event.at for event in group) > now() - LONGEST_CALL:
            found.running += 1
            continue
        yield from legs_of(group, lost)


def compare(
    rows: Sequence[CallLeg], stored: Stored, events_since: datetime | None, settled: datetime
) -> Iterator[Difference]:
    """How legs made again, and the calls they are of, differ from those stored. Pure.

    Calls from before `events_since` have no events any more; those not over by `settled` may not be stored
    yet.
    """
    by_call: dict[str, list[CallLeg]] = {}
    for row in rows:
        by_call.setdefault(row.call_id, []).append(row)
        yield from _of_leg(row, stored.legs.get(row.id), settled)
    ids = {row.id for row in rows}
    for leg in stored.legs.values():
        if leg.id not in ids and events_since is not None and leg.started_at > events_since:
            yield Difference(leg.call_id, leg.id, "row", "there", None)
    for call_id, legs in by_call.items():
        yield from _of_call(call_id, legs, stored.calls.get(call_id), settled)


def _of_leg(row: CallLeg, stored: CallLeg | None, settled: datetime) -> Iterator[Difference]:
    if stored is None:
        if row.ended_at < settled:
            yield Difference(row.call_id, row.id, "row", None, "there")
        return
    for name in COMPARED:
        kept, made = getattr(stored, name), getattr(row, name)
        if kept != made:
            yield Difference(row.call_id, row.id, name, _plain(kept), _plain(made))


def _of_call(
    call_id: str, legs: Sequence[CallLeg], call: Call | None, settled: datetime
) -> Iterator[Difference]:
    in_passing = max(leg.ended_at for leg in legs) >= settled
    if in_passing and (call is None or call.ended_at is None):
        return
    if call is None:
        # Who called a number that is nobody's has no record.
        if any(leg.account_id for leg in legs):
            yield Difference(call_id, None, "row", None, "there")
        return
    answered_at, ended_at = moments_of(call.direction, legs)
    for name, made in (("answered_at", answered_at), ("ended_at", ended_at)):
        kept = getattr(call, name)
        if made and (kept is None or abs(kept - made) > WIDEST_GAP):
            yield Difference(call_id, None, name, _plain(kept), _plain(made))


def _plain(value: object) -> object:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
