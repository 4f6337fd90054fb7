"""The loop of every worker: take jobs, do them, keep their leases, and give each failure its due."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from store.database import Database
from store.jobs import LeaseLost, TakenJob, bury, postpone, release, renew, take
from store.models import now

log = logging.getLogger(__name__)

POLL_S = 0.1
LEASE_S = 30.0
AWAY_S = 1.0
FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0
MOST_ATTEMPTS = 10

Handler = Callable[[TakenJob], Awaitable[None]]
"""Does a job and finishes it (`store.jobs.finish`) in the transaction that keeps what came of it."""


class Later(Exception):
    """Not now: try again in `after_s` seconds. Where it does not `count`, no attempt is used up."""

    def __init__(self, reason: str, after_s: float, counts: bool = True) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.counts = counts


class Hopeless(Exception):
    """It will never work; the reason is for a person."""


def retry_s(attempts: int) -> float:
    """How long to wait after that many failed attempts: 2, 4, 8 … 300 seconds."""
    doublings = min(attempts - 1, 20)
    return min(FIRST_RETRY_S * (1 << doublings), LONGEST_RETRY_S)


class Worker:
    """Does the jobs of some kinds, several at once. `run` goes on until it is cancelled."""

    def __init__(
        self,
        database: Database,
        name: str,
        handlers: Mapping[str, Handler],
        at_once: int = 4,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
        may_take: Callable[[], bool] = lambda: True,
        fair: bool = False,
    ) -> None:
        """`name` tells this process from all others that work on the same database.

        While `may_take` says no, jobs are left to others. `fair`: an account's many jobs do not keep
        another's few waiting.
        """
        self._database = database
        self._name = name
        self._handlers = dict(handlers)
        self._at_once = at_once
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._may_take = may_take
        self._fair = fair
        self._at_work: set[asyncio.Task[None]] = set()
        self._lane_free = asyncio.Event()
        self.problem = ""
        """Why no job can be taken at the moment; empty when all is well."""

    @property
    def busy(self) -> int:
        """Jobs being done."""
        return len(self._at_work)

    async def drained(self) -> None:
        """Wait until what is being done is done; no end of it unless `may_take` says no."""
        while self._at_work:
            await asyncio.wait(self._at_work)

    async def run_anew(self) -> None:
        """As `run`, and first take up at once what a dead life of the same name held.

        For a process that no other has the name of.
        """
        while True:
            try:
                await release(self._database, self._name)
                break
            except (SQLAlchemyError, OSError) as away:
                self.problem = type(away).__name__
                await asyncio.sleep(AWAY_S)
        await self.run()

    async def run(self) -> None:
        try:
            while True:
                self._lane_free.clear()
                await self._fill()
                # Behind a job in a lane another may have waited for just this.
                pause_s = AWAY_S if self.problem else self._poll_s
                alarm = asyncio.get_running_loop().call_later(pause_s, self._lane_free.set)
                await self._lane_free.wait()
                alarm.cancel()
        finally:
            for task in self._at_work:
                task.cancel()
            await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _fill(self) -> None:
        if not self._may_take():
            return
        free = self._at_once - len(self._at_work)
        if free <= 0:
            await asyncio.wait(self._at_work, return_when=asyncio.FIRST_COMPLETED)
            return
        try:
            kinds = tuple(self._handlers)
            taken = await take(self._database, kinds, self._name, self._lease_s, free, self._fair)
            self.problem = ""
        except (SQLAlchemyError, OSError) as away:
            self.problem = f"{type(away).__name__}: {str(away).partition(chr(10))[0]}"
            log.warning("no job can be taken: %s", self.problem, extra={"action": "jobs_away"})
            return
        for job in taken:
            task = asyncio.create_task(self._do(job), name=f"{job.kind} {job.id}")
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    async def _do(self, job: TakenJob) -> None:
        doing = asyncio.ensure_future(self._handlers[job.kind](job))
        holding = asyncio.create_task(self._hold(job, doing))
        try:
            await doing
        except asyncio.CancelledError:
            # We stop, or lost the lease: whoever has it next begins again.
            if not doing.done():
                doing.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await doing
        except LeaseLost:
            log.warning("a job went to another worker", extra={"action": "lease_lost"})
        except Exception as failure:
            await self._failed(job, failure)
        finally:
            holding.cancel()
            if job.lane is not None and not self.problem:
                self._lane_free.set()

    async def _hold(self, job: TakenJob, doing: "asyncio.Future[None]") -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                if not await renew(self._database, job, self._lease_s):
                    doing.cancel()
                    return
            except (SQLAlchemyError, OSError) as away:
                log.warning("a lease was not renewed: %s", away, extra={"action": "lease_not_renewed"})

    async def _failed(self, job: TakenJob, failure: Exception) -> None:
        try:
            async with self._database.session() as session:
                match failure:
                    case Later():
                        due = now() + timedelta(seconds=failure.after_s)
                        await postpone(session, job, due, str(failure), failure.counts)
                    case Hopeless():
                        await bury(session, job, str(failure))
                    case _ if job.attempts >= MOST_ATTEMPTS:
                        log.error("a job is given up", exc_info=failure, extra={"action": "job_dead"})
                        await bury(session, job, f"{type(failure).__name__}: {failure}")
                    case _:
                        log.warning("a job failed", exc_info=failure, extra={"action": "job_failed"})
                        due = now() + timedelta(seconds=retry_s(job.attempts))
                        await postpone(session, job, due, f"{type(failure).__name__}: {failure}")
        except (SQLAlchemyError, OSError, LeaseLost) as away:
            # The lease runs out by itself, and the job is taken again.
            log.warning("a failure was not noted: %s", away, extra={"action": "job_not_noted"})
