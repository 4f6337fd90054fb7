"""Faxes that came in: kept once, however often somebody tries."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.events import append_in
from store.fax_queue import CLOSE_FAX_CALL, REPORT_FAX
from store.jobs import TakenJob, enqueue, finish
from store.models import (
    Call,
    CallerKind,
    Fax,
    FaxDirection,
    FaxResultClass,
    FaxState,
    FaxTransport,
    JournalEntry,
    now,
)

CLOSE_AFTER = timedelta(seconds=15)
"""The control plane writes the call's record by itself, where it was there."""


@dataclass(frozen=True)
class ReceivedFax:
    """What is kept of a fax; files by their names within the media folder, None where no page came."""

    call_id: str
    account_id: str
    number_id: str
    dialled: str
    caller: str | None
    caller_kind: CallerKind
    state: FaxState
    result: FaxResultClass
    code: str
    text: str
    pages: int
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    transport: FaxTransport | None
    remote: str
    rate: int | None
    ecm: bool | None
    resolution: str
    bad_rows: int
    pdf: str | None
    pdf_sha256: str | None
    tiff: str | None
    report: bool
    """Whether anybody is to be told."""


async def is_kept(session: AsyncSession, call_id: str) -> bool:
    """The fax of this call was taken in before."""
    return await session.scalar(select(Fax.id).where(Fax.call_id == call_id)) is not None


async def keep_received(session: AsyncSession, received: ReceivedFax) -> Fax:
    """Write the fax, its news and, where nobody else does, the record of its call."""
    duration = None
    if received.answered_at is not None:
        duration = max(0.0, (received.ended_at - received.answered_at).total_seconds())
    fax = Fax(
        account_id=received.account_id,
        number_id=received.number_id,
        call_id=received.call_id,
        direction=FaxDirection.IN,
        state=received.state,
        other_party=received.caller,
        other_party_kind=received.caller_kind,
        pages=received.pages,
        pages_done=received.pages,
        attempts=1,
        result_class=received.result,
        result_code=received.code[:60],
        result_text=received.text[:300],
        transport=received.transport,
        started_at=received.started_at,
        ended_at=received.ended_at,
        duration_s=duration,
        remote_station=received.remote[:40],
        rate=received.rate,
        ecm=received.ecm,
        resolution=received.resolution[:20],
        bad_rows=received.bad_rows,
        pdf=received.pdf,
        pdf_sha256=received.pdf_sha256,
        tiff=received.tiff,
    )
    session.add(fax)
    await session.flush()
    if received.report:
        enqueue(session, REPORT_FAX, fax.id, fax.account_id)
    told = {"fax_id": fax.id, "pages": fax.pages, "code": received.code, "result": received.result.value}
    session.add(JournalEntry(call_id=received.call_id, at=now(), event="fax_kept", details=told))
    payload = {
        "dialled": received.dialled,
        "answered_at": received.answered_at.isoformat() if received.answered_at else None,
    }
    due = now() + CLOSE_AFTER
    enqueue(session, CLOSE_FAX_CALL, received.call_id, received.account_id, payload, run_at=due)
    said = {"pages": received.pages, "result": received.result.value}
    await append_in(session, fax.account_id, f"fax.{received.state.value}", [fax.id], said)
    return fax


async def close_call(session: AsyncSession, job: TakenJob, node: str) -> None:
    """See that the call of a fax has a record that is closed. Raises LeaseLost."""
    await finish(session, job)
    fax = await session.scalar(select(Fax).where(Fax.call_id == job.subject_id))
    if fax is None:
        return
    answered = job.payload.get("answered_at")
    call = await session.get(Call, job.subject_id)
    if call is None:
        call = Call(
            id=job.subject_id,
            node=node,
            account_id=fax.account_id,
            number_id=fax.number_id,
            dialled=job.payload["dialled"],
            caller=fax.other_party,
            caller_kind=fax.other_party_kind,
            started_at=fax.started_at,
        )
        session.add(call)
    if call.answered_at is None and answered:
        call.answered_at = datetime.fromisoformat(answered)
    if call.ended_at is None:
        call.ended_at, call.result = fax.ended_at, "fax"
    if call.result == "fax" and fax.state is FaxState.FAILED:
        # Who handed it over could not know.
        call.result = "fax_failed"
