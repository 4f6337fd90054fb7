"""Credit: what calls hold back, together and in any order, on both databases."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from store.billing_month import month_of
from store.credit import (
    GUARD_S,
    SLICE_S,
    Allowance,
    extend,
    held_back,
    lock_account,
    release,
    reserve,
    standing,
    top_up,
)
from store.database import Database
from store.models import CreditAccount, Subscription, TopUpSource
from store.tariff import CreditRules, Rate, Tariff
from store.tariffs import publish
from tests.furnishing import Furnished
from tests.tariffs import PUBLISHED, example_tariff, publish_example

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)
CEILING = 10_000
MOBILE = "+819012345678"


@pytest.fixture
async def priced(database: Database) -> Database:
    await publish_example(database)
    return database


async def ask(
    database: Database,
    ours: Furnished,
    call_id: str,
    destination_class: str = "mobile",
    e164: str = MOBILE,
    at: datetime = AT,
) -> Allowance:
    return await database.transaction(
        lambda connection: reserve(
            connection,
            account_id=ours.account_id,
            call_id=call_id,
            destination_class=destination_class,
            e164=e164,
            device_id=ours.device_id,
            at=at,
        )
    )


async def test_a_call_gets_a_quarter_of_an_hour(priced: Database, ours: Furnished) -> None:
    assert await ask(priced, ours, "one") == Allowance(True, SLICE_S - GUARD_S, "ok")
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 15 * 16


async def test_the_same_call_asks_twice_and_holds_once(priced: Database, ours: Furnished) -> None:
    first = await ask(priced, ours, "one")
    assert await ask(priced, ours, "one") == first
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 15 * 16


@pytest.mark.parametrize("destination_class", ["emergency", "internal", "free"])
async def test_free_calls_are_never_touched(
    database: Database, ours: Furnished, destination_class: str
) -> None:
    """Not even where there is no tariff."""
    assert await ask(database, ours, "one", destination_class, "110") == Allowance(True, None, "free")


async def test_without_a_tariff_or_a_price_the_call_is_refused(database: Database, ours: Furnished) -> None:
    assert (await ask(database, ours, "one")).code == "no_tariff"
    await publish_example(database)
    assert (await ask(database, ours, "two", "overseas", "+5511987654321")).code == "no_rate"
    assert (await ask(database, ours, "three", "unheard_of")).code == "no_rate"


async def test_many_at_once_never_hold_back_more_than_there_is(priced: Database, ours: Furnished) -> None:
    """0570 costs 600 a quarter of an hour: sixteen fit whole, a seventeenth in part, no more."""
    answers = await asyncio.gather(*(ask(priced, ours, f"call-{n}", "navi") for n in range(30)))
    assert [answer.limit_s for answer in answers if answer.allowed].count(SLICE_S - GUARD_S) == 16
    assert sorted(answer.limit_s or 0 for answer in answers if answer.allowed)[0] == 20 * 30 - GUARD_S
    assert {answer.code for answer in answers if not answer.allowed} == {"credit_exhausted"}
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == CEILING


async def test_a_running_call_goes_on_as_far_as_credit_goes(priced: Database, ours: Furnished) -> None:
    for n in range(16):
        await ask(priced, ours, f"call-{n}", "navi")
    last = await ask(priced, ours, "last", "navi")
    assert last.limit_s == 600 - GUARD_S
    assert await priced.transaction(lambda c: extend(c, "last", AT)) == Allowance(
        True, last.limit_s, "credit_exhausted"
    )
    await priced.transaction(
        lambda c: top_up(c, ours.account_id, "by hand", TopUpSource.MANUAL, "somebody", AT)
    )
    extended = await priced.transaction(lambda c: extend(c, "last", AT))
    assert extended == Allowance(True, 600 + SLICE_S - GUARD_S, "ok")
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == CEILING + 600


async def test_an_automatic_top_up_is_made_when_a_call_needs_it_and_no_more_than_set(
    priced: Database, ours: Furnished
) -> None:
    async with priced.session() as session:
        session.add(CreditAccount(account_id=ours.account_id, automatic_top_up=True, automatic_limit=2))
    answers = await asyncio.gather(*(ask(priced, ours, f"call-{n}", "navi") for n in range(40)))
    assert sum(answer.allowed for answer in answers) == 34
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 2 * 5000 + CEILING
    state = await priced.transaction(lambda c: standing(c, ours.account_id, month_of(AT), CEILING))
    assert (state.topped_up, state.available) == (10_000, 20_000)


@pytest.mark.parametrize(("yen", "made", "limit_s"), [(100, 1, 300), (4000, 1, 6), (12_000, 3, 6)])
async def test_a_dear_call_takes_no_more_top_ups_than_it_needs(
    database: Database, ours: Furnished, yen: int, made: int, limit_s: int
) -> None:
    """So much for six seconds: one top-up, or as many as its next unit costs; again when it asks again."""
    rates = {"premium": Rate(label="x", unit_s=6, yen=Decimal(yen))}
    rules = CreditRules(ceiling=0, top_up=5000)
    dear = Tariff(valid_from=AT.date() - timedelta(days=30), name="x", calls=rates, credit=rules)
    await database.transaction(lambda connection: publish(connection, [dear], PUBLISHED))
    async with database.session() as session:
        session.add(CreditAccount(account_id=ours.account_id, automatic_top_up=True, automatic_limit=9))

    async def topped_up() -> int:
        state = await database.transaction(lambda c: standing(c, ours.account_id, month_of(AT), 0))
        return state.topped_up

    assert await ask(database, ours, "dear", "premium") == Allowance(True, limit_s - GUARD_S, "ok")
    assert await topped_up() == made * 5000
    more = await database.transaction(lambda connection: extend(connection, "dear", AT))
    assert (more.code, more.limit_s > limit_s if more.limit_s else None) == ("ok", True)
    assert await topped_up() <= 2 * made * 5000


async def test_a_repeated_top_up_is_the_same(priced: Database, ours: Furnished) -> None:
    made = await asyncio.gather(
        *(
            priced.transaction(
                lambda c: top_up(c, ours.account_id, "key", TopUpSource.MANUAL, "somebody", AT)
            )
            for _ in range(5)
        )
    )
    assert len({row.id for row in made}) == 1
    assert made[0].balance == 15_000


async def test_a_plan_frees_ten_minutes_even_without_credit(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        session.add(
            Subscription(
                account_id=ours.account_id,
                item="kakehodai10",
                subject_id=ours.device_id,
                starts_on=AT.date(),
            )
        )
    for n in range(17):
        await ask(priced, ours, f"call-{n}", "navi")
    assert await ask(priced, ours, "planned") == Allowance(True, 600 - GUARD_S, "ok")
    assert not (await ask(priced, ours, "navi", "navi")).allowed


async def test_released_credit_waits_for_the_charge(priced: Database, ours: Furnished) -> None:
    await ask(priced, ours, "one")
    await priced.transaction(lambda c: release(c, "one"))
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 240
    assert (await priced.transaction(lambda c: extend(c, "one", AT))).code == "free"


async def test_another_account_is_not_affected(priced: Database, ours: Furnished, theirs: Furnished) -> None:
    await asyncio.gather(*(ask(priced, ours, f"call-{n}", "navi") for n in range(20)))
    assert (await ask(priced, theirs, "theirs")).allowed


async def test_a_check_takes_two_milliseconds_at_most(priced: Database, ours: Furnished) -> None:
    """The statements alone, on an account with some history; the commit is every call's own."""
    await ask(priced, ours, "first", at=AT - timedelta(days=40))

    def many(connection: object) -> list[float]:
        took = []
        for n in range(200):
            began = time.perf_counter()
            reserve(
                connection,  # type: ignore[arg-type]
                account_id=ours.account_id,
                call_id=f"call-{n}",
                destination_class="fixed",
                e164="+81312345678",
                device_id=ours.device_id,
                at=AT,
            )
            took.append(time.perf_counter() - began)
        return sorted(took)

    took = await priced.transaction(many)
    assert took[len(took) // 2] < 0.004


def test_the_example_is_what_the_manual_says() -> None:
    rules = example_tariff().credit
    assert (rules.ceiling, rules.top_up, rules.warn_at) == (10_000, 5_000, 7_500)


async def test_settings_outlive_a_call(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        session.add(CreditAccount(account_id=ours.account_id, automatic_top_up=True, automatic_limit=7))
    settings = await priced.transaction(lambda c: lock_account(c, ours.account_id))
    assert (settings.automatic_top_up, settings.automatic_limit) == (True, 7)
