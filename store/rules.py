"""留守レポ's rules."""

from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, InUse, NotFound, Unusable, Use
from store.models import (
    NotificationRule,
    PhoneNumber,
    Prompt,
    RingPlan,
    RusurepoRule,
    RusurepoSetting,
    WhenUnanswered,
    Whitelist,
)
from store.pages import Page, PageRequest, read_page
from store.schedules import uses_in_schedules


class RuleFields(TypedDict, total=False):
    """What of a rule may be changed."""

    name: str
    start_prompt_id: str
    end_prompt_id: str
    whitelist_id: str | None
    ring_first_s: int
    whitelisted_unanswered: WhenUnanswered
    notification_rule_id: str | None


async def list_rules(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[RusurepoRule]:
    """Give a page of the account's rules, oldest first; of one number where `number_id` is given."""
    rows = select(RusurepoRule).where(RusurepoRule.account_id == account_id)
    if number_id is not None:
        rows = rows.where(RusurepoRule.number_id == number_id)
    key = (RusurepoRule.created_at, RusurepoRule.id)
    return await read_page(session, rows, key, request, newest_first=False)


async def get_rule(session: AsyncSession, account_id: str, rule_id: str) -> RusurepoRule:
    """Give the rule. Raises NotFound."""
    rule = await session.get(RusurepoRule, rule_id)
    if rule is None or rule.account_id != account_id:
        raise NotFound(rule_id)
    return rule


async def create_rule(
    session: AsyncSession,
    account_id: str,
    number_id: str,
    name: str,
    start_prompt_id: str,
    end_prompt_id: str,
    notification_rule_id: str | None = None,
    whitelist_id: str | None = None,
    ring_first_s: int = 0,
    whitelisted_unanswered: WhenUnanswered = WhenUnanswered.RUSUREPO,
) -> RusurepoRule:
    """Make a rule of a number, from prompts and a whitelist of that number.

    Raises Unusable naming the field, or Conflict `name_taken` where the number has a rule of that name.
    """
    await revisions.bump(session)
    number = await session.get(PhoneNumber, number_id)
    if number is None or number.account_id != account_id:
        raise Unusable("number_id", "not_found")
    rule = RusurepoRule(
        account_id=account_id,
        number_id=number_id,
        name=name,
        start_prompt_id=start_prompt_id,
        end_prompt_id=end_prompt_id,
        notification_rule_id=notification_rule_id,
        whitelist_id=whitelist_id,
        ring_first_s=ring_first_s,
        whitelisted_unanswered=whitelisted_unanswered,
    )
    await _refuse_unusable(session, rule)
    session.add(rule)
    await session.flush()
    return rule


async def change_rule(
    session: AsyncSession, account_id: str, rule_id: str, **changes: Unpack[RuleFields]
) -> RusurepoRule:
    """Set what is given and leave the rest. Raises NotFound, and as `create_rule`."""
    await revisions.bump(session)
    rule = await get_rule(session, account_id, rule_id)
    with session.no_autoflush:
        for field, value in changes.items():
            setattr(rule, field, value)
        await _refuse_unusable(session, rule)
    await session.flush()
    return rule


async def delete_rule(session: AsyncSession, account_id: str, rule_id: str) -> None:
    """Delete the rule. Raises NotFound, or InUse naming the numbers and schedules that have chosen it."""
    await revisions.bump(session)
    rule = await get_rule(session, account_id, rule_id)
    users = select(PhoneNumber).join(RusurepoSetting, RusurepoSetting.number_id == PhoneNumber.id)
    used_by = [
        Use("number", number.id, number.e164)
        for number in await session.scalars(users.where(RusurepoSetting.rule_id == rule_id))
    ]
    used_by += await uses_in_schedules(session, rule)
    ringing = select(PhoneNumber).join(RingPlan, RingPlan.number_id == PhoneNumber.id)
    used_by += [
        Use("number", number.id, number.e164)
        for number in await session.scalars(ringing.where(RingPlan.unanswered_rule_id == rule_id))
        if number.id not in {use.id for use in used_by}
    ]
    if used_by:
        raise InUse(used_by)
    await session.delete(rule)


async def _refuse_unusable(session: AsyncSession, rule: RusurepoRule) -> None:
    for field in ("start_prompt_id", "end_prompt_id"):
        prompt = await session.get(Prompt, getattr(rule, field))
        if prompt is None or prompt.number_id != rule.number_id:
            raise Unusable(field, "not_found")
    if rule.notification_rule_id is not None:
        told = await session.get(NotificationRule, rule.notification_rule_id)
        if told is None or told.account_id != rule.account_id:
            raise Unusable("notification_rule_id", "not_found")
    if rule.whitelist_id is not None:
        whitelist = await session.get(Whitelist, rule.whitelist_id)
        if whitelist is None or whitelist.number_id != rule.number_id:
            raise Unusable("whitelist_id", "not_found")
    others = select(RusurepoRule.id).where(
        RusurepoRule.number_id == rule.number_id, RusurepoRule.name == rule.name, RusurepoRule.id != rule.id
    )
    if await session.scalar(others):
        raise Conflict("name_taken")
