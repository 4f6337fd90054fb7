"""Mail that another part of the switch has written: an invoice is there, a ceiling is near."""

import asyncio

from notify.parts import Parts
from notify.service import Failure, Notice
from notify.verdicts import Again, code_of, verdict_of
from store.jobs import TakenJob, bury, finish
from store.mails import mail_of
from store.models import now
from store.notification_services import MailFields
from store.worker import Later


async def send_written(parts: Parts, job: TakenJob) -> None:
    """Send the job's mail. Raises Later.

    The Message-ID is the mail's own, so that one which was sent twice can be told.
    """
    # What is out goes on when we are told to stop: its end must be noted, or it would be sent again.
    out = asyncio.ensure_future(_send(parts, job))
    parts.keep_until_done(out)
    await asyncio.shield(out)


async def _send(parts: Parts, job: TakenJob) -> bool:
    mail = mail_of(job.payload)
    service = parts.build(MailFields.model_construct(address=mail.address))
    try:
        await service.send("text", Notice(mail.title, mail.facts, mail.body, mail.link), job.subject_id, {})
    except Failure as failure:
        waited_s = (now() - job.created_at).total_seconds()
        verdict = verdict_of(failure, job.attempts, waited_s, job.attempts, service.knows_repeats, now())
        if isinstance(verdict, Again):
            raise Later(code_of(failure), verdict.after_s, verdict.counts) from None
        async with parts.database.session() as session:
            await bury(session, job, f"{code_of(failure)}: {failure.reason}")
        return False
    async with parts.database.session() as session:
        await finish(session, job)
    return True
