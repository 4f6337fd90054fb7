"""Jobs: work that outlives what caused it.

A job is a row, written in the transaction of what caused it. A worker takes it under a lease, which it
renews while it works; a worker that dies loses the lease, and the job is taken again. The job is finished
in the transaction that keeps its result: done and kept are one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.models import Job, JobState, now

LONGEST_ERROR = 2000


class LeaseLost(Exception):
    """Another worker has the job, or somebody took it back: what was done must not be kept."""


@dataclass(frozen=True)
class TakenJob:
    """A job as its worker holds it. `attempts` counts this one."""

    id: str
    kind: str
    subject_id: str
    account_id: str | None
    payload: dict[str, Any]
    lane: str | None
    attempts: int
    created_at: datetime
    worker: str


def enqueue(
    session: AsyncSession,
    kind: str,
    subject_id: str,
    account_id: str | None = None,
    payload: dict[str, Any] | None = None,
    lane: str | None = None,
    run_at: datetime | None = None,
) -> Job:
    """Write a job into the session's transaction; it is taken no sooner than `run_at`."""
    job = Job(
        kind=kind,
        subject_id=subject_id,
        account_id=account_id,
        payload=payload or {},
        lane=lane,
        run_at=run_at or now(),
    )
    session.add(job)
    return job


async def take(
    database: Database,
    kinds: tuple[str, ...],
    worker: str,
    lease_s: float,
    limit: int,
    fair: bool = False,
) -> list[TakenJob]:
    """Take up to `limit` jobs that are due, longest due first. Of each lane at most its oldest.

    `fair`: those of accounts that have fewer at work come before.
    """
    return await database.transaction(
        lambda connection: _take(connection, kinds, worker, lease_s, limit, fair)
    )


async def renew(database: Database, job: TakenJob, lease_s: float) -> bool:
    """Go on holding the job; False when the lease is lost."""
    until = now() + timedelta(seconds=lease_s)
    renewed = update(Job).where(*_held(job)).values(leased_until=until)
    return bool(await database.transaction(lambda connection: connection.execute(renewed).rowcount))


async def release(database: Database, worker: str) -> None:
    """Give back what a dead life of this worker held, so that nobody need wait for its leases to run out."""
    held = update(Job).where(Job.state == JobState.RUNNING, Job.leased_by == worker)
    over = held.values(leased_until=now() - timedelta(seconds=1))
    await database.transaction(lambda connection: connection.execute(over))


async def refuse_lost(session: AsyncSession, job: TakenJob) -> None:
    """Raises LeaseLost where somebody else has the job by now."""
    if await session.scalar(select(Job.id).where(*_held(job))) is None:
        raise LeaseLost(job.id)


async def finish(session: AsyncSession, job: TakenJob) -> None:
    """The job is done, together with whatever this transaction keeps. Raises LeaseLost."""
    await _let_go(session, job, state=JobState.DONE, last_error=None)


async def waiting_like(session: AsyncSession, job: TakenJob) -> list[str]:
    """The ids of jobs of the same kind and subject that wait: whoever does this one now does them too."""
    same = (Job.kind == job.kind, Job.subject_id == job.subject_id, Job.state == JobState.WAITING)
    return list(await session.scalars(select(Job.id).where(*same)))


async def finish_waiting(session: AsyncSession, job_ids: list[str]) -> None:
    """These are done, as far as nobody has taken them."""
    if job_ids:
        waiting = update(Job).where(Job.id.in_(job_ids), Job.state == JobState.WAITING)
        await session.execute(waiting.values(state=JobState.DONE))


async def postpone(
    session: AsyncSession, job: TakenJob, run_at: datetime, reason: str, counts: bool = True
) -> None:
    """Let it be tried again from `run_at`; an attempt that does not count is forgotten. Raises LeaseLost."""
    await _let_go(
        session,
        job,
        state=JobState.WAITING,
        run_at=run_at,
        attempts=job.attempts if counts else job.attempts - 1,
        last_error=reason[:LONGEST_ERROR],
    )


async def bury(session: AsyncSession, job: TakenJob, reason: str) -> None:
    """Give it up, with a reason a person can read. Raises LeaseLost."""
    await _let_go(session, job, state=JobState.DEAD, last_error=reason[:LONGEST_ERROR])


async def hasten(session: AsyncSession, kind: str, subject_id: str) -> None:
    """Let the waiting jobs of this kind and subject be done now."""
    waiting = (Job.kind == kind, Job.subject_id == subject_id, Job.state == JobState.WAITING)
    await session.execute(update(Job).where(*waiting, Job.run_at > now()).values(run_at=now()))


async def revive(session: AsyncSession, job_id: str) -> bool:
    """Let a dead job be tried again, from its first attempt; False where it is not dead."""
    dead = update(Job).where(Job.id == job_id, Job.state == JobState.DEAD)
    revived = dead.values(state=JobState.WAITING, run_at=now(), attempts=0, last_error=None)
    return bool((await session.execute(revived.returning(Job.id))).scalar())


def _held(job: TakenJob) -> tuple[ColumnElement[bool], ...]:
    # Attempts tell this life of the job from a later one of the same worker.
    return (
        Job.id == job.id,
        Job.state == JobState.RUNNING,
        Job.leased_by == job.worker,
        Job.attempts == job.attempts,
    )


async def _let_go(session: AsyncSession, job: TakenJob, **values: Any) -> None:
    freed = update(Job).where(*_held(job)).values(leased_by=None, leased_until=None, **values)
    if (await session.execute(freed.returning(Job.id))).scalar() is None:
        raise LeaseLost(job.id)


_jobs: Any = Job.__table__
_older: Any = _jobs.alias("older")
_UNDONE = (JobState.WAITING, JobState.RUNNING)
_DUE = or_(
    and_(_jobs.c.state == JobState.WAITING, _jobs.c.run_at <= bindparam("at")),
    and_(_jobs.c.state == JobState.RUNNING, _jobs.c.leased_until < bindparam("at")),
)
_FIRST_IN_LANE = or_(
    _jobs.c.lane.is_(None),
    ~exists().where(
        _older.c.lane == _jobs.c.lane,
        _older.c.state.in_(_UNDONE),
        or_(
            _older.c.created_at < _jobs.c.created_at,
            and_(_older.c.created_at == _jobs.c.created_at, _older.c.id < _jobs.c.id),
        ),
    ),
)
_others: Any = _jobs.alias("others")
_AT_WORK = (
    select(func.count())
    .where(
        _others.c.account_id == _jobs.c.account_id,
        _others.c.kind == _jobs.c.kind,
        _others.c.state == JobState.RUNNING,
    )
    .scalar_subquery()
)


def _ready(*first: ColumnElement[Any]) -> Select[Any]:
    return (
        select(_jobs)
        .where(_jobs.c.kind.in_(bindparam("kinds", expanding=True)), _DUE, _FIRST_IN_LANE)
        .order_by(*first, _jobs.c.run_at, _jobs.c.created_at)
        .limit(bindparam("limit"))
        # On SQLite, which has one writer, this says nothing.
        .with_for_update(skip_locked=True, of=_jobs)
    )


_READY, _READY_FAIRLY = _ready(), _ready(_AT_WORK)
_TAKE = (
    update(_jobs)
    .where(
        _jobs.c.id == bindparam("which"),
        _jobs.c.attempts == bindparam("seen"),
        _jobs.c.state.in_(_UNDONE),
    )
    .values(
        state=JobState.RUNNING,
        leased_by=bindparam("worker"),
        leased_until=bindparam("until"),
        attempts=bindparam("seen") + 1,
    )
)


def _take(
    connection: Connection, kinds: tuple[str, ...], worker: str, lease_s: float, limit: int, fair: bool
) -> list[TakenJob]:
    at = now()
    which = _READY_FAIRLY if fair else _READY
    ready = connection.execute(which, {"kinds": kinds, "at": at, "limit": limit}).all()
    until = at + timedelta(seconds=lease_s)
    taken = []
    for row in ready:
        chosen = {"which": row.id, "seen": row.attempts, "worker": worker, "until": until}
        # On SQLite another worker may have been quicker since we looked.
        if connection.execute(_TAKE, chosen).rowcount:
            taken.append(
                TakenJob(
                    id=row.id,
                    kind=row.kind,
                    subject_id=row.subject_id,
                    account_id=row.account_id,
                    payload=row.payload,
                    lane=row.lane,
                    attempts=row.attempts + 1,
                    created_at=row.created_at,
                    worker=worker,
                )
            )
    return taken
