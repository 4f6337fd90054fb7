"""Fan-out: from a fax to one delivery for each address and service that its number's settings name."""

from sqlalchemy.ext.asyncio import AsyncSession

from notify.parts import Parts
from notify.report import lane_of, mail_deliveries
from store.deliveries import send_soon, to_fax_address, to_service
from store.errors import NotFound
from store.jobs import TakenJob, finish
from store.models import Delivery, DeliveryPurpose, Fax, FaxSetting, FaxState, JournalEntry, now
from store.notification_services import MailFields
from store.notifications import get_rule

TOLD = (FaxState.RECEIVED, FaxState.PARTIAL, FaxState.SENT, FaxState.FAILED)


async def report_fax(parts: Parts, job: TakenJob) -> None:
    """Write every delivery of a fax, once: all of them are kept with the end of this job, or none."""
    async with parts.fan_out, parts.database.session() as session:
        fax = await session.get(Fax, job.subject_id)
        if fax is not None and fax.state in TOLD:
            deliveries = await _deliveries(parts, session, fax)
            for delivery in deliveries:
                await send_soon(session, delivery)
            if fax.call_id is not None:
                told = {"deliveries": len(deliveries)}
                session.add(JournalEntry(call_id=fax.call_id, at=now(), event="reported", details=told))
        await finish(session, job)


async def _deliveries(parts: Parts, session: AsyncSession, fax: Fax) -> list[Delivery]:
    """Nobody is told twice at one address."""
    setting = await session.get(FaxSetting, fax.number_id)
    if setting is None:
        return []
    found = [
        to_fax_address(fax.number_id, fax.account_id, address, fax.id, _mail_lane(parts, address))
        for address in setting.mail_addresses
    ]
    addressed = {address.lower() for address in setting.mail_addresses}
    if setting.notification_rule_id is not None:
        try:
            rule = await get_rule(session, fax.account_id, setting.notification_rule_id)
        except NotFound:
            return found
        about = {"fax_id": fax.id, "number_id": fax.number_id}
        purpose = DeliveryPurpose.FAX
        found += [
            to_service(rule, service, purpose, lane=lane_of(parts, service), **about)
            for service in rule.services
        ]
        mails = mail_deliveries(parts, rule, purpose, **about)
        found += [mail for mail in mails if (mail.address or "").lower() not in addressed]
    return found


def _mail_lane(parts: Parts, address: str) -> str:
    return parts.build(MailFields.model_construct(address=address)).lane
