"""Sending: one call for one fax, from its pages to what came of it.

The attempt is committed before the line is asked, and the line never calls twice under one id. A worker that
was killed finds the attempt, and asks slip and line what became of it before anything else.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from ami.errors import AsteriskAway, AsteriskRefused
from faxgw.line import Order, read_slip
from faxgw.outcomes import NEVER_BEGAN, Outcome, died, outcome_of
from faxgw.parts import Parts
from faxgw.retries import Again, Tried, Values, next_try
from faxpages.errors import PagesUnreadable, WorkshopBroken
from faxpages.workshop import address
from store.e164 import E164, is_japanese, national
from store.fax_line import SLIP, FaxSlip
from store.fax_queue import (
    RELEASE_FAX,
    Ending,
    attempts_of,
    begin_attempt,
    end_attempt,
    end_fax,
    forget_peer,
    note_progress,
    peer_of,
    remember_peer,
)
from store.jobs import TakenJob, enqueue, finish
from store.message_reports import JAPAN
from store.models import (
    Fax,
    FaxAttempt,
    FaxResultClass,
    FaxSetting,
    FaxState,
    FaxTransport,
    PhoneNumber,
    new_id,
    now,
)
from store.worker import Later

log = logging.getLogger(__name__)

POLL_S = 0.4
AWAY_S = 2.0
ABSENT_LOOKS = 6
"""A call that was not there so often in a row is over: we look at the line once a second, and a call may take
a moment to appear."""

MOST_DIALS = 3
LONGEST_CALL_S = 2 * 60 * 60
SLOWEST_BITS_PER_S = 4800
CANCELLED_TEXT = "送信を取り消しました。"
PAGES_GONE = Outcome(FaxResultClass.OUR_FAULT, "pages_missing", "送信するページのファイルがありません。")
OVER = (
    FaxState.SENT,
    FaxState.FAILED,
    FaxState.CANCELLED,
    FaxState.RECEIVED,
    FaxState.PARTIAL,
)


@dataclass(frozen=True)
class Errand:
    """A fax with what its call needs."""

    fax: Fax
    number: PhoneNumber
    sender_name: str
    tried: tuple[FaxAttempt, ...]
    attempt: FaxAttempt
    begun: bool
    """By an earlier life of this worker."""


async def send_fax(parts: Parts, job: TakenJob) -> None:
    """Make one call for a fax and settle what came of it. Raises Later."""
    try:
        await _send(parts, job)
    except (SQLAlchemyError, OSError) as away:
        raise Later(f"the database or the disk: {type(away).__name__}", AWAY_S, counts=False) from away
    except AsteriskAway as away:
        raise Later(f"Asterisk: {away}", AWAY_S, counts=False) from away


async def _send(parts: Parts, job: TakenJob) -> None:
    errand = await _prepare(parts, job)
    if errand is None:
        return
    watched = not errand.begun
    if not errand.begun:
        pages = await _write_pages(parts, errand)
        if isinstance(pages, Outcome):
            await _give_up(parts, job, errand, pages)
            return
        async with parts.database.session() as session:
            if not await begin_attempt(session, job, errand.attempt):
                await finish(session, job)
                return
        await _dial(parts, errand)
    outcome, slip, words = await _come_of(parts, errand, watched)
    await _settle(parts, job, errand, outcome, slip, words)
    await asyncio.to_thread(_tidy, parts, errand.attempt.id)


async def _prepare(parts: Parts, job: TakenJob) -> Errand | None:
    """None where there is nothing to do any more."""
    async with parts.database.session() as session:
        fax = await session.get(Fax, job.subject_id)
        if fax is None or fax.state in OVER:
            await finish(session, job)
            return None
        number = await session.get_one(PhoneNumber, fax.number_id)
        setting = await session.get(FaxSetting, fax.number_id)
        attempts = await attempts_of(session, fax.id)
        name = setting.sender_name if setting else ""
        last = attempts[-1] if attempts else None
        if last is not None and last.ended_at is None:
            return Errand(fax, number, name, tuple(attempts[:-1]), last, begun=True)
        values = await _first_values(session, fax) if last is None else _after(attempts, parts.retry_s)
        attempt = FaxAttempt(
            id=f"{parts.node}-fax-{new_id()}",
            fax_id=fax.id,
            node=parts.node,
            first_page=min(fax.pages_done + 1, fax.pages or 1),
            transport=values.transport,
            ecm=values.ecm,
            max_rate=values.max_rate,
            fine=values.fine,
            started_at=now(),
        )
        return Errand(fax, number, name, tuple(attempts), attempt, begun=False)


async def _first_values(session: AsyncSession, fax: Fax) -> Values:
    peer = await peer_of(session, fax.other_party or "")
    return Values(peer.transport, peer.ecm, peer.max_rate, peer.fine) if peer else Values()


def _after(attempts: list[FaxAttempt], retry_s: float) -> Values:
    again = next_try([_tried(one) for one in attempts], retry_s)
    return again.values if again else _values(attempts[-1])


def _values(attempt: FaxAttempt) -> Values:
    return Values(attempt.transport, attempt.ecm, attempt.max_rate, attempt.fine)


def _tried(attempt: FaxAttempt) -> Tried:
    return Tried(_values(attempt), attempt.result_class or FaxResultClass.NETWORK, attempt.result_code or "")


# ---- the call ------------------------------------------------------------------------------------


async def _write_pages(parts: Parts, errand: Errand) -> Path | Outcome:
    """The pages that this call is to send, with their header lines. Raises Later."""
    out = _pages_of(parts, errand.attempt.id)
    await asyncio.to_thread(lambda: out.parent.mkdir(parents=True, exist_ok=True))
    tiff = parts.media.path(errand.fax.tiff or "missing")
    attempt = errand.attempt
    try:
        total = errand.fax.pages or 1
        await address(tiff, out, _header(errand), attempt.first_page, total, attempt.fine)
    except PagesUnreadable:
        return PAGES_GONE
    except WorkshopBroken as broken:
        raise Later(f"the pages: {broken}", AWAY_S) from broken
    return out


def _header(errand: Errand) -> str:
    at = f"{now().astimezone(JAPAN):%Y/%m/%d %H:%M}"
    sender = " ".join(filter(None, (errand.sender_name, national(E164(errand.number.e164)))))
    to = national(E164(errand.fax.other_party or ""))
    first = errand.attempt.first_page
    resumed = f"  [続き {first}ページから]" if first > 1 else ""
    return f"{sender} → {to}  {at}{resumed}"


async def _dial(parts: Parts, errand: Errand) -> None:
    """Raises AsteriskAway: whether it was done, slip and line will tell."""
    attempt = errand.attempt
    pages = _pages_of(parts, attempt.id)
    order = Order(
        id=attempt.id,
        to=errand.fax.other_party or "",
        ours=errand.number.e164,
        pages=pages,
        station=_station(errand.number.e164),
        ecm=attempt.ecm,
        max_rate=attempt.max_rate,
        mode="t38" if attempt.transport is FaxTransport.T38 else "audio",
        limit_s=_limit_s(pages, (errand.fax.pages or 1) - attempt.first_page + 1),
    )
    try:
        await parts.line.dial(order)
    except AsteriskRefused as refused:
        log.warning("Asterisk does not dial: %s", refused, extra={"action": "fax_not_dialled"})


def _station(e164: str) -> str:
    """As Japanese machines show it: digits, in groups nobody needs."""
    return national(E164(e164)) if is_japanese(E164(e164)) else e164


def _limit_s(pages: Path, count: int) -> int:
    """Longer than the slowest call that makes sense."""
    bits = pages.stat().st_size * 8 if pages.exists() else 0
    return min(LONGEST_CALL_S, int(240 + 60 * count + bits / SLOWEST_BITS_PER_S * 1.5))


async def _come_of(parts: Parts, errand: Errand, watched: bool) -> tuple[Outcome, FaxSlip | None, str]:
    """Wait for the end of the call; make it where it never began."""
    pages = (errand.fax.pages or 1) - errand.attempt.first_page + 1
    for _ in range(MOST_DIALS):
        found, seen = await _watch(parts, errand)
        if found is not None:
            slip, words = found
            ended = slip.ended_at is not None
            return outcome_of(slip, pages) if ended else died(slip, seen, watched), slip, words
        if not await asyncio.to_thread(_pages_of(parts, errand.attempt.id).exists):
            written = await _write_pages(parts, errand)
            if isinstance(written, Outcome):
                return written, None, ""
        await _dial(parts, errand)
        watched = True
    return NEVER_BEGAN, None, ""


async def _watch(parts: Parts, errand: Errand) -> tuple[tuple[FaxSlip, str] | None, int]:
    """Until the call is over: its slip, None where it never began; and how many pages were seen to arrive."""
    attempt = errand.attempt
    absent, noted, seen = 0, -1, 0
    while True:
        # First the line, then the slip: whoever is gone from the line has written its slip before.
        try:
            alive = (await parts.line.look()).get(attempt.id)
        except AsteriskAway:
            # Whether it died, and with it the call, is seen when it is back.
            await asyncio.sleep(POLL_S)
            alive, absent = None, -1
        found = await asyncio.to_thread(read_slip, parts.spool, attempt.id)
        if found and found[0].ended_at is not None:
            return found, seen
        absent = 0 if alive else absent + 1
        if absent >= ABSENT_LOOKS:
            return found, seen
        if alive:
            seen = max(seen, alive.pages)
            if found and found[0].answered_at is not None and seen > noted:
                await _note_progress(parts, errand, seen)
                noted = seen
            await _end_if_cancelled(parts, errand)
        await asyncio.sleep(POLL_S)


async def _note_progress(parts: Parts, errand: Errand, pages: int) -> None:
    async with parts.database.session() as session:
        await note_progress(session, errand.attempt, pages)


async def _end_if_cancelled(parts: Parts, errand: Errand) -> None:
    async with parts.database.session() as session:
        fax = await session.get_one(Fax, errand.fax.id, populate_existing=True)
    if fax.cancel_asked:
        await parts.line.hang_up(errand.attempt.id)


# ---- what came of it -------------------------------------------------------------------------------


async def _settle(
    parts: Parts, job: TakenJob, errand: Errand, outcome: Outcome, slip: FaxSlip | None, words: str
) -> None:
    ending = _ending(errand, outcome, slip, words)
    async with parts.database.session() as session:
        fax = await end_attempt(session, job, errand.attempt.id, ending)
        attempt = await session.get_one(FaxAttempt, errand.attempt.id)
        destination = fax.other_party or ""
        if outcome.result is FaxResultClass.OK:
            fax.pages_done = fax.pages or fax.pages_done
            used = ending.mode or attempt.transport
            await remember_peer(session, destination, used, attempt.ecm, attempt.max_rate, attempt.fine)
            end_fax(session, fax, FaxState.SENT, outcome.result, outcome.code, outcome.text)
        elif fax.cancel_asked:
            cancelled = FaxResultClass.CANCELLED
            end_fax(session, fax, FaxState.CANCELLED, cancelled, "cancelled", CANCELLED_TEXT)
        else:
            again = next_try([_tried(one) for one in (*errand.tried, attempt)], parts.retry_s)
            if again and errand.attempt.first_page <= (fax.pages or 1):
                _try_again(session, fax, outcome, again)
            else:
                await forget_peer(session, destination)
                end_fax(session, fax, FaxState.FAILED, outcome.result, outcome.code, outcome.text)
    told = (outcome.result.value, outcome.code)
    log.info("a fax call is over: %s, %s", *told, extra={"action": "fax_ended"})


def _try_again(session: AsyncSession, fax: Fax, outcome: Outcome, again: Again) -> None:
    fax.state = FaxState.WAITING
    fax.result_class, fax.result_code, fax.result_text = outcome.result, outcome.code[:60], outcome.text
    due = now() + timedelta(seconds=again.after_s)
    enqueue(session, RELEASE_FAX, fax.id, fax.account_id, run_at=due)


def _ending(errand: Errand, outcome: Outcome, slip: FaxSlip | None, words: str) -> Ending:
    slip = slip or FaxSlip()
    attempt = errand.attempt
    ended = slip.ended_at or now()
    return Ending(
        result=outcome.result,
        code=outcome.code,
        text=outcome.text,
        pages_done=attempt.first_page - 1 + outcome.pages,
        started_at=slip.started_at or attempt.started_at,
        answered_at=slip.answered_at,
        ended_at=ended,
        mode={"t38": FaxTransport.T38, "audio": FaxTransport.G711}.get(slip.mode),
        rate=slip.rate,
        ecm=slip.ecm,
        resolution=slip.resolution,
        remote=slip.remote,
        words=words,
    )


async def _give_up(parts: Parts, job: TakenJob, errand: Errand, outcome: Outcome) -> None:
    """Nothing can be sent at all."""
    async with parts.database.session() as session:
        await finish(session, job)
        fax = await session.get_one(Fax, errand.fax.id, populate_existing=True)
        end_fax(session, fax, FaxState.FAILED, outcome.result, outcome.code, outcome.text)


def _pages_of(parts: Parts, attempt_id: str) -> Path:
    return parts.outgoing / f"{attempt_id}.tif"


def _tidy(parts: Parts, attempt_id: str) -> None:
    _pages_of(parts, attempt_id).unlink(missing_ok=True)
    (parts.spool / f"{attempt_id}{SLIP}").unlink(missing_ok=True)
