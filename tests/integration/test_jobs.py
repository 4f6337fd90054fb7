"""Jobs and their workers, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from store.database import Database
from store.jobs import (
    LeaseLost,
    TakenJob,
    _ready,
    bury,
    enqueue,
    finish,
    hasten,
    postpone,
    renew,
    revive,
    take,
)
from store.models import Job, JobState, now
from store.worker import Handler, Hopeless, Later, Worker, retry_s

pytestmark = pytest.mark.integration

KIND = "test"
DEADLINE_S = 10.0


async def add(database: Database, subject: str = "s", lane: str | None = None, in_s: float = 0) -> str:
    async with database.session() as session:
        job = enqueue(session, KIND, subject, lane=lane, run_at=now() + timedelta(seconds=in_s))
        await session.flush()
        return job.id


async def job_of(database: Database, job_id: str) -> Job:
    async with database.session() as session:
        return await session.get_one(Job, job_id)


async def take_some(
    database: Database, worker: str = "w", lease_s: float = 30, limit: int = 10
) -> list[TakenJob]:
    return await take(database, (KIND,), worker, lease_s, limit)


async def until_state(database: Database, job_id: str, state: JobState) -> Job:
    """Wait for the job to have been taken and to have come to `state`."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            job = await job_of(database, job_id)
            if job.state is state and (job.leased_by or job.last_error or state is JobState.DONE):
                return job
            await asyncio.sleep(0.02)


@asynccontextmanager
async def working(database: Database, handler: Handler, lease_s: float = 30) -> AsyncIterator[Worker]:
    worker = Worker(database, "tested", {KIND: handler}, lease_s=lease_s)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_job_is_taken_once_when_due(database: Database) -> None:
    due, _later = await add(database), await add(database, in_s=60)
    (job,) = await take_some(database)
    assert (job.id, job.attempts, job.subject_id) == (due, 1, "s")
    assert await take_some(database, "another") == []


async def test_what_is_done_is_not_searched_for_what_is_due(database: Database) -> None:
    """Or workers, who ask several times a second, would be slower every day."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by what is in the table")
    due = _ready((KIND, "another"), True).compile(database.engine.sync_engine)
    async with database.session() as session:
        connection = await session.connection()
        values = {**due.params, "at": "2026-01-01", "limit": 1, "param_1": 1}
        question = f"EXPLAIN QUERY PLAN {due}"
        plan = await connection.exec_driver_sql(question, tuple(values[one] for one in due.positiontup or ()))
        steps = [row.detail for row in plan if " jobs " in row.detail]
    assert steps
    assert all("(kind=? AND state=?" in step for step in steps), steps


async def test_many_workers_share_without_overlap(database: Database) -> None:
    ids = {await add(database) for _ in range(20)}
    shares = await asyncio.gather(*(take_some(database, f"w{n}", limit=5) for n in range(6)))
    for _ in range(4):
        shares.append(await take_some(database, "last", limit=5))
    taken = [job.id for share in shares for job in share]
    assert sorted(taken) == sorted(ids)


async def test_a_lane_is_done_in_order(database: Database) -> None:
    first, second = await add(database, lane="room"), await add(database, lane="room")
    other = await add(database, lane="another room")
    taken = {job.id: job for job in await take_some(database)}
    assert set(taken) == {first, other}
    assert await take_some(database) == []
    async with database.session() as session:
        await postpone(session, taken[first], now() + timedelta(minutes=1), "away")
    assert await take_some(database) == [], "the second must wait for the first, however late that is"
    async with database.session() as session:
        await hasten(session, KIND, "s")
    (again,) = await take_some(database)
    assert (again.id, again.attempts) == (first, 2)
    async with database.session() as session:
        await finish(session, again)
    assert [job.id for job in await take_some(database)] == [second]


async def test_a_lost_lease_keeps_nothing(database: Database) -> None:
    job_id = await add(database)
    (slow,) = await take_some(database, "slow", lease_s=-1)
    (quick,) = await take_some(database, "quick")
    assert quick.id == job_id
    assert not await renew(database, slow, 30)
    assert await renew(database, quick, 30)
    with pytest.raises(LeaseLost):
        async with database.session() as session:
            enqueue(session, "result", "of the slow one")
            await finish(session, slow)
    async with database.session() as session:
        await finish(session, quick)
    assert (await job_of(database, job_id)).state is JobState.DONE
    assert await take(database, ("result",), "w", 30, 5) == []


async def test_a_dead_job_can_be_revived(database: Database) -> None:
    job_id = await add(database)
    (job,) = await take_some(database)
    async with database.session() as session:
        await bury(session, job, "no such room")
    assert (await job_of(database, job_id)).last_error == "no such room"
    assert await take_some(database) == []
    async with database.session() as session:
        assert await revive(session, job_id)
        assert not await revive(session, job_id)
    (again,) = await take_some(database)
    assert again.attempts == 1


async def test_a_worker_gives_each_failure_its_due(database: Database) -> None:
    failures: dict[str, Exception] = {
        "later": Later("throttled", after_s=60, counts=False),
        "hopeless": Hopeless("no such room"),
        "unknown": RuntimeError("a mistake"),
    }

    async def fail(job: TakenJob) -> None:
        raise failures[job.subject_id]

    ids = {subject: await add(database, subject) for subject in failures}
    async with working(database, fail):
        dead = await until_state(database, ids["hopeless"], JobState.DEAD)
        later = await until_state(database, ids["later"], JobState.WAITING)
        unknown = await until_state(database, ids["unknown"], JobState.WAITING)
    assert dead.last_error == "no such room"
    assert (later.state, later.attempts, later.last_error) == (JobState.WAITING, 0, "throttled")
    assert later.run_at > now() + timedelta(seconds=30)
    assert (unknown.state, unknown.attempts) == (JobState.WAITING, 1)
    assert unknown.last_error == "RuntimeError: a mistake"


async def test_a_worker_keeps_the_lease_of_long_work(database: Database) -> None:
    job_id = await add(database)
    let_go = asyncio.Event()

    async def slow(job: TakenJob) -> None:
        await let_go.wait()
        async with database.session() as session:
            await finish(session, job)

    async with working(database, slow, lease_s=0.6):
        await until_state(database, job_id, JobState.RUNNING)
        await asyncio.sleep(1.5)
        assert await take_some(database, "thief") == []
        let_go.set()
        await until_state(database, job_id, JobState.DONE)


async def test_a_worker_whose_lease_is_lost_stops(database: Database) -> None:
    await add(database)
    cancelled = asyncio.Event()

    async def slow(job: TakenJob) -> None:
        async with database.session() as session:
            await postpone(session, job, now() + timedelta(minutes=1), "taken back by a person")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with working(database, slow, lease_s=0.3), asyncio.timeout(DEADLINE_S):
        await cancelled.wait()


def test_waits_grow_to_a_limit() -> None:
    assert [retry_s(attempt) for attempt in (1, 2, 3, 9, 100)] == [2, 4, 8, 300, 300]
