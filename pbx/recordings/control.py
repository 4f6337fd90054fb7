"""Carries out what is asked for of a call's recording: by the very steps that our party's keys take.

The order is left on the outside party's channel and a key of ours is pressed there; the dialplan does the
rest, writes it into the slip, and says in a variable how far it is.
"""

import asyncio
import logging
from pathlib import Path

from pbx.asterisk.ami import Ami
from pbx.dialplan import names
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.recordings.adopt import read_slip
from store.database import Database
from store.jobs import TakenJob
from store.recording_control import ControlOutcome, Order, RecordingState, finish_control

log = logging.getLogger(__name__)

LIMIT_S = 3.0
LOOK_S = 0.05

AIMS = {
    Order.START: {RecordingState.RECORDING, RecordingState.ANNOUNCING},
    Order.PAUSE: {RecordingState.PAUSED},
    Order.RESUME: {RecordingState.RECORDING},
    Order.STOP: {RecordingState.STOPPED},
}
"""Where an order leads; who is there already need do nothing."""

POSSIBLE = {
    Order.START: {RecordingState.NONE, RecordingState.STOPPED, RecordingState.UNANNOUNCED},
    Order.PAUSE: {RecordingState.RECORDING},
    Order.RESUME: {RecordingState.PAUSED},
    Order.STOP: {RecordingState.RECORDING, RecordingState.PAUSED},
}
REFUSALS = {
    Order.START: "recording_paused",
    Order.PAUSE: "not_recording",
    Order.RESUME: "recording_not_paused",
    Order.STOP: "not_recording",
}


class RecordingControl:
    """The handler of this node's control jobs."""

    def __init__(self, database: Database, ami: Ami, spool: Path) -> None:
        self._database, self._ami, self._spool = database, ami, spool

    async def carry_out(self, job: TakenJob) -> None:
        """Do one job. A failure is an answer, too: whoever asked waits for it, and asks again."""
        try:
            outcome = await self._outcome(job.subject_id, Order(job.payload["order"]))
        except AsteriskRefused as refused:
            log.warning("a call's recording: %s", refused, extra={"action": "recording_control_refused"})
            outcome = ControlOutcome(None, "call_over")
        except AsteriskAway:
            outcome = ControlOutcome(None, "switch_unavailable")
        async with self._database.session() as session:
            await finish_control(session, job, outcome)

    async def _outcome(self, call_id: str, order: Order) -> ControlOutcome:
        """Raises AsteriskRefused where the call is over, AsteriskAway."""
        slip = await asyncio.to_thread(read_slip, self._spool / f"{call_id}.slip")
        if not slip.outside or not await self._is_connected(slip.outside):
            return ControlOutcome(None, "call_not_connected")
        state = await self._state(slip.outside)
        if state in AIMS[order]:
            return ControlOutcome(state)
        if state not in POSSIBLE[order]:
            return ControlOutcome(None, REFUSALS[order])
        await self._ami.set_variable(slip.outside, names.RECORDING_ASKED, order.value)
        await self._ami.press(slip.outside, names.RECORDING_KEY)
        return await self._reached(slip.outside, order, state)

    async def _reached(self, channel: str, order: Order, before: RecordingState) -> ControlOutcome:
        deadline = asyncio.get_running_loop().time() + LIMIT_S
        state = before
        while asyncio.get_running_loop().time() < deadline:
            state = await self._state(channel)
            if state in AIMS[order]:
                return ControlOutcome(state)
            if state is RecordingState.UNANNOUNCED and before is not state:
                return ControlOutcome(None, "announcement_unplayable")
            await asyncio.sleep(LOOK_S)
        log.warning("a recording cannot be controlled", extra={"action": "recording_control_failed"})
        # Whatever comes late must not be done unasked.
        await self._ami.set_variable(channel, names.RECORDING_ASKED, "")
        return ControlOutcome(None, "switch_unavailable")

    async def _is_connected(self, channel: str) -> bool:
        return await self._ami.variable(channel, f"SHARED({names.RECORDING_CONNECTED})") == "1"

    async def _state(self, channel: str) -> RecordingState:
        return RecordingState(await self._ami.variable(channel, names.RECORDING_STATE))
