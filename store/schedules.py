"""Schedules: a number's hours, the override that an administrator sets over them, and what applies when."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, NotFound, Unusable, Use
from store.hours import Choice, Override, read_plan, rules_of
from store.models import PhoneNumber, RusurepoRule, RusurepoSetting, Schedule, now
from store.pages import Page, PageRequest, read_page


async def list_schedules(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[Schedule]:
    """Give a page of the account's schedules, oldest first; that of one number where `number_id` is given."""
    rows = select(Schedule).where(Schedule.account_id == account_id)
    if number_id is not None:
        rows = rows.where(Schedule.number_id == number_id)
    return await read_page(session, rows, (Schedule.created_at, Schedule.id), request, newest_first=False)


async def get_schedule(session: AsyncSession, account_id: str, schedule_id: str) -> Schedule:
    """Give the schedule. Raises NotFound."""
    schedule = await session.get(Schedule, schedule_id)
    if schedule is None or schedule.account_id != account_id:
        raise NotFound(schedule_id)
    return schedule


async def create_schedule(
    session: AsyncSession, account_id: str, number_id: str, enabled: bool, plan: dict[str, Any]
) -> Schedule:
    """Give a number its schedule; `plan` as `store.hours.read_plan` reads it.

    Raises Unusable naming the field, or Conflict `schedule_exists`.
    """
    await revisions.bump(session)
    number = await session.get(PhoneNumber, number_id)
    if number is None or number.account_id != account_id:
        raise Unusable("number_id", "not_found")
    if await session.scalar(select(Schedule.id).where(Schedule.number_id == number_id)):
        raise Conflict("schedule_exists")
    await _refuse_foreign_rules(session, number_id, plan)
    schedule = Schedule(account_id=account_id, number_id=number_id, enabled=enabled, plan=plan)
    session.add(schedule)
    await session.flush()
    return schedule


async def change_schedule(
    session: AsyncSession, account_id: str, schedule_id: str, enabled: bool | None, plan: dict[str, Any]
) -> Schedule:
    """Set `enabled` where it is given, and the parts of the plan that are in `plan`.

    Switched off, it loses its override. Raises NotFound, Unusable.
    """
    await revisions.bump(session)
    schedule = await get_schedule(session, account_id, schedule_id)
    if plan:
        await _refuse_foreign_rules(session, schedule.number_id, plan)
        schedule.plan = {**schedule.plan, **plan}
    if enabled is not None:
        schedule.enabled = enabled
    if not schedule.enabled:
        _take_back(schedule)
    await session.flush()
    return schedule


async def delete_schedule(session: AsyncSession, account_id: str, schedule_id: str) -> None:
    """Delete it; the number follows its own setting again. Raises NotFound."""
    await revisions.bump(session)
    await session.delete(await get_schedule(session, account_id, schedule_id))


async def set_override(
    session: AsyncSession, account_id: str, schedule_id: str, override: Override
) -> Schedule:
    """Have `override` apply from now on instead of the hours.

    Raises NotFound, Conflict `schedule_off`, Unusable for a rule of another number or an end that has passed.
    """
    await revisions.bump(session)
    schedule = await get_schedule(session, account_id, schedule_id)
    if not schedule.enabled:
        raise Conflict("schedule_off")
    if override.until is not None and override.until <= now():
        raise Unusable("until", "past")
    if override.rule_id is not None:
        await _refuse_foreign_rule(session, schedule.number_id, override.rule_id, "rule_id")
    schedule.overridden = True
    schedule.override_rule_id, schedule.override_until = override.rule_id, override.until
    await session.flush()
    return schedule


async def end_override(session: AsyncSession, account_id: str, schedule_id: str) -> None:
    """Let the hours decide again. That they do already is no error. Raises NotFound."""
    await revisions.bump(session)
    _take_back(await get_schedule(session, account_id, schedule_id))


def override_of(schedule: Schedule, at: datetime) -> Override | None:
    """The override that has not passed at `at`."""
    if not schedule.overridden or (schedule.override_until is not None and schedule.override_until <= at):
        return None
    return Override(schedule.override_rule_id, schedule.override_until)


async def choice_of(session: AsyncSession, schedule: Schedule) -> Choice:
    """Give all that decides which rule the schedule's number follows."""
    setting = await session.get(RusurepoSetting, schedule.number_id)
    manual = setting.rule_id if setting is not None and setting.enabled else None
    if not schedule.enabled:
        return Choice(manual)
    override = Override(schedule.override_rule_id, schedule.override_until) if schedule.overridden else None
    return Choice(manual, read_plan(schedule.plan), override)


async def uses_in_schedules(session: AsyncSession, rule: RusurepoRule) -> list[Use]:
    """Say which schedule needs the rule. An override that has passed does not, and is forgotten."""
    schedule = await session.scalar(select(Schedule).where(Schedule.number_id == rule.number_id))
    if schedule is None:
        return []
    override = override_of(schedule, now())
    if override is None:
        _take_back(schedule)
    if rule.id not in (*rules_of(read_plan(schedule.plan)), override and override.rule_id):
        return []
    number = await session.get_one(PhoneNumber, rule.number_id)
    return [Use("schedule", schedule.id, number.e164)]


def _take_back(schedule: Schedule) -> None:
    schedule.overridden, schedule.override_rule_id, schedule.override_until = False, None, None


async def _refuse_foreign_rules(session: AsyncSession, number_id: str, plan: dict[str, Any]) -> None:
    for field, rule_id in _named_rules(plan):
        await _refuse_foreign_rule(session, number_id, rule_id, field)


async def _refuse_foreign_rule(session: AsyncSession, number_id: str, rule_id: str, field: str) -> None:
    rule = await session.get(RusurepoRule, rule_id)
    if rule is None or rule.number_id != number_id:
        raise Unusable(field, "not_found")


def _named_rules(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """Every field of a plan, or of a part of one, that names a rule, and that rule."""
    days = {f"weekly.{day}": spans for day, spans in plan.get("weekly", {}).items()}
    days |= {
        f"exceptions.{place}.spans": exception["spans"]
        for place, exception in enumerate(plan.get("exceptions", []))
    }
    fields = {
        f"{day}.{place}.rule_id": span["rule_id"]
        for day, spans in days.items()
        for place, span in enumerate(spans)
    }
    fields["default_rule_id"] = plan.get("default_rule_id")
    return [(field, rule_id) for field, rule_id in fields.items() if rule_id]
