"""Starting, pausing, resuming and stopping the recording of a call that goes on.

What is asked for is a job of the node that has the call; what came of it stands in the job.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Conflict, NotFound
from store.jobs import TakenJob, enqueue, finish
from store.models import Call, Job, JobState, PhoneNumber
from store.recording_settings import offers_recording


class Order(StrEnum):
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class RecordingState(StrEnum):
    """What a call's recording is doing, as the dialplan calls it."""

    NONE = ""
    ANNOUNCING = "announcing"
    RECORDING = "recording"
    PAUSED = "paused"
    STOPPED = "stopped"
    UNANNOUNCED = "unannounced"
    """The announcement could not be played, so nothing is recorded."""


@dataclass(frozen=True)
class ControlOutcome:
    """How it went: the state afterwards, or why not (`call_not_connected`, `not_recording`, …)."""

    state: RecordingState | None
    problem: str | None = None


def control_job(node: str) -> str:
    """Kind of the jobs for a node: only there is the call."""
    return f"control_recording.{node}"


async def ask_control(session: AsyncSession, account_id: str, call_id: str, order: Order) -> str:
    """Ask for it; gives the job's id. Raises NotFound, Conflict `call_over`, Conflict `option_not_sold`."""
    call = await session.get(Call, call_id)
    if call is None or call.account_id != account_id:
        raise NotFound(call_id)
    if call.ended_at is not None:
        raise Conflict("call_over")
    number = await session.get(PhoneNumber, call.number_id) if call.number_id else None
    if number is None or not offers_recording(number):
        raise Conflict("option_not_sold")
    payload = {"order": order.value}
    # One after the other for each call, in the order they were asked for.
    job = enqueue(session, control_job(call.node), call_id, account_id, payload, lane=f"recording.{call_id}")
    await session.flush()
    return job.id


async def finish_control(session: AsyncSession, job: TakenJob, outcome: ControlOutcome) -> None:
    """Write how it went, and finish the job. Raises LeaseLost."""
    said = {"state": outcome.state, "problem": outcome.problem}
    await session.execute(update(Job).where(Job.id == job.id).values(payload={**job.payload, **said}))
    await finish(session, job)


async def outcome_of(session: AsyncSession, job_id: str) -> ControlOutcome | None:
    """How it went; None as long as nobody has done it."""
    job = await session.get(Job, job_id)
    if job is None or job.state in (JobState.WAITING, JobState.RUNNING):
        return None
    return read_outcome(job.payload)


async def withdraw(session: AsyncSession, job_id: str) -> None:
    """Take back what nobody has done in time: a pause must not come when it is no longer expected."""
    undone = Job.state.in_((JobState.WAITING, JobState.RUNNING))
    taken_back = update(Job).where(Job.id == job_id, undone)
    await session.execute(taken_back.values(state=JobState.DEAD, leased_by=None, last_error="withdrawn"))


def read_outcome(payload: dict[str, Any]) -> ControlOutcome:
    state = payload.get("state")
    problem = payload.get("problem") or (None if state else "switch_unavailable")
    return ControlOutcome(RecordingState(state) if state else None, problem)
