"""Jobs: work that outlives what caused it.

A job is a row, written in the transaction of what caused it. A worker takes it under a lease, which it
renews while it works; a worker that dies loses the lease, and the job is taken again. The job is finished
in the transaction that keeps its result: done and kept are one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)
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
    # Workers ask several times a second, mostly in vain.
    any_ready, one = _ready(kinds, fair=False), {"at": now(), "limit": 1}
    if await database.reading(lambda connection: connection.execute(any_ready, one).first()) is None:
        return []
    return await database.transaction(
        lambda connection: _take(connection, kinds, worker, lease_s, limit, fair)
    )


async def renew(database: Database, job: TakenJob, lease_s: float) -> bool:
    """Go on holding the job; False when the lease is lost."""
    until = {**_held(job), "until": now() + timedelta(seconds=lease_s)}
    return bool(await database.transaction(lambda connection: connection.execute(_RENEWED, until).rowcount))


async def release(database: Database, worker: str) -> None:
    """Give back what a dead life of this worker held, so that nobody need wait for its leases to run out."""
    held = update(Job).where(Job.state == JobState.RUNNING, Job.leased_by == worker)
    over = held.values(leased_until=now() - timedelta(seconds=1))
    await database.transaction(lambda connection: connection.execute(over))


async def refuse_lost(session: AsyncSession, job: TakenJob) -> None:
    """Raises LeaseLost where somebody else has the job by now."""
    if await session.scalar(select(_jobs.c.id).where(*_HELD), _held(job)) is None:
        raise LeaseLost(job.id)


async def finish(session: AsyncSession, job: TakenJob) -> None:
    """The job is done, together with whatever this transaction keeps. Raises LeaseLost."""
    await _let_go(session, job, _DONE)


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
    attempts = job.attempts if counts else job.attempts - 1
    await _let_go(session, job, _POSTPONED, due=run_at, counted=attempts, reason=reason[:LONGEST_ERROR])


async def bury(session: AsyncSession, job: TakenJob, reason: str) -> None:
    """Give it up, with a reason a person can read. Raises LeaseLost."""
    await _let_go(session, job, _DEAD, reason=reason[:LONGEST_ERROR])


async def hasten(session: AsyncSession, kind: str, subject_id: str) -> None:
    """Let the waiting jobs of this kind and subject be done now."""
    await session.execute(_HASTENED, {"of_kind": kind, "subject": subject_id, "at": now()})


async def revive(session: AsyncSession, job_id: str) -> bool:
    """Let a dead job be tried again, from its first attempt; False where it is not dead."""
    dead = update(Job).where(Job.id == job_id, Job.state == JobState.DEAD)
    revived = dead.values(state=JobState.WAITING, run_at=now(), attempts=0, last_error=None)
    return bool((await session.execute(revived.returning(Job.id))).scalar())


def _held(job: TakenJob) -> dict[str, Any]:
    # Attempts tell this life of the job from a later one of the same worker.
    return {"which": job.id, "worker": job.worker, "seen": job.attempts}


async def _let_go(session: AsyncSession, job: TakenJob, freed: Executable, **values: Any) -> None:
    done: Any = await session.execute(freed, {**_held(job), **values})
    if not done.rowcount:
        raise LeaseLost(job.id)


# Every job needs some of these: they are built once, and not of the mapped class, which would look for
# objects to change with them.
_jobs: Any = Job.__table__
_older: Any = _jobs.alias("older")


def _undone(jobs: Any) -> ColumnElement[bool]:
    # With IN, a statement would be put together anew each time it is run.
    return or_(jobs.c.state == JobState.WAITING, jobs.c.state == JobState.RUNNING)


_FIRST_IN_LANE = or_(
    _jobs.c.lane.is_(None),
    ~exists().where(
        _older.c.lane == _jobs.c.lane,
        _undone(_older),
        or_(
            _older.c.created_at < _jobs.c.created_at,
            and_(_older.c.created_at == _jobs.c.created_at, _older.c.id < _jobs.c.id),
        ),
    ),
)
_HELD = (
    _jobs.c.id == bindparam("which"),
    _jobs.c.state == JobState.RUNNING,
    _jobs.c.leased_by == bindparam("worker"),
    _jobs.c.attempts == bindparam("seen"),
)
_RENEWED = update(_jobs).where(*_HELD).values(leased_until=bindparam("until"))
_FREED = update(_jobs).where(*_HELD).values(leased_by=None, leased_until=None)
_DONE = _FREED.values(state=JobState.DONE, last_error=None)
_DEAD = _FREED.values(state=JobState.DEAD, last_error=bindparam("reason"))
_POSTPONED = _FREED.values(
    state=JobState.WAITING,
    run_at=bindparam("due"),
    attempts=bindparam("counted"),
    last_error=bindparam("reason"),
)
_HASTENED = (
    update(_jobs)
    .where(
        _jobs.c.kind == bindparam("of_kind"),
        _jobs.c.subject_id == bindparam("subject"),
        _jobs.c.state == JobState.WAITING,
        _jobs.c.run_at > bindparam("at"),
    )
    .values(run_at=bindparam("at"))
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


def _due(kinds: tuple[str, ...]) -> ColumnElement[bool]:
    # For each kind and state by itself, or the index would be of no use against all that is done.
    return or_(
        *(
            and_(_jobs.c.kind == kind, _jobs.c.state == state, since <= bindparam("at"))
            for kind in kinds
            for state, since in (
                (JobState.WAITING, _jobs.c.run_at),
                (JobState.RUNNING, _jobs.c.leased_until),
            )
        )
    )


@cache
def _ready(kinds: tuple[str, ...], fair: bool) -> Select[Any]:
    return (
        select(_jobs)
        .where(_due(kinds), _FIRST_IN_LANE)
        .order_by(*([_AT_WORK] if fair else []), _jobs.c.run_at, _jobs.c.created_at)
        .limit(bindparam("limit"))
        # On SQLite, which has one writer, this says nothing.
        .with_for_update(skip_locked=True, of=_jobs)
    )


_TAKE = (
    update(_jobs)
    .where(
        _jobs.c.id == bindparam("which"),
        _jobs.c.attempts == bindparam("seen"),
        _undone(_jobs),
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
    ready = connection.execute(_ready(kinds, fair), {"at": at, "limit": limit}).all()
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
