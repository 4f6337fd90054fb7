"""Taking in what the line received: from slip and TIFF in the spool to a fax in the tray, once.

The order makes every crash harmless: files get their lasting names, then the row is committed, then the
spool's names go. Until the last step the spool holds all, and whoever comes next finds the row and only
tidies up.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Container
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ami.errors import AsteriskAway, AsteriskRefused
from faxgw.line import read_slip
from faxgw.outcomes import LINE_RESTARTED, outcome_of
from faxgw.parts import Parts
from faxpages.errors import PagesUnreadable, WorkshopBroken
from faxpages.workshop import Bench, Received
from store import fax_received
from store.arrivals import look_up
from store.caller_identity import identify_caller
from store.fax_line import PAGES, SLIP, FaxSlip
from store.fax_received import ReceivedFax, is_kept, keep_received
from store.jobs import TakenJob
from store.media import Media
from store.models import FaxAttempt, FaxResultClass, FaxState, FaxTransport, now
from store.worker import Later

log = logging.getLogger(__name__)

SWEEP_S = 0.3
SETTLED_S = 5.0
"""A slip without an end that nobody has written to for so long may be a dead Asterisk's."""

FORGOTTEN_S = 120.0
"""Slips of calls that went out are removed by who sent them; after so long nobody will."""

AT_ONCE = 3
AWAY_S = 2.0
OK_TEXT = "受信しました。"
DAMAGED_TEXT = "受信しましたが、一部の行に乱れがあります。"
NOTHING_TEXT = "ページを受信できませんでした。"


class Receiving:
    """Sweeps the spool."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._benches = [Bench() for _ in range(AT_ONCE)]
        self._free: asyncio.Queue[Bench] = asyncio.Queue()
        for bench in self._benches:
            self._free.put_nowait(bench)
        self.problem = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.sweep()
                self.problem = ""
            except (SQLAlchemyError, OSError, AsteriskAway, AsteriskRefused, WorkshopBroken) as away:
                said = f"{type(away).__name__}: {str(away).partition(chr(10))[0]}"
                if said != self.problem:
                    log.warning("received faxes wait: %s", said, extra={"action": "fax_spool_waits"})
                self.problem = said
                await asyncio.sleep(AWAY_S)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Take in everything that is due, and what comes due meanwhile.

        One that fails keeps no other waiting; raises the first failure.
        """
        running: dict[str, asyncio.Task[None]] = {}
        failed: dict[str, BaseException] = {}
        try:
            await self._begin(running, failed)
            while running:
                await asyncio.wait(running.values(), timeout=SWEEP_S)
                for call_id, task in list(running.items()):
                    if task.done():
                        del running[call_id]
                        if problem := task.exception():
                            failed[call_id] = problem
                if running:
                    await self._begin(running, failed)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
            # They hold memory, and the next fax may be hours away.
            for bench in self._benches:
                await bench.close()
        for problem in failed.values():
            raise problem

    async def _begin(self, running: dict[str, asyncio.Task[None]], failed: Container[str]) -> None:
        for call_id, age_s in await asyncio.to_thread(_due, self._parts.spool):
            if call_id not in running and call_id not in failed:
                running[call_id] = asyncio.create_task(self._one(call_id, age_s), name=call_id)

    async def _one(self, call_id: str, age_s: float) -> None:
        bench = await self._free.get()
        try:
            await self._look_after(bench, call_id, age_s)
        finally:
            self._free.put_nowait(bench)

    async def _look_after(self, bench: Bench, call_id: str, age_s: float) -> None:
        found = await asyncio.to_thread(read_slip, self._parts.spool, call_id)
        if found is None:
            return
        slip, _ = found
        if slip.direction == "out":
            await self._forget(call_id, age_s)
        elif slip.ended_at is not None:
            await self._adopt(bench, call_id, slip)
        elif age_s > SETTLED_S and call_id not in await self._parts.line.receiving():
            # It may have ended since we read it.
            again = await asyncio.to_thread(read_slip, self._parts.spool, call_id)
            if again == found:
                await self._adopt(bench, call_id, slip)

    async def _forget(self, attempt_id: str, age_s: float) -> None:
        """Remove the slip of a call that went out and was settled, by a worker that died before it tidied."""
        if age_s < FORGOTTEN_S:
            return
        async with self._parts.database.session() as session:
            attempt = await session.scalar(select(FaxAttempt).where(FaxAttempt.id == attempt_id))
        if attempt is None or attempt.ended_at is not None:
            await asyncio.to_thread(_remove, [self._parts.spool / f"{attempt_id}{SLIP}"])
            await asyncio.to_thread(_remove, [self._parts.outgoing / f"{attempt_id}{PAGES}"])

    async def _adopt(self, bench: Bench, call_id: str, slip: FaxSlip) -> None:
        parts = self._parts
        files = [parts.spool / f"{call_id}{suffix}" for suffix in (PAGES, SLIP)]
        async with parts.database.session() as session:
            if await is_kept(session, call_id):
                await asyncio.to_thread(_remove, files)
                return
        if not await self._keep(bench, call_id, slip):
            log.error("a fax belongs to no number of ours", extra={"action": "fax_unclaimed"})
            await asyncio.to_thread(_set_aside, parts.spool / "unclaimed", files)
            return
        await asyncio.to_thread(_remove, files)

    async def _keep(self, bench: Bench, call_id: str, slip: FaxSlip) -> bool:
        """False where the number is not ours."""
        parts = self._parts
        arrival = await parts.database.transaction(partial(look_up, e164=slip.number))
        if arrival is None:
            return False
        caller = identify_caller(slip.caller, slip.caller_name, slip.presentation)
        started = slip.started_at or slip.ended_at or now()
        names = f"faxes/{started:%Y/%m/%d}/{call_id}"
        tiff, pdf = parts.work / f"{call_id}{PAGES}", parts.work / f"{call_id}.pdf"
        await asyncio.to_thread(lambda: parts.work.mkdir(parents=True, exist_ok=True))
        digest: str | None = None
        try:
            pages = await self._pages(bench, call_id, tiff, pdf)
            if pages.pages:
                digest = await asyncio.to_thread(_store, parts.media, tiff, pdf, names)
        finally:
            await asyncio.to_thread(_remove, [tiff, pdf])
        state, result, code, text = _judged(slip, pages)
        received = ReceivedFax(
            call_id=call_id,
            account_id=arrival.account_id,
            number_id=arrival.number_id,
            dialled=arrival.e164,
            caller=caller.number,
            caller_kind=caller.kind,
            state=state,
            result=result,
            code=code,
            text=text,
            pages=pages.pages,
            started_at=started,
            answered_at=slip.answered_at,
            ended_at=slip.ended_at or now(),
            transport={"t38": FaxTransport.T38, "audio": FaxTransport.G711}.get(slip.mode),
            remote=slip.remote,
            rate=slip.rate,
            ecm=slip.ecm,
            resolution=slip.resolution,
            bad_rows=pages.bad_rows,
            pdf=f"{names}.pdf" if pages.pages else None,
            pdf_sha256=digest,
            tiff=f"{names}.tif" if pages.pages else None,
            report=pages.pages > 0,
        )
        async with parts.database.session() as session:
            await keep_received(session, received)
        log.info("a fax of %d pages came in", pages.pages, extra={"action": "fax_received"})
        return True

    async def _pages(self, bench: Bench, call_id: str, tiff: Path, pdf: Path) -> Received:
        source = self._parts.spool / f"{call_id}{PAGES}"
        nothing = Received(0, 0, 0)
        if not await asyncio.to_thread(source.is_file):
            return nothing
        try:
            return await bench.take_in(source, tiff, pdf)
        except PagesUnreadable:
            # Never deleted: a person may make something of it.
            await asyncio.to_thread(_set_aside, self._parts.spool / "unreadable", [source])
            return nothing


def _judged(slip: FaxSlip, pages: Received) -> tuple[FaxState, FaxResultClass, str, str]:
    """How it came in. Pure."""
    if slip.status == "SUCCESS" and pages.pages:
        if pages.bad_rows:
            return FaxState.RECEIVED, FaxResultClass.DAMAGED, "bad_rows", DAMAGED_TEXT
        return FaxState.RECEIVED, FaxResultClass.OK, "ok", OK_TEXT
    outcome = outcome_of(slip, 0)
    if pages.pages:
        text = f"途中で切れました。{pages.pages}ページまで受信しました。"
        code = outcome.code if slip.ended_at else LINE_RESTARTED
        return FaxState.PARTIAL, FaxResultClass.CUT_OFF, code, text
    return FaxState.FAILED, outcome.result, outcome.code, NOTHING_TEXT


async def close_fax_call(parts: Parts, job: TakenJob) -> None:
    """See that the call of a received fax has a record. Raises Later."""
    try:
        async with parts.database.session() as session:
            await fax_received.close_call(session, job, parts.node)
    except (SQLAlchemyError, OSError) as away:
        raise Later(f"the database: {type(away).__name__}", AWAY_S, counts=False) from away


def _due(spool: Path) -> list[tuple[str, float]]:
    """Ids of all slips, and how many seconds ago each was written to; oldest first."""
    found = []
    for path in spool.glob(f"*{SLIP}"):
        try:
            found.append((path.stem, time.time() - path.stat().st_mtime))
        except FileNotFoundError:
            continue
    return sorted(found, key=lambda one: -one[1])


def _store(media: Media, tiff: Path, pdf: Path, names: str) -> str:
    media.take(tiff, f"{names}{PAGES}")
    media.take(pdf, f"{names}.pdf")
    return hashlib.sha256(pdf.read_bytes()).hexdigest()


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _set_aside(folder: Path, files: list[Path]) -> None:
    folder.mkdir(exist_ok=True)
    for file in files:
        if file.exists():
            file.rename(folder / file.name)
