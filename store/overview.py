"""How much is under way, for who watches the switch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import Call, Job, JobState

LONGEST_CALL = timedelta(hours=24)


@dataclass(frozen=True)
class JobCount:
    """Jobs of one kind and state; `oldest_due` is when the first of them was to be done."""

    kind: str
    state: JobState
    count: int
    oldest_due: datetime


async def calls_up(session: AsyncSession, at: datetime) -> dict[str, int]:
    """Node -> the calls that have not ended as of `at`; for nodes that have any."""
    # An older one without an end is a record that nobody closed, and no call.
    up = (Call.started_at > at - LONGEST_CALL, Call.ended_at.is_(None))
    rows = await session.execute(select(Call.node, func.count()).where(*up).group_by(Call.node))
    return {row.node: row[1] for row in rows}


async def jobs_undone(session: AsyncSession) -> Sequence[JobCount]:
    """Count the jobs that are not done, by kind and state."""
    undone = Job.state.in_((JobState.WAITING, JobState.RUNNING, JobState.DEAD))
    counted = select(Job.kind, Job.state, func.count(), func.min(Job.run_at)).where(undone)
    return [JobCount(*row) for row in await session.execute(counted.group_by(Job.kind, Job.state))]
