"""A call from a device: whether it may be made, and in whose name; then the dialplan makes it.

What people talk on is not ours to hold: the trunk is dialled by the dialplan, which lives longer than we.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from pbx.asterisk.call import Call
from pbx.dialplan.names import CONTEXT_CALL_COLLEAGUE, CONTEXT_CALL_OUT, call_out_extension
from pbx.flows.inbound import Outcome
from pbx.routing.outbound import Decision, DialOut, Refuse, RingColleague, decide, refusal
from store import credit
from store.calling import CallingDevice, await_callback, calling_device, colleague
from store.models import DestinationClass
from store.number_plan import take_apart


@dataclass(frozen=True)
class Placing:
    """A call about to be made. `limit_s` is how long it may last at most; None: as long as any call."""

    device: CallingDevice | None
    decision: Decision
    limit_s: int | None = None


def place(connection: Connection, username: str, dialled: str, call_id: str, at: datetime) -> Placing:
    """Decide on the call and set aside what it may cost, in one transaction."""
    device = calling_device(connection, username)
    if device is None:
        return Placing(None, Refuse("unknown_device"))
    parts = take_apart(dialled)
    other = colleague(connection, device.account_id, parts.destination)
    decision = decide(device, parts, other)
    if not isinstance(decision, DialOut):
        return Placing(device, decision)
    if decision.destination.kind is DestinationClass.EMERGENCY:
        await_callback(connection, device.account_id, at)
    if not decision.charged:
        return Placing(device, decision)
    allowance = credit.reserve(
        connection,
        account_id=device.account_id,
        call_id=call_id,
        destination_class=decision.destination.kind,
        e164=decision.destination.number,
        device_id=device.id,
        at=at,
    )
    if not allowance.allowed:
        return Placing(device, Refuse(allowance.code, decision.destination))
    return Placing(device, decision, allowance.limit_s)


def record_of(placing: Placing, dialled: str) -> dict[str, object]:
    """The columns of the call's record that the placing tells."""
    device, decision = placing.device, placing.decision
    columns: dict[str, object] = {
        "account_id": device and device.account_id,
        "device_id": device and device.id,
        "direction": "outbound",
        "dialled": dialled,
        "caller": None,
        "number_id": None,
        "destination_class": None,
    }
    match decision:
        case RingColleague(colleague=other):
            internal = DestinationClass.INTERNAL
            columns |= {
                "direction": "internal",
                "dialled": other.shown_as,
                "destination_class": internal.value,
            }
            columns["caller"] = device and device.shown_as
        case DialOut(destination=destination, own=own):
            columns |= {"dialled": destination.number, "destination_class": destination.kind.value}
            columns |= {"number_id": own and own.id, "caller": own and own.e164}
        case Refuse(destination=destination) if destination is not None:
            columns |= {"dialled": destination.number, "destination_class": destination.kind.value}
    return columns


async def outbound(call: Call, placing: Placing, sounds: Path) -> Outcome | str:
    """The script of a call from a device. A refusal's own code is its outcome. Raises HungUp."""
    match placing.decision:
        case RingColleague(colleague=other):
            call.journal.note(call.id, "placed", destination_class="internal", device_id=other.id)
            await call.hand_to_dialplan(CONTEXT_CALL_COLLEAGUE, other.username)
            return Outcome.HANDED_OVER
        case DialOut(destination=destination, own=own, hidden=hidden):
            call.journal.note(
                call.id,
                "placed",
                destination_class=destination.kind.value,
                number_id=own and own.id,
                hidden=hidden,
                limit_s=placing.limit_s,
            )
            extension = call_out_extension(
                destination.number, own.e164 if own else "", destination.kind.value, hidden, placing.limit_s
            )
            await call.hand_to_dialplan(CONTEXT_CALL_OUT, extension)
            return Outcome.HANDED_OVER
        case Refuse(code=code):
            sound, cause = refusal(code)
            call.journal.note(call.id, "refused", code=code)
            await call.play("refusal", sounds / sound)
            await call.hang_up(cause)
            return code
