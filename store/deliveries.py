"""Deliveries: one piece of news to one destination each, and what is known of their steps."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Conflict, NotFound
from store.jobs import enqueue
from store.models import Delivery, DeliveryPurpose, DeliveryState, NotificationRule, NotificationService
from store.pages import Page, PageRequest, read_page

REPORT_MESSAGE = "report_message"
"""Kind of job: tell everybody who is to be told of a message (the subject)."""

DELIVER = "deliver"
"""Kind of job: send one delivery (the subject)."""


@dataclass(frozen=True)
class StepRecord:
    """What is known of one step of a delivery, as JSON in its row under the step's name.

    It is written before the step is begun and after it ended, so that whoever comes after a crash knows
    that it may have been done.
    """

    key: str
    """A UUID, the same whenever the step is tried again."""

    begun: bool = False
    """It was begun, and nobody noted how it ended."""

    unanswered: int = 0
    """How often it may have been done without our knowing."""

    provider_id: str = ""
    done_at: str | None = None
    """RFC 3339; None until the far side has confirmed it."""


def step_of(delivery: Delivery, name: str) -> StepRecord:
    """The record of a step, a new one with a key of its own where it was never begun."""
    known = delivery.steps.get(name)
    return StepRecord(**known) if known else StepRecord(key=str(uuid4()))


def set_step(delivery: Delivery, name: str, record: StepRecord) -> None:
    # A new value: the change of a part of the old one would go unnoticed.
    delivery.steps = {**delivery.steps, name: asdict(record)}


@dataclass(frozen=True)
class DeliveryFilter:
    """Which deliveries; None means any. `since` is within the period, `until` is past its end."""

    message_id: str | None = None
    fax_id: str | None = None
    number_id: str | None = None
    service_id: str | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_deliveries(
    session: AsyncSession, account_id: str, wanted: DeliveryFilter, request: PageRequest
) -> Page[Delivery]:
    """Give a page of the account's deliveries, newest first."""
    rows = select(Delivery).where(Delivery.account_id == account_id)
    for column, value in (
        (Delivery.message_id, wanted.message_id),
        (Delivery.fax_id, wanted.fax_id),
        (Delivery.number_id, wanted.number_id),
        (Delivery.service_id, wanted.service_id),
        (Delivery.state, wanted.state),
    ):
        if value is not None:
            rows = rows.where(column == value)
    if wanted.since is not None:
        rows = rows.where(Delivery.created_at >= wanted.since)
    if wanted.until is not None:
        rows = rows.where(Delivery.created_at < wanted.until)
    return await read_page(session, rows, (Delivery.created_at, Delivery.id), request, newest_first=True)


async def get_delivery(session: AsyncSession, account_id: str, delivery_id: str) -> Delivery:
    """Give the delivery. Raises NotFound."""
    delivery = await session.get(Delivery, delivery_id)
    if delivery is None or delivery.account_id != account_id:
        raise NotFound(delivery_id)
    return delivery


def to_service(
    rule: NotificationRule, service: NotificationService, purpose: DeliveryPurpose, **more: Any
) -> Delivery:
    """A delivery to one of the rule's services."""
    return Delivery(
        account_id=rule.account_id,
        purpose=purpose,
        rule_id=rule.id,
        service_id=service.id,
        kind=service.kind,
        label=service.label,
        **more,
    )


def to_address(rule: NotificationRule, address: str, purpose: DeliveryPurpose, **more: Any) -> Delivery:
    """A delivery to one of the rule's mail addresses."""
    return Delivery(
        account_id=rule.account_id,
        purpose=purpose,
        rule_id=rule.id,
        address=address,
        kind="mail",
        label=address,
        **more,
    )


def to_fax_address(number_id: str, account_id: str, address: str, fax_id: str, lane: str) -> Delivery:
    """A delivery of a fax to an address of its number's own settings."""
    return Delivery(
        account_id=account_id,
        purpose=DeliveryPurpose.FAX,
        fax_id=fax_id,
        number_id=number_id,
        address=address,
        kind="mail",
        label=address,
        lane=lane,
    )


async def send_soon(session: AsyncSession, delivery: Delivery) -> None:
    """Keep the delivery and have it sent, behind what waits in its lane."""
    session.add(delivery)
    await session.flush()
    enqueue(session, DELIVER, delivery.id, delivery.account_id, lane=delivery.lane)


async def resend(session: AsyncSession, account_id: str, delivery_id: str) -> Delivery:
    """Try a failed delivery again, without the steps that were done.

    Raises NotFound, Conflict `not_failed` for one that waits or was sent.
    """
    delivery = await get_delivery(session, account_id, delivery_id)
    failed = update(Delivery).where(Delivery.id == delivery.id, Delivery.state == DeliveryState.FAILED)
    # Of two who ask at once, one finds it failed: there is never more than one job for a delivery.
    if not await session.scalar(failed.values(state=DeliveryState.WAITING).returning(Delivery.id)):
        raise Conflict("not_failed")
    await session.refresh(delivery)
    delivery.reason_code = delivery.reason = None
    for name in delivery.steps:
        record = step_of(delivery, name)
        if record.done_at is None:
            set_step(delivery, name, StepRecord(record.key))
    await send_soon(session, delivery)
    return delivery
