"""Faxes on their way out: the queue, attempts, and what is remembered of destinations.

A fax that waits for its turn is a job in the lane of its destination, so that no machine is called twice at
once. One that waits for a time (a schedule, the next try) is in no lane: it must not keep others from that
destination waiting.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.events import append_in
from store.jobs import TakenJob, enqueue, finish, refuse_lost
from store.models import (
    Call,
    CallerKind,
    Fax,
    FaxAttempt,
    FaxPeer,
    FaxResultClass,
    FaxState,
    FaxTransport,
    JournalEntry,
    PhoneNumber,
    now,
)
from store.upserts import insert_for

PREPARE_FAX = "prepare_fax"
"""Kind of job: make the pages of a submission (the subject)."""

RELEASE_FAX = "release_fax"
"""Kind of job: it is time for a fax (the subject) to wait for its turn."""

SEND_FAX = "send_fax"
"""Kind of job: send a fax (the subject), one call."""

REPORT_FAX = "report_fax"
"""Kind of job: tell everybody who is to be told of a fax (the subject)."""

CLOSE_FAX_CALL = "close_fax_call"
"""Kind of job: see that there is a record of the call (the subject) that a fax came in."""

REMEMBERED_FOR = timedelta(days=30)


def lane_of(e164: str) -> str:
    return f"fax.{e164}"


def queue_fax(session: AsyncSession, fax: Fax, at: datetime | None) -> None:
    """Let the fax wait for its time, or for its turn."""
    fax.state = FaxState.WAITING
    if at is not None and at > now():
        enqueue(session, RELEASE_FAX, fax.id, fax.account_id, run_at=at)
    else:
        enqueue(session, SEND_FAX, fax.id, fax.account_id, lane=lane_of(fax.other_party or ""))


async def release(session: AsyncSession, job: TakenJob) -> None:
    """The fax's time has come. Raises LeaseLost."""
    await finish(session, job)
    fax = await session.get(Fax, job.subject_id)
    if fax is not None and fax.state is FaxState.WAITING:
        queue_fax(session, fax, None)


async def end_fax(
    session: AsyncSession, fax: Fax, state: FaxState, result: FaxResultClass, code: str, text: str
) -> None:
    """The fax is over; whoever is to be told is told. To be called last in a transaction."""
    fax.state, fax.result_class = state, result
    fax.result_code, fax.result_text = code[:60], text[:300]
    fax.ended_at = now()
    enqueue(session, REPORT_FAX, fax.id, fax.account_id)
    told = {"result": result.value, "code": fax.result_code}
    await append_in(session, fax.account_id, f"fax.{state.value}", [fax.id], told)


# ---- attempts ------------------------------------------------------------------------------------


async def attempts_of(session: AsyncSession, fax_id: str) -> list[FaxAttempt]:
    """The fax's attempts, oldest first."""
    rows = select(FaxAttempt).where(FaxAttempt.fax_id == fax_id)
    return list(await session.scalars(rows.order_by(FaxAttempt.started_at, FaxAttempt.id)))


async def begin_attempt(session: AsyncSession, job: TakenJob, attempt: FaxAttempt) -> bool:
    """Note that the fax is about to be dialled; False where it was cancelled meanwhile. Raises LeaseLost."""
    await refuse_lost(session, job)
    waiting = update(Fax).where(Fax.id == attempt.fax_id, Fax.state == FaxState.WAITING)
    begun = waiting.values(state=FaxState.DIALLING, attempts=Fax.attempts + 1, call_id=attempt.id)
    begun = begun.execution_options(synchronize_session=False)
    if not await session.scalar(begun.returning(Fax.id)):
        return False
    fax = await session.get_one(Fax, attempt.fax_id, populate_existing=True)
    number = await session.get_one(PhoneNumber, fax.number_id)
    session.add(attempt)
    session.add(
        Call(
            id=attempt.id,
            node=attempt.node,
            account_id=fax.account_id,
            number_id=fax.number_id,
            direction="outbound",
            dialled=fax.other_party or "",
            caller=number.e164,
            caller_kind=CallerKind.NUMBER,
            started_at=attempt.started_at,
        )
    )
    told = {"fax_id": fax.id, "attempt": fax.attempts, "first_page": attempt.first_page}
    session.add(JournalEntry(call_id=attempt.id, at=now(), event="fax_dialled", details=told))
    return True


async def note_progress(session: AsyncSession, attempt: FaxAttempt, pages_done: int) -> None:
    """The far machine answered, and has so many pages of this attempt."""
    attempt = await session.get_one(FaxAttempt, attempt.id, populate_existing=True)
    attempt.answered_at = attempt.answered_at or now()
    attempt.pages_done = max(attempt.pages_done, pages_done)
    sending = update(Fax).where(
        Fax.id == attempt.fax_id, Fax.state.in_((FaxState.DIALLING, FaxState.SENDING))
    )
    reached = attempt.first_page - 1 + attempt.pages_done
    await session.execute(
        sending.values(state=FaxState.SENDING, pages_done=reached).execution_options(
            synchronize_session=False
        )
    )


@dataclass(frozen=True)
class Ending:
    """How an attempt came out; times and pages as the line says them, `pages_done` of the whole document."""

    result: FaxResultClass
    code: str
    text: str
    pages_done: int
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    mode: FaxTransport | None = None
    rate: int | None = None
    ecm: bool | None = None
    resolution: str = ""
    remote: str = ""
    words: str = ""
    """The line's own, for whoever looks into it."""


async def end_attempt(session: AsyncSession, job: TakenJob, attempt_id: str, ending: Ending) -> Fax:
    """Close the attempt, its call and its job; gives the fax, whose state is the caller's to set.

    Raises LeaseLost.
    """
    await finish(session, job)
    attempt = await session.get_one(FaxAttempt, attempt_id, populate_existing=True)
    fax = await session.get_one(Fax, attempt.fax_id, populate_existing=True)
    attempt.result_class, attempt.result_code = ending.result, ending.code[:60]
    attempt.answered_at = ending.answered_at or attempt.answered_at
    attempt.ended_at, attempt.mode, attempt.rate = ending.ended_at, ending.mode, ending.rate
    attempt.pages_done = max(0, ending.pages_done - attempt.first_page + 1)
    attempt.remote_station, attempt.details = ending.remote[:40], ending.words
    fax.pages_done = max(fax.pages_done, ending.pages_done)
    fax.transport, fax.rate = ending.mode or fax.transport, ending.rate or fax.rate
    fax.ecm = ending.ecm if ending.ecm is not None else fax.ecm
    fax.resolution = ending.resolution[:20] or fax.resolution
    fax.remote_station = ending.remote[:40] or fax.remote_station
    if ending.answered_at is not None:
        on_line = max(0.0, (ending.ended_at - ending.answered_at).total_seconds())
        fax.duration_s = (fax.duration_s or 0.0) + on_line
    call = await session.get(Call, attempt_id)
    if call is not None:
        # The fax may be deleted before its pages are on an invoice; the call stays.
        call.fax_pages = attempt.pages_done
    if call is not None and call.ended_at is None:
        call.answered_at, call.ended_at = ending.answered_at, ending.ended_at
        call.result = "fax" if ending.result is FaxResultClass.OK else f"fax_{ending.result.value}"
    told = {"result": ending.result.value, "code": ending.code, "pages_done": ending.pages_done}
    session.add(JournalEntry(call_id=attempt_id, at=now(), event="fax_ended", details=told))
    return fax


# ---- what is remembered of destinations ------------------------------------------------------------


async def peer_of(session: AsyncSession, e164: str) -> FaxPeer | None:
    """What worked with the destination lately."""
    peer = await session.get(FaxPeer, e164)
    return peer if peer is not None and peer.expires_at > now() else None


async def remember_peer(
    session: AsyncSession, e164: str, transport: FaxTransport, ecm: bool, max_rate: int, fine: bool
) -> None:
    """These values worked: begin with them next time."""
    values = {
        "transport": transport,
        "ecm": ecm,
        "max_rate": max_rate,
        "fine": fine,
        "expires_at": now() + REMEMBERED_FOR,
    }
    statement = insert_for(session, FaxPeer).values(e164=e164, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["e164"], set_=values))


async def forget_peer(session: AsyncSession, e164: str) -> None:
    """What worked works no more."""
    peer = await session.get(FaxPeer, e164)
    if peer is not None:
        await session.delete(peer)
