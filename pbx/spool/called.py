"""Closing the record of a call that a device made, by its slip: the dialplan has seen it end."""

import asyncio
from functools import partial

from sqlalchemy import Connection

from pbx.spool.slip import Slip
from store import credit
from store.calling import await_callback, calling_device
from store.database import Database
from store.journal import CallJournal
from store.models import Call, CallerKind, DestinationClass, now

LONGEST_DIALLED = 40
RESULTS = {
    "ANSWER": "answered",
    "BUSY": "busy",
    "NOANSWER": "no_answer",
    "CANCEL": "hung_up",
    "CHANUNAVAIL": "unreachable",
    "CONGESTION": "unreachable",
}
REFUSED = {
    "outbound-unknown": "unknown_number",
    "outbound-failed": "unreachable",
    "outbound-no-emergency": "no_emergency_route",
    "outbound-try-again": "control_plane_away",
    "no-answer": "no_answer",
}


def result_of(slip: Slip) -> str:
    """How a call from a device came out. Pure."""
    return REFUSED.get(slip.refused) or RESULTS.get(slip.dial, "hung_up")


async def close_called(database: Database, journal: CallJournal, call_id: str, slip: Slip) -> bool:
    """Write how the call ended; its row too, where there is none. False when the slip's device is unknown.

    Raises as the database does.
    """
    async with database.session() as session:
        row = await session.get(Call, call_id)
        ended = row is not None and row.ended_at is not None
    if row is None:
        columns = await database.transaction(partial(_row_of, call_id=call_id, slip=slip))
        if columns is None:
            return False
        await journal.open_call(**columns)
        journal.note(call_id, "placed", destination_class=slip.destination_class, source="dialplan")
    if ended:
        return True
    result, ended_at = result_of(slip), slip.ended_at or now()
    if slip.trunk:
        journal.note(call_id, "trunk_called", trunk=slip.trunk, status=slip.sip)
    journal.note(call_id, "ended", result=result)
    journal.change_call(call_id, answered_at=slip.answered_at, ended_at=ended_at, result=result)
    async with asyncio.timeout(5):
        # What was set aside for it is free only once the record tells what it cost.
        await journal.flushed()
    await database.transaction(partial(credit.release, call_id=call_id))
    return True


def _row_of(connection: Connection, call_id: str, slip: Slip) -> dict[str, object] | None:
    """The columns of a call that the dialplan made by itself."""
    device = calling_device(connection, slip.device)
    if device is None:
        return None
    started_at = slip.started_at or now()
    if slip.destination_class == DestinationClass.EMERGENCY:
        await_callback(connection, device.account_id, started_at)
    internal = slip.direction == "internal"
    own = next((one for one in device.numbers if one.e164 == slip.number), None)
    return {
        "id": call_id,
        "node": call_id.partition("-")[0],
        "account_id": device.account_id,
        "number_id": own and own.id,
        "device_id": device.id,
        "direction": slip.direction,
        "destination_class": slip.destination_class or None,
        "dialled": slip.dialled[:LONGEST_DIALLED],
        "caller": device.shown_as if internal else own and own.e164,
        "caller_kind": CallerKind.NUMBER,
        "started_at": started_at,
    }
