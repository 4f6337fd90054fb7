"""Fan-out: from a message to one delivery for each destination of the rule that took its call."""

import logging

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from notify.parts import Parts
from store.deliveries import send_soon, to_address, to_service
from store.errors import NotFound, SealBroken
from store.jobs import TakenJob, enqueue, finish
from store.models import (
    Delivery,
    DeliveryPurpose,
    JournalEntry,
    NotificationRule,
    NotificationService,
    RusurepoRule,
    VoiceMessage,
    now,
)
from store.notification_services import MailFields
from store.notifications import fields_of, get_rule
from store.signals import TEXT_DEVICES

log = logging.getLogger(__name__)


async def report_message(parts: Parts, job: TakenJob) -> None:
    """Write every delivery of a message, once: all of them are kept with the end of this job, or none.

    Devices are told always, and alone where the rule names no notification rule.
    """
    async with parts.fan_out, parts.database.session() as session:
        message = await session.get(VoiceMessage, job.subject_id)
        if message is not None:
            rule = await _rule_of(session, message)
            deliveries = message_deliveries(parts, rule, message) if rule else []
            for delivery in deliveries:
                await send_soon(session, delivery)
            enqueue(session, TEXT_DEVICES, message.id, message.account_id)
            told = {"deliveries": len(deliveries)}
            session.add(JournalEntry(call_id=message.call_id, at=now(), event="reported", details=told))
        await finish(session, job)


async def _rule_of(session: AsyncSession, message: VoiceMessage) -> NotificationRule | None:
    took = await session.get(RusurepoRule, message.rule_id) if message.rule_id else None
    if took is None or took.notification_rule_id is None:
        return None
    try:
        return await get_rule(session, message.account_id, took.notification_rule_id)
    except NotFound:
        return None


def message_deliveries(parts: Parts, rule: NotificationRule, message: VoiceMessage) -> list[Delivery]:
    """One delivery for each service and each mail address."""
    about = {"message_id": message.id, "number_id": message.number_id}
    purpose = DeliveryPurpose.MESSAGE
    return [
        *(
            to_service(rule, service, purpose, lane=lane_of(parts, service), **about)
            for service in rule.services
        ),
        *mail_deliveries(parts, rule, purpose, **about),
    ]


def mail_deliveries(
    parts: Parts, rule: NotificationRule, purpose: DeliveryPurpose, **about: str | None
) -> list[Delivery]:
    """One delivery for each mail address of the rule."""
    return [
        to_address(
            rule,
            address,
            purpose,
            lane=parts.build(MailFields.model_construct(address=address)).lane,
            **about,
        )
        for address in rule.mail_addresses
    ]


def lane_of(parts: Parts, service: NotificationService) -> str | None:
    """The service's lane; None where its settings cannot be read, which delivering will tell."""
    try:
        return parts.build(fields_of(service, parts.secret_key, parts.allowed)).lane
    except (SealBroken, ValidationError):
        return None
