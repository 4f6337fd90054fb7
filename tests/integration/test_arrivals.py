"""What a call finds of its number: the rule by setting, schedule or hand, and the caller on its whitelist."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, update

from store import numbers, rules, schedules, whitelists
from store.arrivals import Arrival, Caller, Moment, every_number, look_up
from store.database import Database
from store.e164 import parse_e164
from store.hours import Override
from store.models import CallerKind, EntryKind, NumberUse, Schedule, WhenUnanswered, now
from store.provisioning import wanted_of_asterisk
from store.whitelists import new_entry
from tests.furnishing import Furnished

pytestmark = pytest.mark.integration

MONDAY_10 = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)
"""10:00 in Japan."""


def plan(rule_id: str | None, default: str | None) -> dict[str, Any]:
    """`rule_id` on Mondays from nine to six, `default` else."""
    span = {"start": "09:00", "end": "18:00", "rule_id": rule_id}
    return {"weekly": {"mon": [span]}, "holidays": None, "exceptions": [], "default_rule_id": default}


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The SELECTs of a time."""
    selects: list[str] = []

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            selects.append(statement)

    engines = [database.engine.sync_engine, *([database._plain] if database._plain else [])]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", count)
    yield selects
    for engine in engines:
        event.remove(engine, "before_cursor_execute", count)


async def arrive(
    database: Database,
    account: Furnished,
    caller: str | None = "+819012345678",
    kind: CallerKind = CallerKind.NUMBER,
    rule_id: str | None = None,
    at: datetime = MONDAY_10,
) -> Arrival:
    found = await database.transaction(
        partial(look_up, e164=account.e164, caller=Caller(caller, kind), rule_id=rule_id, at=at)
    )
    assert found is not None
    return found


async def another_rule(database: Database, account: Furnished, name: str = "夜間") -> str:
    async with database.session() as session:
        made = await rules.create_rule(
            session, account.account_id, account.number_id, name, *account.prompt_ids, ring_first_s=7
        )
        return made.id


async def follow(database: Database, account: Furnished, enabled: bool, rule_id: str | None) -> None:
    async with database.session() as session:
        await numbers.set_rusurepo(session, account.account_id, account.number_id, enabled, rule_id)


async def scheduled(database: Database, account: Furnished, planned: dict[str, Any]) -> str:
    async with database.session() as session:
        made = await schedules.create_schedule(session, account.account_id, account.number_id, True, planned)
        return made.id


async def test_a_plain_number_costs_one_query(database: Database, ours: Furnished) -> None:
    await follow(database, ours, True, ours.rule_id)
    with counted(database) as selects:
        found = await arrive(database, ours)
    assert found.rule is not None
    assert (found.rule.id, found.because, found.listed) == (ours.rule_id, "manual", None)
    assert len(selects) == 1
    await follow(database, ours, False, ours.rule_id)
    assert (await arrive(database, ours)).rule is None


async def test_the_schedule_decides_while_it_is_on(database: Database, ours: Furnished) -> None:
    night = await another_rule(database, ours)
    await follow(database, ours, True, ours.rule_id)
    schedule_id = await scheduled(database, ours, plan(None, night))
    assert (await arrive(database, ours)).rule is None
    with counted(database) as selects:
        evening = await arrive(database, ours, at=MONDAY_10 + timedelta(hours=8))
    assert evening.rule is not None
    assert (evening.rule.id, evening.rule.ring_first_s) == (night, 7)
    assert evening.because.startswith("default")
    assert len(selects) == 2
    async with database.session() as session:
        await schedules.change_schedule(session, ours.account_id, schedule_id, False, {})
    manual = await arrive(database, ours)
    assert manual.rule is not None
    assert manual.rule.id == ours.rule_id


async def test_a_schedule_may_pick_the_settings_own_rule_though_it_is_off(
    database: Database, ours: Furnished
) -> None:
    await follow(database, ours, False, ours.rule_id)
    await scheduled(database, ours, plan(ours.rule_id, None))
    found = await arrive(database, ours)
    assert found.rule is not None
    assert found.rule.id == ours.rule_id
    assert (await arrive(database, ours, at=MONDAY_10 + timedelta(days=1))).rule is None


async def test_an_override_counts_until_its_end(database: Database, ours: Furnished) -> None:
    schedule_id = await scheduled(database, ours, plan(None, None))
    ends = now() + timedelta(hours=1)
    async with database.session() as session:
        await schedules.set_override(session, ours.account_id, schedule_id, Override(ours.rule_id, ends))
    found = await arrive(database, ours, at=ends - timedelta(seconds=1))
    assert found.rule is not None
    assert found.because == "override"
    assert (await arrive(database, ours, at=ends)).rule is None


async def test_a_rule_chosen_before_stays_for_the_call(database: Database, ours: Furnished) -> None:
    night = await another_rule(database, ours)
    await follow(database, ours, True, ours.rule_id)
    earlier = await arrive(database, ours, rule_id=night)
    assert earlier.rule is not None
    assert earlier.rule.id == night
    gone = await arrive(database, ours, rule_id="0" * 32)
    assert gone.rule is not None
    assert gone.rule.id == ours.rule_id


async def test_no_other_numbers_rule_is_taken(database: Database, ours: Furnished, theirs: Furnished) -> None:
    assert (await arrive(database, ours, rule_id=theirs.rule_id)).rule is None


ENTRIES = [
    new_entry(EntryKind.NUMBER, "090-1234-5678", "鈴木"),
    new_entry(EntryKind.PREFIX, "0901", "長い方でない"),
    new_entry(EntryKind.PREFIX, "09099", "長い方"),
    new_entry(EntryKind.PREFIX, "0909", "短い方"),
    new_entry(EntryKind.PREFIX, "0120"),
    new_entry(EntryKind.WITHHELD, "", "非通知"),
    new_entry(EntryKind.NUMBER, "010-1-212-555-0100", "New York"),
]


@pytest.mark.parametrize(
    ("caller", "kind", "name"),
    [
        ("+819012345678", CallerKind.NUMBER, "鈴木"),
        ("+819099999999", CallerKind.NUMBER, "長い方"),
        ("+819090000000", CallerKind.NUMBER, "短い方"),
        ("+81120000000", CallerKind.NUMBER, ""),
        ("+12125550100", CallerKind.NUMBER, "New York"),
        ("+12125550101", CallerKind.NUMBER, None),
        ("+818012345678", CallerKind.NUMBER, None),
        ("117", CallerKind.NUMBER, None),
        ("%", CallerKind.NUMBER, None),
        (None, CallerKind.WITHHELD, "非通知"),
        (None, CallerKind.PAYPHONE, None),
        (None, CallerKind.UNAVAILABLE, None),
    ],
)
async def test_who_is_on_the_whitelist(
    database: Database, ours: Furnished, caller: str | None, kind: CallerKind, name: str | None
) -> None:
    await with_whitelist(database, ours)
    with counted(database) as selects:
        found = await arrive(database, ours, caller, kind)
    assert (found.listed.name if found.listed else None) == name
    assert len(selects) == 2


async def with_whitelist(database: Database, account: Furnished) -> str:
    async with database.session() as session:
        whitelist = await whitelists.create_whitelist(
            session, account.account_id, account.number_id, "取引先", ENTRIES
        )
        await rules.change_rule(
            session,
            account.account_id,
            account.rule_id,
            whitelist_id=whitelist.id,
            whitelisted_unanswered=WhenUnanswered.ANNOUNCEMENT,
        )
        await numbers.set_rusurepo(session, account.account_id, account.number_id, True, account.rule_id)
        return whitelist.id


async def test_asterisk_is_told_the_rule_that_applies_and_its_whitelist(
    database: Database, ours: Furnished, theirs: Furnished
) -> None:
    whitelist_id = await with_whitelist(database, ours)
    async with database.session() as session:
        wanted = await wanted_of_asterisk(session)
    assert set(wanted.whitelists) == {whitelist_id}
    assert len(wanted.whitelists[whitelist_id]) == len(ENTRIES)
    assert wanted.until is None
    rule_of = {number.e164: number.rule and number.rule.id for number in wanted.numbers}
    assert rule_of == {ours.e164: ours.rule_id, theirs.e164: None}


async def test_when_asterisk_is_to_be_told_again(database: Database, ours: Furnished) -> None:
    """At the next change of any schedule, and after two days in any case."""
    async with database.session() as session:
        second = await numbers.add_number(session, ours.account_id, parse_e164("0312345670"), NumberUse.VOICE)
        session.add(
            Schedule(account_id=ours.account_id, number_id=second.id, enabled=True, plan=plan(None, None))
        )
    assert (await moment(database)).until == MONDAY_10 + timedelta(days=2)
    await scheduled(database, ours, plan(ours.rule_id, None))
    found = await moment(database)
    assert found.until == MONDAY_10 + timedelta(hours=8)
    assert {one.e164: one.rule is not None for one in found.numbers} == {ours.e164: True, second.e164: False}
    async with database.session() as session:
        await session.execute(update(Schedule).values(enabled=False))
    assert (await moment(database)).until is None


async def moment(database: Database) -> Moment:
    async with database.session() as session:
        return await every_number(session, MONDAY_10)
