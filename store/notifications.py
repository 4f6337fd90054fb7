"""通知設定: rules, their services, and which of these no longer work."""

from datetime import datetime

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from settings import NotificationSettings
from store import revisions
from store.errors import Conflict, InUse, NotFound, Use
from store.models import (
    FaxSetting,
    NotificationRule,
    NotificationService,
    PhoneNumber,
    RusurepoRule,
    now,
)
from store.notification_services import Fields, dump_fields, load_fields
from store.pages import Page, PageRequest, read_page
from store.sealing import seal, unseal

SCOPE = "notifications"
"""Revision that puts the changes of two administrators one after the other."""

MOST_SERVICES = 20


def _of_account(account_id: str) -> Select[NotificationRule]:
    rules = select(NotificationRule).where(NotificationRule.account_id == account_id)
    return rules.options(selectinload(NotificationRule.services)).execution_options(populate_existing=True)


async def list_rules(session: AsyncSession, account_id: str, request: PageRequest) -> Page[NotificationRule]:
    """Give a page of the account's rules, oldest first, each with its `services`."""
    key = (NotificationRule.created_at, NotificationRule.id)
    return await read_page(session, _of_account(account_id), key, request, newest_first=False)


async def get_rule(session: AsyncSession, account_id: str, rule_id: str) -> NotificationRule:
    """Give the rule with its `services`. Raises NotFound."""
    rule = await session.scalar(_of_account(account_id).where(NotificationRule.id == rule_id))
    if rule is None:
        raise NotFound(rule_id)
    return rule


async def create_rule(
    session: AsyncSession, account_id: str, name: str, mail_addresses: list[str]
) -> NotificationRule:
    """Make a rule without services. Raises Conflict `name_taken`."""
    await revisions.bump(session, SCOPE)
    rule = NotificationRule(account_id=account_id, name=name, mail_addresses=mail_addresses)
    await _refuse_taken(session, rule, name)
    session.add(rule)
    await session.flush()
    return await get_rule(session, account_id, rule.id)


async def change_rule(
    session: AsyncSession,
    account_id: str,
    rule_id: str,
    name: str | None = None,
    mail_addresses: list[str] | None = None,
) -> NotificationRule:
    """Set what is given and leave what is None. Raises NotFound, Conflict `name_taken`."""
    await revisions.bump(session, SCOPE)
    rule = await get_rule(session, account_id, rule_id)
    await _refuse_taken(session, rule, name or rule.name)
    rule.name = name or rule.name
    rule.mail_addresses = rule.mail_addresses if mail_addresses is None else mail_addresses
    await session.flush()
    return rule


async def delete_rule(session: AsyncSession, account_id: str, rule_id: str) -> None:
    """Delete the rule and its services. Raises NotFound, or InUse naming what uses it."""
    # Whoever chooses a notification rule for a 留守レポ rule counts there.
    await revisions.bump(session)
    rule = await get_rule(session, account_id, rule_id)
    users = await session.scalars(select(RusurepoRule).where(RusurepoRule.notification_rule_id == rule_id))
    used_by = [Use("rule", user.id, user.name) for user in users]
    fax_users = select(PhoneNumber.id, PhoneNumber.e164).join(FaxSetting)
    fax_users = fax_users.where(FaxSetting.notification_rule_id == rule_id)
    used_by += [Use("number", *user) for user in await session.execute(fax_users)]
    if used_by:
        raise InUse(used_by)
    await session.execute(delete(NotificationService).where(NotificationService.rule_id == rule_id))
    await session.delete(rule)


async def get_service(
    session: AsyncSession, account_id: str, rule_id: str, service_id: str
) -> NotificationService:
    """Give a service of the account's rule. Raises NotFound."""
    rule = await get_rule(session, account_id, rule_id)
    for service in rule.services:
        if service.id == service_id:
            return service
    raise NotFound(service_id)


async def add_service(
    session: AsyncSession, secret_key: str, account_id: str, rule_id: str, label: str, fields: Fields
) -> NotificationService:
    """Give the rule one more service. Raises NotFound, Conflict `too_many_services`."""
    await revisions.bump(session, SCOPE)
    rule = await get_rule(session, account_id, rule_id)
    there = select(func.count()).where(NotificationService.rule_id == rule.id)
    if (await session.scalar(there) or 0) >= MOST_SERVICES:
        raise Conflict("too_many_services")
    sealed = seal(dump_fields(fields), secret_key)
    service = NotificationService(rule_id=rule_id, kind=fields.kind, label=label, sealed_config=sealed)
    session.add(service)
    await session.flush()
    return service


async def change_service(
    session: AsyncSession, secret_key: str, service: NotificationService, label: str, fields: Fields | None
) -> None:
    """Set label and fields; new fields may work where the old did not. None leaves the fields alone."""
    service.label = label
    if fields is not None:
        service.sealed_config = seal(dump_fields(fields), secret_key)
        _mend(service)
    await session.flush()


async def delete_service(session: AsyncSession, account_id: str, rule_id: str, service_id: str) -> None:
    """Delete a service; what is under way to it fails. Raises NotFound."""
    await session.delete(await get_service(session, account_id, rule_id, service_id))
    await session.flush()


def fields_of(service: NotificationService, secret_key: str, allowed: NotificationSettings) -> Fields:
    """Open what is sealed. Raises SealBroken, or pydantic's ValidationError where it is no longer allowed."""
    return load_fields(unseal(service.sealed_config, secret_key), allowed)


async def break_service(
    session: AsyncSession, service: NotificationService, code: str, reason: str, until: datetime | None
) -> bool:
    """Note that the service no longer works; True where that is news.

    It was `service` as given that failed: one that was edited meanwhile is left alone.
    """
    at = now()
    unedited = (
        NotificationService.id == service.id,
        NotificationService.sealed_config == service.sealed_config,
    )
    works = NotificationService.broken_since.is_(None) | (NotificationService.broken_until <= at)
    flagged = update(NotificationService).where(*unedited, works)
    values = {"broken_since": at, "broken_until": until, "broken_code": code, "broken_reason": reason}
    return (
        await session.execute(flagged.values(values).returning(NotificationService.id))
    ).scalar() is not None


async def mend_service(session: AsyncSession, service_id: str) -> None:
    """Something was delivered there: it works."""
    service = await session.get(NotificationService, service_id)
    if service is not None:
        _mend(service)


def _mend(service: NotificationService) -> None:
    service.broken_since = service.broken_until = service.broken_code = service.broken_reason = None


async def _refuse_taken(session: AsyncSession, rule: NotificationRule, name: str) -> None:
    others = select(NotificationRule.id).where(
        NotificationRule.account_id == rule.account_id,
        NotificationRule.name == name,
        NotificationRule.id != (rule.id or ""),
    )
    if await session.scalar(others):
        raise Conflict("name_taken")
