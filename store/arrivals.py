"""What a call needs to know of the number it came for: one query."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from store.models import NumberUse, PhoneNumber, Prompt, RusurepoRule, RusurepoSetting


@dataclass(frozen=True)
class Rule:
    """留守レポ's active rule: prompts by their content's SHA-256."""

    id: str
    name: str
    start_prompt: str
    end_prompt: str


@dataclass(frozen=True)
class Arrival:
    """A number as a call finds it. `rule` is None when 留守レポ is OFF or has no rule."""

    number_id: str
    account_id: str
    e164: str
    use: NumberUse
    rule: Rule | None


_start, _end = aliased(Prompt), aliased(Prompt)
_QUERY = (
    select(
        PhoneNumber.id,
        PhoneNumber.account_id,
        PhoneNumber.e164,
        PhoneNumber.use,
        RusurepoSetting.enabled,
        RusurepoRule.id,
        RusurepoRule.name,
        _start.sha256,
        _end.sha256,
    )
    .outerjoin(RusurepoSetting, RusurepoSetting.number_id == PhoneNumber.id)
    .outerjoin(RusurepoRule, RusurepoRule.id == RusurepoSetting.rule_id)
    .outerjoin(_start, _start.id == RusurepoRule.start_prompt_id)
    .outerjoin(_end, _end.id == RusurepoRule.end_prompt_id)
)


async def look_up(session: AsyncSession, e164: str) -> Arrival | None:
    """The number `e164` as it is set now, or None when it is not ours."""
    row = (await session.execute(_QUERY.where(PhoneNumber.e164 == e164))).one_or_none()
    return _arrival(*row) if row else None


async def every_number(session: AsyncSession) -> list[Arrival]:
    """All numbers as they are set now."""
    return [_arrival(*row) for row in await session.execute(_QUERY)]


def _arrival(
    number_id: str,
    account_id: str,
    e164: str,
    use: NumberUse,
    enabled: bool | None,
    rule_id: str | None,
    rule_name: str,
    start: str,
    end: str,
) -> Arrival:
    rule = Rule(rule_id, rule_name, start, end) if enabled and rule_id else None
    return Arrival(number_id, account_id, e164, use, rule)
