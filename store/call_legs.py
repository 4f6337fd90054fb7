"""Call details: legs as Asterisk noted them, kept once, and what they put right in the records of calls.

The control plane writes a call's record as it goes. These rows do not need it to be alive: they come from
Asterisk's own notes, some seconds after the call. Where the record lacks the end, or has it only to a
second, the legs say when it was; a call that nobody wrote down at all gets its record from them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.e164 import NotAPhoneNumber, parse_e164
from store.jobs import enqueue
from store.models import (
    Call,
    CallerKind,
    CallLeg,
    Device,
    JournalEntry,
    LegRole,
    MessageOutcome,
    PhoneNumber,
    now,
)
from store.upserts import insert_for

SETTLE_CALL = "settle_call"
"""Kind of job: whether the record of a call (the subject) was closed meanwhile; else the legs close it."""

MEND_CHARGE = "mend_charge"
"""Kind of job: a call's record (the subject) was put right after it was closed; its charge is to follow."""

SETTLE_AFTER = timedelta(seconds=12)
"""The control plane closes a call at once, or when it is back and has read its spool."""

WIDEST_GAP = timedelta(seconds=0.5)
"""Times of a record that differ more than this from Asterisk's were not taken at the moment itself."""

A_MOMENT = timedelta(minutes=1)
"""A record and its legs do not begin at quite the same time."""

UNSEEN = "ended_unseen"
LONGEST_DIALLED = 40


@dataclass(frozen=True)
class Leg:
    """One channel from beginning to end. `device` is a user name, None for the trunk's."""

    id: str
    call_id: str
    device: str | None
    is_caller: bool
    direction: str
    dialled: str
    """By the call's first party; empty where we began the call ourselves."""

    other_party: str | None
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    result: str
    cause: int | None = None
    transfer: str | None = None
    end_seen: bool = True


@dataclass(frozen=True)
class Stored:
    """What is stored of a node and a period: legs that began in it, by id; their calls and others of it."""

    legs: dict[str, CallLeg]
    calls: dict[str, Call]


def seconds(leg: CallLeg) -> int:
    """From answer to end, begun seconds counted; 0 where nobody answered."""
    return math.ceil((leg.ended_at - leg.answered_at).total_seconds()) if leg.answered_at else 0


async def keep_legs(session: AsyncSession, node: str, legs: Sequence[Leg]) -> None:
    """Keep legs that are over, each once, and put the records of their calls right."""
    if not legs:
        return
    call_ids = {leg.call_id for leg in legs}
    calls = {call.id: call for call in await session.scalars(select(Call).where(Call.id.in_(call_ids)))}
    devices = await _devices(session, legs)
    numbers = await _numbers(session, legs)
    rows = [_row(leg, node, calls.get(leg.call_id), devices, numbers, _siblings(leg, legs)) for leg in legs]
    # One row after the other: together they could have more values than a statement may have.
    await session.execute(insert_for(session, CallLeg).on_conflict_do_nothing(), rows)
    kept = await _legs_of_calls(session, call_ids)
    for call_id in call_ids:
        call = calls.get(call_id)
        if call is not None and call.ended_at is not None:
            _put_right(session, call, kept[call_id])
        else:
            enqueue(session, SETTLE_CALL, call_id, run_at=now() + SETTLE_AFTER)


async def stored_in(session: AsyncSession, node: str, since: datetime, until: datetime) -> Stored:
    """The node's legs and calls that began from `since` to before `until`."""
    legs = select(CallLeg).where(
        CallLeg.node == node, CallLeg.started_at >= since, CallLeg.started_at < until
    )
    calls = select(Call).where(
        Call.node == node, Call.started_at >= since - A_MOMENT, Call.started_at < until
    )
    return Stored(
        {leg.id: leg for leg in await session.scalars(legs)},
        {call.id: call for call in await session.scalars(calls)},
    )


async def rows_as_of(session: AsyncSession, node: str, legs: Sequence[Leg], stored: Stored) -> list[CallLeg]:
    """The rows that `legs` would be kept as now, none of them in the session."""
    devices, numbers = await _devices(session, legs), await _numbers(session, legs)
    of_call: dict[str, list[Leg]] = {}
    for leg in legs:
        of_call.setdefault(leg.call_id, []).append(leg)
    return [
        CallLeg(
            **_row(
                leg,
                node,
                stored.calls.get(leg.call_id),
                devices,
                numbers,
                _siblings(leg, of_call[leg.call_id]),
            )
        )
        for leg in legs
    ]


async def settle_call(session: AsyncSession, call_id: str) -> None:
    """Close the record of a call whose legs are over, or write it where there is none."""
    legs = await legs_of_call(session, call_id)
    if not legs:
        return
    call = await session.get(Call, call_id, with_for_update=True)
    if call is None:
        call = _call_of(legs)
        if call is None:
            return
        session.add(call)
        session.add(_noted(call, "arrived", legs[0].started_at))
    if call.ended_at is None:
        session.add(_noted(call, "ended", max(leg.ended_at for leg in legs)))
    _put_right(session, call, legs)
    for leg in legs:
        # Written while the record was not there.
        leg.account_id, leg.number_id = call.account_id, call.number_id
        leg.direction, leg.destination_class = call.direction, _destination_class(call)


def _put_right(session: AsyncSession, call: Call, legs: Sequence[CallLeg]) -> None:
    before = call.answered_at, call.ended_at
    amend(call, legs)
    if call.direction == "outbound" and (call.answered_at, call.ended_at) != before:
        enqueue(session, MEND_CHARGE, call.id, call.account_id)


def amend(call: Call, legs: Sequence[CallLeg]) -> None:
    """Let the record of a call say when it was answered and over, and which device had it."""
    answered_at, ended_at = moments_of(call.direction, legs)
    first, callee = _answered(legs, LegRole.CALLER), _answered(legs, LegRole.CALLEE)
    unseen = call.ended_at is None or call.result == UNSEEN
    if call.ended_at is None or unseen or abs(call.ended_at - ended_at) > WIDEST_GAP:
        call.ended_at = ended_at
    if answered_at and (call.answered_at is None or abs(call.answered_at - answered_at) > WIDEST_GAP):
        call.answered_at = answered_at
    if unseen:
        call.result = _result(call, legs, callee is not None)
    if call.device_id is None:
        device = next((leg for leg in (callee, first) if leg and leg.device_id), None)
        call.device_id = device.device_id if device else None


def moments_of(direction: str, legs: Sequence[CallLeg]) -> tuple[datetime | None, datetime]:
    """When a call was answered and over, by its legs in the order they began. Pure."""
    first, callee = _answered(legs, LegRole.CALLER), _answered(legs, LegRole.CALLEE)
    # An announcement to our own side is no answer of the far side.
    answering = (first or callee) if direction == "inbound" else callee
    return answering.answered_at if answering else None, max(leg.ended_at for leg in legs)


def _answered(legs: Sequence[CallLeg], role: LegRole) -> CallLeg | None:
    return next((leg for leg in legs if leg.answered_at and leg.role is role), None)


def _result(call: Call, legs: Sequence[CallLeg], connected: bool) -> str:
    if call.message_outcome is not None:
        return "message" if call.message_outcome is MessageOutcome.KEPT else "no_message"
    if connected:
        return "answered"
    said = next((leg.result for leg in legs if leg.role is LegRole.CALLER), legs[0].result)
    return {"answered": "hung_up", "cancelled": "hung_up", "lost": UNSEEN}.get(said, said)


async def legs_of_call(session: AsyncSession, call_id: str) -> Sequence[CallLeg]:
    """The legs of a call that are over, in the order they began."""
    return (await _legs_of_calls(session, {call_id})).get(call_id, [])


async def _legs_of_calls(session: AsyncSession, call_ids: Iterable[str]) -> dict[str, list[CallLeg]]:
    legs = select(CallLeg).where(CallLeg.call_id.in_(call_ids)).order_by(CallLeg.started_at, CallLeg.id)
    found: dict[str, list[CallLeg]] = {}
    for leg in await session.scalars(legs):
        found.setdefault(leg.call_id, []).append(leg)
    return found


async def _devices(session: AsyncSession, legs: Iterable[Leg]) -> dict[str, Device]:
    usernames = {leg.device for leg in legs if leg.device}
    rows = await session.scalars(select(Device).where(Device.username.in_(usernames)))
    return {device.username: device for device in rows}


async def _numbers(session: AsyncSession, legs: Iterable[Leg]) -> dict[str, PhoneNumber]:
    dialled = {_e164(leg.dialled) for leg in legs if leg.direction == "inbound"}
    rows = await session.scalars(select(PhoneNumber).where(PhoneNumber.e164.in_(dialled)))
    return {number.e164: number for number in rows}


def _siblings(leg: Leg, legs: Iterable[Leg]) -> list[str]:
    """The devices of the leg's call, its own first."""
    others = sorted({other.device for other in legs if other.call_id == leg.call_id and other.device})
    return [leg.device, *others] if leg.device else others


def _row(
    leg: Leg,
    node: str,
    call: Call | None,
    devices: dict[str, Device],
    numbers: dict[str, PhoneNumber],
    siblings: Sequence[str],
) -> dict[str, object]:
    number = numbers.get(_e164(leg.dialled))
    involved = [devices[username] for username in siblings if username in devices]
    device = devices.get(leg.device) if leg.device else None
    account_id = call.account_id if call else None
    if account_id is None:
        account_id = number.account_id if number else involved[0].account_id if involved else None
    return {
        "id": leg.id,
        "call_id": leg.call_id,
        "node": node,
        "account_id": account_id,
        "number_id": call.number_id if call else number.id if number else None,
        "number": _own_number(leg, call),
        "device_id": device.id if device else None,
        "device": leg.device and leg.device[:64],
        "direction": call.direction if call else leg.direction,
        "role": LegRole.CALLER if leg.is_caller else LegRole.CALLEE,
        "other_party": _shown(leg, call),
        "started_at": leg.started_at,
        "answered_at": leg.answered_at,
        "ended_at": leg.ended_at,
        "result": leg.result,
        "cause": leg.cause,
        "transfer": leg.transfer,
        "destination_class": _destination_class(call),
        "end_seen": leg.end_seen,
        "created_at": now(),
    }


def _destination_class(call: Call | None) -> str | None:
    """Calls that go out have a class of destination; others have none."""
    return call.destination_class if call else None


def _own_number(leg: Leg, call: Call | None) -> str | None:
    if leg.direction == "inbound":
        return _e164(leg.dialled)[:LONGEST_DIALLED]
    return call.caller if call else None


def _shown(leg: Leg, call: Call | None) -> str | None:
    """The other party as a number in E.164 where it is one. A hidden caller is hidden in the record, too."""
    if leg.other_party is None:
        return None
    if call and call.direction == "inbound" and leg.other_party != leg.dialled and call.caller is None:
        return None
    return _e164(leg.other_party)[:64]


def _e164(dialled: str) -> str:
    try:
        return parse_e164(dialled)
    except NotAPhoneNumber:
        return dialled


def _call_of(legs: Sequence[CallLeg]) -> Call | None:
    """The record of a call that nobody wrote down; None where it is no customer's."""
    first = legs[0]
    if first.account_id is None:
        return None
    inbound = first.direction == "inbound"
    other = first.other_party or ""
    caller = first.other_party if inbound else first.number
    return Call(
        id=first.call_id,
        node=first.node,
        account_id=first.account_id,
        number_id=first.number_id,
        device_id=None if inbound else first.device_id,
        direction=first.direction,
        dialled=((first.number or "") if inbound else other)[:LONGEST_DIALLED],
        caller=caller,
        caller_kind=CallerKind.NUMBER if caller else CallerKind.WITHHELD,
        started_at=first.started_at,
    )


def _noted(call: Call, event: str, at: datetime) -> JournalEntry:
    return JournalEntry(call_id=call.id, at=at, event=event, details={"source": "call_details"})
