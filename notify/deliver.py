"""Delivering: one notice to one destination, step by step.

Before a step is begun its key is committed, and after it ended what the far side said: a process killed in
between leaves a step that may have been done, and whoever comes next knows that. A step that was done is
never begun again.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from notify.notices import fax_notice, message_notice, test_notice, warning_notice
from notify.parts import Parts
from notify.report import mail_deliveries
from notify.service import Failure, Notice, Service, Step, Unanswered
from notify.verdicts import Again, Over, code_of, verdict_of
from store.database import Database
from store.deliveries import StepRecord, send_soon, set_step, step_of
from store.errors import NotFound, SealBroken
from store.events import append_in
from store.fax_reports import report_of_fax
from store.jobs import LeaseLost, TakenJob, bury, finish, refuse_lost
from store.message_reports import report_of
from store.models import (
    Delivery,
    DeliveryPurpose,
    DeliveryState,
    Fax,
    JournalEntry,
    NotificationRule,
    NotificationService,
    VoiceMessage,
    now,
)
from store.notification_services import MailFields
from store.notifications import break_service, fields_of, get_rule, mend_service
from store.worker import Later

log = logging.getLogger(__name__)

AWAY_S = 2.0
NOTE_AGAIN_S = 0.5
LONGEST_PROVIDER_ID = 200

MESSAGE_GONE = "メッセージが削除されたため、送信しませんでした。"
FAX_GONE = "FAXが削除されたため、送信しませんでした。"
SERVICE_GONE = "通知ルールまたは通知サービスが削除されたため、送信しませんでした。"
SERVICE_BROKEN = "この通知サービスには送信できない状態のため、送信しませんでした: "
UNREADABLE = "通知サービスの設定を読み取れません。設定し直してください。"
UNKNOWN = "予期しない問題が発生し、届いたかどうか確認できませんでした。"
NOT_KNOWN = "送信の途中で中断し、届いたかどうか確認できませんでした。"


class Undeliverable(Exception):
    """There is nothing to send, or nowhere to send it to."""

    def __init__(self, code: str, reason: str, breaks: bool = False) -> None:
        super().__init__(code)
        self.code, self.reason, self.breaks = code, reason, breaks


@dataclass(frozen=True)
class Errand:
    """A delivery, ready to be made."""

    delivery: Delivery
    service: Service
    notice: Notice
    row: NotificationService | None
    """Where it goes, when that is a service and no mail address."""


async def deliver(parts: Parts, job: TakenJob) -> None:
    """Make the delivery, as far as it is not made yet. Raises Later."""
    try:
        await _deliver(parts, job)
    except (SQLAlchemyError, OSError) as away:
        # However long it is away, no try is used up: nothing was tried.
        raise Later(f"the database: {type(away).__name__}", AWAY_S, counts=False) from away


async def _deliver(parts: Parts, job: TakenJob) -> None:
    async with parts.database.session() as session:
        delivery = await session.get(Delivery, job.subject_id)
        if delivery is None or delivery.state is not DeliveryState.WAITING:
            await finish(session, job)
            return
    try:
        errand = await _prepare(parts, delivery)
    except Undeliverable as reason:
        await _give_up(parts, job, delivery, reason)
        return
    for step in errand.service.steps(errand.notice):
        if step_of(delivery, step).done_at is None:
            # A step that is out goes on when we are told to stop: its end must be noted.
            out = asyncio.ensure_future(_do_step(parts, job, errand, step))
            parts.keep_until_done(out)
            if not await asyncio.shield(out):
                return
    await _finish(parts, job, delivery)


# ---- what to send, and where ---------------------------------------------------------------------


async def _prepare(parts: Parts, delivery: Delivery) -> Errand:
    """Raises Undeliverable."""
    async with parts.database.session() as session:
        rule, row = await _destination(session, delivery)
        if delivery.address is None and row is not None:
            if delivery.purpose is not DeliveryPurpose.TEST and row.is_broken(now()):
                raise Undeliverable("service_broken", SERVICE_BROKEN + (row.broken_reason or ""))
            try:
                service = parts.build(fields_of(row, parts.secret_key, parts.allowed))
            except (SealBroken, ValidationError):
                raise Undeliverable("bad_settings", UNREADABLE, breaks=True) from None
        else:
            service = parts.build(MailFields.model_construct(address=delivery.address or ""))
        make = await _what(parts, session, delivery, rule, row)
    notice = await asyncio.to_thread(make)
    return Errand(delivery, service, notice, row if delivery.address is None else None)


async def _destination(
    session: AsyncSession, delivery: Delivery
) -> tuple[NotificationRule | None, NotificationService | None]:
    """The delivery's rule and its service: where it goes to, or for a warning what it is about.

    Neither, where it goes to an address of a number's fax settings.
    """
    if delivery.rule_id is None:
        return None, None
    try:
        rule = await get_rule(session, delivery.account_id, delivery.rule_id)
    except NotFound:
        raise Undeliverable("service_gone", SERVICE_GONE) from None
    if delivery.service_id is None:
        return rule, None
    for row in rule.services:
        if row.id == delivery.service_id:
            return rule, row
    raise Undeliverable("service_gone", SERVICE_GONE)


async def _what(
    parts: Parts,
    session: AsyncSession,
    delivery: Delivery,
    rule: NotificationRule | None,
    row: NotificationService | None,
) -> Callable[[], Notice]:
    """How to make the notice: it reads a file, so it is made in a thread."""
    if delivery.purpose is DeliveryPurpose.FAX:
        return await _fax(parts, session, delivery)
    if rule is not None and delivery.purpose is DeliveryPurpose.TEST and row is not None:
        return lambda: test_notice(rule, row, parts.test_sound)
    if rule is not None and delivery.purpose is DeliveryPurpose.WARNING and row is not None:
        return lambda: warning_notice(rule, row)
    message = await session.get(VoiceMessage, delivery.message_id) if delivery.message_id else None
    if message is None:
        raise Undeliverable("message_gone", MESSAGE_GONE)
    report = await report_of(session, message, parts.portal_url)
    return lambda: message_notice(message, report, parts.media.path(message.media))


async def _fax(parts: Parts, session: AsyncSession, delivery: Delivery) -> Callable[[], Notice]:
    fax = await session.get(Fax, delivery.fax_id) if delivery.fax_id else None
    if fax is None:
        raise Undeliverable("fax_gone", FAX_GONE)
    report = await report_of_fax(session, fax, parts.portal_url)
    pdf = parts.media.path(fax.pdf) if fax.pdf else None
    return lambda: fax_notice(fax, report, pdf)


# ---- one step ------------------------------------------------------------------------------------


async def _do_step(parts: Parts, job: TakenJob, errand: Errand, step: Step) -> bool:
    """Begin the step, do it, note how it ended; False where that ends the delivery. Raises Later."""
    delivery = errand.delivery
    record = step_of(delivery, step)
    if record.begun:
        # Somebody died in the middle of it: it may have been done.
        record = replace(record, begun=False, unanswered=record.unanswered + 1)
        verdict = _judge(errand, job, Unanswered(NOT_KNOWN), record)
        if isinstance(verdict, Over):
            await _step_failed(parts, job, errand, step, record, Unanswered(NOT_KNOWN))
            return False
    await _begin(parts.database, job, delivery, step, replace(record, begun=True))
    outcome = await _send(errand, step, record.key)
    if isinstance(outcome, Failure):
        failed = replace(record, unanswered=record.unanswered + isinstance(outcome, Unanswered))
        await _insist(lambda: _step_failed(parts, job, errand, step, failed, outcome))
        return False
    done = replace(record, begun=False, provider_id=outcome[:LONGEST_PROVIDER_ID], done_at=now().isoformat())
    await _insist(lambda: _note(parts.database, delivery, step, done))
    return True


async def _send(errand: Errand, step: Step, key: str) -> str | Failure:
    """The provider's id, or why there is none."""
    steps = errand.delivery.steps
    earlier = {name: step_of(errand.delivery, name).provider_id for name in steps if name != step}
    try:
        return await errand.service.send(step, errand.notice, key, earlier)
    except Failure as failure:
        return failure
    except Exception as mistake:
        # Where, not what: its words may hold a secret or what somebody said.
        where = traceback.extract_tb(mistake.__traceback__)[-1]
        said = (type(mistake).__name__, where.filename, where.lineno)
        log.error("a service failed: %s at %s:%s", *said, extra={"action": "service_failed"})
        return Unanswered(UNKNOWN)


async def _begin(
    database: Database, job: TakenJob, delivery: Delivery, step: Step, record: StepRecord
) -> None:
    set_step(delivery, step, record)
    async with database.session() as session:
        await refuse_lost(session, job)
        row = await _row(session, delivery)
        row.steps = delivery.steps
        row.attempts += 1
        row.last_attempt_at = now()


async def _row(session: AsyncSession, delivery: Delivery) -> Delivery:
    row = await session.get(Delivery, delivery.id)
    if row is None:
        raise LeaseLost(delivery.id)
    return row


async def _note(database: Database, delivery: Delivery, step: Step, record: StepRecord) -> None:
    set_step(delivery, step, record)
    async with database.session() as session:
        row = await _row(session, delivery)
        row.steps = delivery.steps


async def _step_failed(
    parts: Parts, job: TakenJob, errand: Errand, step: Step, record: StepRecord, failure: Failure
) -> None:
    """Note the failure, then try again later or never. Raises Later."""
    delivery = errand.delivery
    await _note(parts.database, delivery, step, record)
    match _judge(errand, job, failure, record):
        case Again(after_s, counts):
            async with parts.database.session() as session:
                row = await _row(session, delivery)
                row.reason_code, row.reason = code_of(failure), failure.reason[:500]
            raise Later(code_of(failure), after_s, counts)
        case Over(breaks, until):
            gone = Undeliverable(code_of(failure), failure.reason, breaks)
            await _give_up(parts, job, delivery, gone, errand.row, until)


def _judge(errand: Errand, job: TakenJob, failure: Failure, record: StepRecord) -> Again | Over:
    at = now()
    waited_s = (at - job.created_at).total_seconds()
    knows = errand.service.knows_repeats
    verdict = verdict_of(failure, job.attempts, waited_s, record.unanswered, knows, at)
    if errand.delivery.purpose is DeliveryPurpose.TEST and isinstance(verdict, Again):
        # Somebody waits in front of the screen.
        return Over()
    return verdict


async def _insist(note: Callable[[], Awaitable[None]]) -> None:
    """What is not noted would be sent again: wait for the database, however long it is away."""
    while True:
        try:
            await note()
            return
        except (SQLAlchemyError, OSError) as away:
            log.warning("a step cannot be noted: %s", type(away).__name__, extra={"action": "step_not_noted"})
            await asyncio.sleep(NOTE_AGAIN_S)


# ---- endings -------------------------------------------------------------------------------------


async def _finish(parts: Parts, job: TakenJob, delivery: Delivery) -> None:
    async with parts.database.session() as session:
        row = await _row(session, delivery)
        row.state, row.sent_at = DeliveryState.SENT, now()
        row.reason_code = row.reason = None
        if row.purpose is DeliveryPurpose.TEST and row.service_id:
            await mend_service(session, row.service_id)
        await _tell_journal(session, row, "notified", kind=row.kind, delivery_id=row.id)
        await finish(session, job)
        await _tell_followers(session, row)


async def _give_up(
    parts: Parts,
    job: TakenJob,
    delivery: Delivery,
    reason: Undeliverable,
    broken: NotificationService | None = None,
    until: datetime | None = None,
) -> None:
    async with parts.database.session() as session:
        row = await _row(session, delivery)
        row.state = DeliveryState.FAILED
        row.reason_code, row.reason = reason.code, reason.reason[:500]
        if reason.breaks and row.address is None:
            await _break(parts, session, row, reason, broken, until)
        told = {"kind": row.kind, "delivery_id": row.id, "code": reason.code}
        await _tell_journal(session, row, "notification_failed", **told)
        await bury(session, job, f"{reason.code}: {reason.reason}")
        await _tell_followers(session, row)


async def _break(
    parts: Parts,
    session: AsyncSession,
    delivery: Delivery,
    reason: Undeliverable,
    service: NotificationService | None,
    until: datetime | None,
) -> None:
    """Flag the service, and where that is news warn the rule's mail addresses, once."""
    if delivery.rule_id is None:
        return
    with suppress(NotFound):
        rule = await get_rule(session, delivery.account_id, delivery.rule_id)
        service = service or next((one for one in rule.services if one.id == delivery.service_id), None)
        if service and await break_service(session, service, reason.code, reason.reason[:500], until):
            log.warning("a notification service is broken", extra={"action": "service_broken"})
            for warning in mail_deliveries(parts, rule, DeliveryPurpose.WARNING, service_id=service.id):
                await send_soon(session, warning)


async def _tell_followers(session: AsyncSession, delivery: Delivery) -> None:
    told = {"kind": delivery.kind, "message_id": delivery.message_id, "reason_code": delivery.reason_code}
    await append_in(session, delivery.account_id, f"delivery.{delivery.state.value}", [delivery.id], told)


async def _tell_journal(session: AsyncSession, delivery: Delivery, event: str, **details: str) -> None:
    """Note it in the call's journal, where it was about a message that is still there."""
    about: VoiceMessage | Fax | None = None
    if delivery.purpose is DeliveryPurpose.MESSAGE and delivery.message_id:
        about = await session.get(VoiceMessage, delivery.message_id)
    elif delivery.purpose is DeliveryPurpose.FAX and delivery.fax_id:
        about = await session.get(Fax, delivery.fax_id)
    if about is not None and about.call_id is not None:
        session.add(JournalEntry(call_id=about.call_id, at=now(), event=event, details=details))
