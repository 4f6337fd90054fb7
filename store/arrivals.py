"""What a call needs to know of the number it came for: one query."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

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


_number, _setting, _rule = PhoneNumber.__table__, RusurepoSetting.__table__, RusurepoRule.__table__
_start, _end = Prompt.__table__.alias("start"), Prompt.__table__.alias("end")
_ALL = select(
    _number.c.id,
    _number.c.account_id,
    _number.c.e164,
    _number.c.use,
    _setting.c.enabled,
    _rule.c.id,
    _rule.c.name,
    _start.c.sha256,
    _end.c.sha256,
).select_from(
    _number.outerjoin(_setting, _setting.c.number_id == _number.c.id)
    .outerjoin(_rule, _rule.c.id == _setting.c.rule_id)
    .outerjoin(_start, _start.c.id == _rule.c.start_prompt_id)
    .outerjoin(_end, _end.c.id == _rule.c.end_prompt_id)
)
# Built once and asked of a bare connection: every call waits for this one.
_ONE = _ALL.where(_number.c.e164 == bindparam("dialled"))


def look_up(connection: Connection, e164: str) -> Arrival | None:
    """The number `e164` as it is set now, or None when it is not ours."""
    row = connection.execute(_ONE, {"dialled": e164}).one_or_none()
    return _arrival(*row) if row else None


async def every_number(session: AsyncSession) -> list[Arrival]:
    """All numbers as they are set now."""
    return [_arrival(*row) for row in await session.execute(_ALL)]


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
