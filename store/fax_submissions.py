"""Documents that go out as faxes: taken, made ready, cancelled, sent again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store import revisions
from store.e164 import E164, is_japanese
from store.errors import Conflict, NotFound, Unusable
from store.fax_queue import PREPARE_FAX, end_fax, queue_fax
from store.fax_settings import get_fax_setting, refuse_device, use_of
from store.jobs import TakenJob, enqueue, finish
from store.models import (
    Fax,
    FaxDirection,
    FaxResultClass,
    FaxState,
    FaxSubmission,
    FaxUse,
    SubmissionState,
    now,
)
from store.pages import Page, PageRequest, read_page

SCOPE = "fax_submissions"
"""Revision that puts those who submit one after the other: of two with one key only the first counts."""

MOST_DESTINATIONS = 100
PREMIUM = ("+81990", "+81570")
"""Numbers that cost their caller more than a call."""

UNDER_WAY = (FaxState.PREPARING, FaxState.WAITING, FaxState.DIALLING, FaxState.SENDING)


@dataclass(frozen=True)
class NewSubmission:
    """What is to be sent. `document` is the PDF's name within the media folder."""

    number_id: str
    destinations: Sequence[E164]
    document: str
    by: str
    file_name: str = ""
    device_id: str | None = None
    cover: dict[str, Any] | None = None
    send_at: datetime | None = None
    idempotency_key: str | None = None
    request_sha256: str | None = None


async def known_submission(
    session: AsyncSession, account_id: str, key: str, request_sha256: str
) -> FaxSubmission | None:
    """What was submitted under the key. Raises Conflict `idempotency_key_reused` for another request."""
    mine = (FaxSubmission.account_id == account_id, FaxSubmission.idempotency_key == key)
    found = await session.scalar(select(FaxSubmission).where(*mine))
    if found is not None and found.request_sha256 != request_sha256:
        raise Conflict("idempotency_key_reused")
    return found


async def submit(session: AsyncSession, account_id: str, wanted: NewSubmission) -> FaxSubmission:
    """Take a document for its destinations, or give what was taken under the same key before.

    Raises NotFound, Unusable for number and destinations, Conflict `fax_access_denied` and
    `idempotency_key_reused`.
    """
    await revisions.bump(session, SCOPE)
    if wanted.idempotency_key is not None:
        key, digest = wanted.idempotency_key, wanted.request_sha256 or ""
        if known := await known_submission(session, account_id, key, digest):
            return known
    await check_sender(session, account_id, wanted.number_id, wanted.device_id)
    submission = FaxSubmission(
        account_id=account_id,
        number_id=wanted.number_id,
        device_id=wanted.device_id,
        submitted_by=wanted.by,
        file_name=wanted.file_name,
        document=wanted.document,
        cover=wanted.cover,
        send_at=wanted.send_at,
        idempotency_key=wanted.idempotency_key,
        request_sha256=wanted.request_sha256,
    )
    session.add(submission)
    await session.flush()
    for destination in check_destinations(wanted.destinations):
        session.add(_new_fax(submission, destination, FaxState.PREPARING))
    await session.flush()
    enqueue(session, PREPARE_FAX, submission.id, account_id)
    return submission


async def check_sender(session: AsyncSession, account_id: str, number_id: str, device_id: str | None) -> None:
    """Raises Unusable `not_found`, `not_a_fax_number`, NotFound, Conflict `fax_access_denied`."""
    try:
        number, setting = await get_fax_setting(session, account_id, number_id)
    except NotFound:
        raise Unusable("number_id", "not_found") from None
    if use_of(number, setting) is FaxUse.NONE:
        raise Unusable("number_id", "not_a_fax_number")
    if device_id is not None:
        await refuse_device(session, account_id, number_id, device_id)


def check_destinations(destinations: Sequence[E164]) -> list[E164]:
    """Each once, in order. Raises Unusable."""
    once = list(dict.fromkeys(destinations))
    if not once:
        raise Unusable("destinations", "too_few_destinations")
    if len(once) > MOST_DESTINATIONS:
        raise Unusable("destinations", "too_many_destinations")
    for destination in once:
        if not is_japanese(destination) or destination.startswith(PREMIUM):
            raise Unusable("destinations", "destination_not_allowed")
    return once


def _new_fax(submission: FaxSubmission, destination: str, state: FaxState) -> Fax:
    return Fax(
        account_id=submission.account_id,
        number_id=submission.number_id,
        submission_id=submission.id,
        direction=FaxDirection.OUT,
        state=state,
        other_party=destination,
        file_name=submission.file_name,
        pages=submission.pages,
        pdf=submission.pdf,
        pdf_sha256=submission.pdf_sha256,
        tiff=submission.tiff,
        started_at=submission.send_at or now(),
        read_at=now(),
    )


async def keep_prepared(
    session: AsyncSession, job: TakenJob, pdf: str, pdf_sha256: str, tiff: str, pages: int
) -> None:
    """The document is ready: its faxes go into the queue. Raises LeaseLost."""
    await finish(session, job)
    submission = await session.get_one(FaxSubmission, job.subject_id)
    submission.state = SubmissionState.READY
    submission.pdf, submission.pdf_sha256 = pdf, pdf_sha256
    submission.tiff, submission.pages = tiff, pages
    for fax in await _faxes_of(session, submission.id, FaxState.PREPARING):
        fax.pdf, fax.pdf_sha256, fax.tiff, fax.pages = pdf, pdf_sha256, tiff, pages
        queue_fax(session, fax, submission.send_at)


async def keep_refused(session: AsyncSession, job: TakenJob, code: str, text: str) -> None:
    """The document cannot be sent after all. Raises LeaseLost."""
    await finish(session, job)
    submission = await session.get_one(FaxSubmission, job.subject_id)
    submission.state, submission.refusal = SubmissionState.REFUSED, code
    for fax in await _faxes_of(session, submission.id, FaxState.PREPARING):
        end_fax(session, fax, FaxState.FAILED, FaxResultClass.BAD_DOCUMENT, code, text)


async def _faxes_of(session: AsyncSession, submission_id: str, state: FaxState | None = None) -> list[Fax]:
    faxes = select(Fax).where(Fax.submission_id == submission_id).order_by(Fax.created_at, Fax.id)
    if state is not None:
        faxes = faxes.where(Fax.state == state).with_for_update()
    return list(await session.scalars(faxes.options(joinedload(Fax.number, innerjoin=True))))


async def list_submissions(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[FaxSubmission]:
    """Give a page of the account's submissions, newest first."""
    rows = select(FaxSubmission).where(FaxSubmission.account_id == account_id)
    if number_id is not None:
        rows = rows.where(FaxSubmission.number_id == number_id)
    key = (FaxSubmission.created_at, FaxSubmission.id)
    return await read_page(session, rows, key, request, newest_first=True)


async def get_submission(
    session: AsyncSession, account_id: str, submission_id: str
) -> tuple[FaxSubmission, list[Fax]]:
    """The submission and its faxes with their `number`. Raises NotFound."""
    submission = await session.get(FaxSubmission, submission_id)
    if submission is None or submission.account_id != account_id:
        raise NotFound(submission_id)
    return submission, await _faxes_of(session, submission_id)


async def cancel_submission(session: AsyncSession, account_id: str, submission_id: str) -> int:
    """Cancel those that are not over; how many. Raises NotFound."""
    _, faxes = await get_submission(session, account_id, submission_id)
    return sum([await _cancel(session, fax) for fax in faxes])


async def cancel_fax(session: AsyncSession, account_id: str, fax_id: str) -> None:
    """Cancel a fax: at once where it waits, else its call is ended. Raises NotFound, Conflict `fax_over`."""
    fax = await session.get(Fax, fax_id)
    if fax is None or fax.account_id != account_id:
        raise NotFound(fax_id)
    if not await _cancel(session, fax):
        raise Conflict("fax_over")


async def _cancel(session: AsyncSession, fax: Fax) -> bool:
    # Whoever is about to dial it sees that it was cancelled, or we see that it is dialled.
    waiting = update(Fax).where(Fax.id == fax.id, Fax.state.in_((FaxState.PREPARING, FaxState.WAITING)))
    waiting = waiting.values(state=FaxState.CANCELLED).execution_options(synchronize_session=False)
    if await session.scalar(waiting.returning(Fax.id)):
        await session.refresh(fax)
        end_fax(
            session, fax, FaxState.CANCELLED, FaxResultClass.CANCELLED, "cancelled", "送信を取り消しました。"
        )
        return True
    asked = update(Fax).where(Fax.id == fax.id, Fax.state.in_((FaxState.DIALLING, FaxState.SENDING)))
    asked = asked.values(cancel_asked=True).execution_options(synchronize_session=False)
    return await session.scalar(asked.returning(Fax.id)) is not None


async def resend_fax(session: AsyncSession, account_id: str, fax_id: str, by: str) -> FaxSubmission:
    """Send the same pages to the same destination again, as a new submission.

    Raises NotFound, Conflict `not_resendable` for one that came in, is under way or has no pages.
    """
    await revisions.bump(session, SCOPE)
    fax = await session.get(Fax, fax_id)
    if fax is None or fax.account_id != account_id:
        raise NotFound(fax_id)
    if fax.direction is not FaxDirection.OUT or fax.state in UNDER_WAY or not fax.tiff or not fax.other_party:
        raise Conflict("not_resendable")
    await check_sender(session, account_id, fax.number_id, None)
    earlier = await session.get_one(FaxSubmission, fax.submission_id)
    again = FaxSubmission(
        account_id=account_id,
        number_id=fax.number_id,
        submitted_by=by,
        state=SubmissionState.READY,
        file_name=fax.file_name,
        document=earlier.document,
        cover=earlier.cover,
        pdf=fax.pdf,
        pdf_sha256=fax.pdf_sha256,
        tiff=fax.tiff,
        pages=fax.pages,
    )
    session.add(again)
    await session.flush()
    anew = _new_fax(again, fax.other_party, FaxState.WAITING)
    session.add(anew)
    await session.flush()
    queue_fax(session, anew, None)
    return again
