"""What a call needs to know of the number it came for: one quick query, and further ones only where needed.

A number whose schedule picks another rule than its own setting costs a second query, a rule with a
whitelist one more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, String, and_, bindparam, exists, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from store.hours import Choice, Override, applies, read_plan, until
from store.models import (
    BlockedCaller,
    CallerKind,
    EntryKind,
    FaxSetting,
    FaxUse,
    NumberUse,
    OutboundSetting,
    PhoneNumber,
    Prompt,
    RingPlan,
    RusurepoRule,
    RusurepoSetting,
    Schedule,
    Treatment,
    WhenUnanswered,
    WhitelistEntry,
    now,
)

LOOK_AHEAD_DAYS = 2
USUAL_RING_S = 60


@dataclass(frozen=True)
class Rule:
    """留守レポ's active rule: prompts by their content's SHA-256."""

    id: str
    name: str
    start_prompt: str
    end_prompt: str
    whitelist_id: str | None = None
    ring_first_s: int = 0
    whitelisted_unanswered: WhenUnanswered = WhenUnanswered.RUSUREPO


@dataclass(frozen=True)
class Listed:
    """The whitelist's entry that a caller matches."""

    kind: EntryKind
    value: str
    name: str


@dataclass(frozen=True)
class Caller:
    """Who calls: a number in E.164, or why there is none."""

    number: str | None
    kind: CallerKind


@dataclass(frozen=True)
class Ringing:
    """Which devices ring (id and seconds each, in order; none: all), for how long if all at once.

    In turn each has its seconds; at once some may have less than the others.
    """

    in_turn: bool = False
    devices: tuple[tuple[str, int | None], ...] = ()
    at_once_s: int = USUAL_RING_S

    @property
    def ring_s(self) -> int:
        """For how long it rings at all."""
        return sum(ring_s or 0 for _, ring_s in self.devices) if self.in_turn else self.at_once_s


@dataclass(frozen=True)
class Blocked:
    """The entry of the block list that a caller matches; `number_id` None: of all the account's numbers."""

    number_id: str | None
    kind: EntryKind
    value: str
    treatment: Treatment


@dataclass(frozen=True)
class Arrival:
    """A number as a call finds it. `rule` is None when 留守レポ is OFF or has no rule; `because` says why.

    `unanswered_rule` takes a message of whom nobody answers, though 留守レポ is OFF. While `callback_awaited`
    an emergency service may call back.
    """

    number_id: str
    account_id: str
    e164: str
    use: NumberUse
    rule: Rule | None
    because: str = "manual"
    listed: Listed | None = None
    fax: FaxUse = FaxUse.NONE
    display_name: str = ""
    ringing: Ringing = Ringing()
    unanswered_rule: Rule | None = None
    blocked: Blocked | None = None
    callback_awaited: bool = False
    channels: int | None = None


def fax_use(use: NumberUse, enabled: bool | None, fax_only: bool | None) -> FaxUse:
    """How calls become faxes; None where the number has no fax settings. Pure."""
    if use is NumberUse.FAX or (enabled and fax_only):
        return FaxUse.ONLY
    return FaxUse.SHARED if enabled else FaxUse.NONE


_number, _setting, _rule = PhoneNumber.__table__, RusurepoSetting.__table__, RusurepoRule.__table__
_start, _end = Prompt.__table__.alias("start"), Prompt.__table__.alias("end")
_schedule, _entry = Schedule.__table__, WhitelistEntry.__table__
_plan, _calling, _blocked = RingPlan.__table__, OutboundSetting.__table__, BlockedCaller.__table__
_fax = FaxSetting.__table__
_RULE = (
    _rule.c.id,
    _rule.c.name,
    _start.c.sha256,
    _end.c.sha256,
    _rule.c.whitelist_id,
    _rule.c.ring_first_s,
    _rule.c.whitelisted_unanswered,
)
_HOURS = (
    _schedule.c.plan,
    _schedule.c.overridden,
    _schedule.c.override_rule_id,
    _schedule.c.override_until,
)
_PEOPLE = (
    _number.c.display_name,
    _number.c.channels,
    _plan.c.in_turn,
    _plan.c.ring_s,
    _plan.c.devices,
    _plan.c.unanswered_rule_id,
    _calling.c.callback_until,
    _fax.c.enabled.label("fax_enabled"),
    _fax.c.fax_only,
    # Most accounts block nobody, and their calls need not ask.
    exists().where(_blocked.c.account_id == _number.c.account_id).label("blocks"),
)
_CHOICE = (_setting.c.enabled, *_HOURS, *_RULE)
_ALL: Select[Any] = select(
    _number.c.id,
    _number.c.account_id,
    _number.c.e164,
    _number.c.use,
    *_PEOPLE,
    *_CHOICE,
).select_from(
    # What is not sold with the number is not done, whatever was set before.
    _number.outerjoin(_setting, and_(_setting.c.number_id == _number.c.id, _number.c.sells_rusurepo))
    .outerjoin(_fax, and_(_fax.c.number_id == _number.c.id, _number.c.sells_fax))
    .outerjoin(_plan, _plan.c.number_id == _number.c.id)
    .outerjoin(_calling, _calling.c.account_id == _number.c.account_id)
    .outerjoin(
        _schedule, and_(_schedule.c.number_id == _number.c.id, _schedule.c.enabled, _number.c.sells_rusurepo)
    )
    .outerjoin(_rule, _rule.c.id == _setting.c.rule_id)
    .outerjoin(_start, _start.c.id == _rule.c.start_prompt_id)
    .outerjoin(_end, _end.c.id == _rule.c.end_prompt_id)
)
_RULES: Select[Any] = select(*_RULE).select_from(
    _rule.join(_start, _start.c.id == _rule.c.start_prompt_id).join(_end, _end.c.id == _rule.c.end_prompt_id)
)
# Built once and asked of a bare connection: every call waits for these.
_ONE = _ALL.where(_number.c.e164 == bindparam("dialled"))
_ONE_RULE = _RULES.where(_rule.c.id == bindparam("rule_id"), _rule.c.number_id == bindparam("number_id"))
_ENTRIES = select(_entry.c.kind, _entry.c.value, _entry.c.name).where(
    _entry.c.whitelist_id == bindparam("whitelist_id")
)
_caller = bindparam("value", type_=String)
# Two, and not one with OR, which would read the whole list.
_LISTED = union_all(
    _ENTRIES.where(_entry.c.kind == bindparam("kind"), _entry.c.value == _caller),
    _ENTRIES.where(_entry.c.kind == EntryKind.PREFIX, _caller.startswith(_entry.c.value)),
)
_OF_NUMBER = (_blocked.c.account_id == bindparam("account_id")) & (
    _blocked.c.number_id.is_(None) | (_blocked.c.number_id == bindparam("number_id"))
)
_BLOCKS = select(_blocked.c.number_id, _blocked.c.kind, _blocked.c.value, _blocked.c.treatment)
_BLOCKED = union_all(
    _BLOCKS.where(_OF_NUMBER, _blocked.c.kind == bindparam("kind"), _blocked.c.value == _caller),
    _BLOCKS.where(_OF_NUMBER, _blocked.c.kind == EntryKind.PREFIX, _caller.startswith(_blocked.c.value)),
)
_BLOCKS_ANY = 4 + len(_PEOPLE) - 1
_PLAN_RULE = 4 + _PEOPLE.index(_plan.c.unanswered_rule_id)


def look_up(
    connection: Connection,
    e164: str,
    caller: Caller | None = None,
    rule_id: str | None = None,
    at: datetime | None = None,
) -> Arrival | None:
    """The number `e164` as it is set at `at` (now), or None when it is not ours.

    With `caller`, whether the active rule's whitelist has that caller is looked up too. `rule_id` is a rule
    chosen for this call before; it is taken as long as it is there.
    """
    row = connection.execute(_ONE, {"dialled": e164}).one_or_none()
    if row is None:
        return None
    at = at or now()
    number_id, account_id, *_ = row
    applying = applies(_choice(row), at)
    earlier = _rule_by_id(connection, number_id, rule_id) if rule_id else None
    if earlier is not None:
        return _arrival(row, earlier, "chosen before", at)
    rule = _rule_in(row)
    if rule is None or rule.id != applying.rule_id:
        rule = _rule_by_id(connection, number_id, applying.rule_id) if applying.rule_id else None
    arrival = _arrival(row, rule, str(applying), at)
    plan_rule_id = row[_PLAN_RULE]
    if rule is None and plan_rule_id:
        plan_rule = _rule_by_id(connection, number_id, plan_rule_id)
        arrival = replace(arrival, unanswered_rule=plan_rule)
    if caller is None:
        return arrival
    return replace(
        arrival,
        listed=_listed(connection, rule.whitelist_id, caller) if rule and rule.whitelist_id else None,
        blocked=_blocked_by(connection, account_id, number_id, caller) if row[_BLOCKS_ANY] else None,
    )


def _arrival(row: Sequence[Any], rule: Rule | None, because: str, at: datetime) -> Arrival:
    number_id, account_id, number, use, *people = row[: 4 + len(_PEOPLE)]
    display_name, channels, in_turn, ring_s, devices, _, callback, fax_enabled, fax_only, *_ = people
    ringing = Ringing()
    if in_turn is not None:
        ringing = Ringing(in_turn, tuple((one["device_id"], one["ring_s"]) for one in devices), ring_s)
    return Arrival(
        number_id,
        account_id,
        number,
        use,
        rule,
        because,
        fax=fax_use(use, fax_enabled, fax_only),
        display_name=display_name,
        ringing=ringing,
        callback_awaited=callback is not None and at < callback,
        channels=channels,
    )


@dataclass(frozen=True)
class Moment:
    """All numbers as they are set at one moment, and when to ask again: the first may change by itself."""

    numbers: list[Arrival]
    until: datetime | None


async def every_number(session: AsyncSession, at: datetime | None = None) -> Moment:
    """All numbers as they are set at `at` (now)."""
    at = at or now()
    rows = list(await session.execute(_ALL))
    choices = [_choice(row) for row in rows]
    needed = any(choice.plan for choice in choices) or any(row[_PLAN_RULE] for row in rows)
    rules = {row[0]: Rule(*row) for row in await session.execute(_RULES)} if needed else {}
    numbers = []
    for row, choice in zip(rows, choices, strict=True):
        applying, rule = applies(choice, at), _rule_in(row)
        if rule is None or rule.id != applying.rule_id:
            rule = rules.get(applying.rule_id or "")
        plan_rule = rules.get(row[_PLAN_RULE] or "") if rule is None else None
        numbers.append(replace(_arrival(row, rule, str(applying), at), unanswered_rule=plan_rule))
    # Whatever changes later than the horizon is found from there.
    horizon = at + timedelta(days=LOOK_AHEAD_DAYS)
    changes = [until(choice, at, LOOK_AHEAD_DAYS) or horizon for choice in choices if choice.plan]
    return Moment(numbers, min(changes, default=None))


def _choice(row: Sequence[Any]) -> Choice:
    enabled, plan, overridden, override_rule_id, override_until, rule_id, *_ = row[-len(_CHOICE) :]
    manual = rule_id if enabled else None
    if plan is None:
        return Choice(manual)
    return Choice(manual, read_plan(plan), Override(override_rule_id, override_until) if overridden else None)


def _rule_in(row: Sequence[Any]) -> Rule | None:
    """The rule of the number's own setting, ON or OFF."""
    rule = row[-len(_RULE) :]
    return Rule(*rule) if rule[0] else None


def _rule_by_id(connection: Connection, number_id: str, rule_id: str) -> Rule | None:
    row = connection.execute(_ONE_RULE, {"rule_id": rule_id, "number_id": number_id}).one_or_none()
    return Rule(*row) if row else None


def _listed(connection: Connection, whitelist_id: str, caller: Caller) -> Listed | None:
    """The entry that fits best: the caller's own, else the longest beginning of its number."""
    wanted = {
        "whitelist_id": whitelist_id,
        "kind": EntryKind(caller.kind.value),
        "value": caller.number or "",
    }
    found = [Listed(*row) for row in connection.execute(_LISTED, wanted)]
    return max(found, key=lambda entry: (entry.kind is not EntryKind.PREFIX, len(entry.value)), default=None)


def _blocked_by(connection: Connection, account_id: str, number_id: str, caller: Caller) -> Blocked | None:
    """The entry that fits best: the number's own before the account's, a whole number before a beginning."""
    wanted = {
        "account_id": account_id,
        "number_id": number_id,
        "kind": EntryKind(caller.kind.value),
        "value": caller.number or "",
    }
    found = [Blocked(*row) for row in connection.execute(_BLOCKED, wanted)]
    return max(
        found,
        key=lambda one: (one.number_id is not None, one.kind is not EntryKind.PREFIX, len(one.value)),
        default=None,
    )
