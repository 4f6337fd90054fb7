"""From a submission's PDF to the pages that its faxes send."""

import asyncio
import hashlib
import logging
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from faxgw.parts import Parts
from faxpages.contents import Cover
from faxpages.errors import DocumentRefused, WorkshopBroken
from faxpages.refusals import TEXTS
from faxpages.workshop import gothic, render
from store import fax_queue
from store.e164 import E164, national
from store.fax_submissions import get_submission, keep_prepared, keep_refused
from store.jobs import TakenJob, finish
from store.media import BadMediaName, Media
from store.models import FaxSubmission, PhoneNumber, SubmissionState, now
from store.worker import Later, retry_s

log = logging.getLogger(__name__)

AWAY_S = 2.0
PAGES_GUESSED = 50


async def prepare_fax(parts: Parts, job: TakenJob) -> None:
    """Make the pages of a submission, as a PDF and as a TIFF. Raises Later."""
    try:
        await _prepare(parts, job)
    except SQLAlchemyError as away:
        raise Later(f"the database: {type(away).__name__}", AWAY_S, counts=False) from away
    except (WorkshopBroken, OSError) as broken:
        # A full disk is empty again one day: nothing is lost.
        raise Later(f"the pages: {broken}", retry_s(job.attempts), counts=False) from broken


def _draw_cover(told: Cover, path: Path) -> None:
    # A cover is seldom drawn, and what draws it is larger than this whole service.
    from faxpages.paper import write_cover

    write_cover(told, path, gothic())


async def _prepare(parts: Parts, job: TakenJob) -> None:
    async with parts.database.session() as session:
        submission = await session.get(FaxSubmission, job.subject_id)
        if submission is None or submission.state is not SubmissionState.PREPARING:
            await finish(session, job)
            return
        _, faxes = await get_submission(session, submission.account_id, submission.id)
        number = await session.get_one(PhoneNumber, submission.number_id)
    draft = parts.work / submission.id
    files = [draft.with_suffix(suffix) for suffix in (".cover.pdf", ".tif", ".pdf")]
    cover, tiff, pdf = files
    await asyncio.to_thread(lambda: parts.work.mkdir(parents=True, exist_ok=True))
    try:
        document = parts.media.path(submission.document)
        if not await asyncio.to_thread(document.is_file):
            raise DocumentRefused("pdf_damaged")
        pdfs = [document]
        if submission.cover is not None:
            to = [national(E164(fax.other_party or "")) for fax in faxes]
            told = Cover(**submission.cover, sender=national(E164(number.e164)), to=tuple(to), at=now())
            await asyncio.to_thread(_draw_cover, told, cover)
            pdfs.insert(0, cover)
        pages = await render(pdfs, PAGES_GUESSED, tiff, pdf)
        names = f"faxes/{submission.created_at:%Y/%m/%d}/{submission.id}"
        digest = await asyncio.to_thread(partial(_keep, parts.media, pdf, tiff, names))
        async with parts.database.session() as session:
            await keep_prepared(session, job, f"{names}.pdf", digest, f"{names}.tif", pages)
    except (DocumentRefused, BadMediaName) as refused:
        code = refused.code if isinstance(refused, DocumentRefused) else "pdf_damaged"
        async with parts.database.session() as session:
            await keep_refused(session, job, code, TEXTS[code])
    finally:
        await asyncio.to_thread(_remove, files)


def _keep(media: Media, pdf: Path, tiff: Path, names: str) -> str:
    """Give the files their lasting names; the PDF's SHA-256."""
    media.take(tiff, f"{names}.tif")
    media.take(pdf, f"{names}.pdf")
    return hashlib.sha256(pdf.read_bytes()).hexdigest()


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


async def release_fax(parts: Parts, job: TakenJob) -> None:
    """A fax's time has come. Raises Later."""
    try:
        async with parts.database.session() as session:
            await fax_queue.release(session, job)
    except (SQLAlchemyError, OSError) as away:
        raise Later(f"the database: {type(away).__name__}", AWAY_S, counts=False) from away
