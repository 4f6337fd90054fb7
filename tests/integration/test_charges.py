"""The ledger of charges: exactly once, in any order, again with the same result; on both databases."""

import asyncio
import random
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError

from billing.rating import mend_charge, publish_file, rate_ended, rate_missed, recompute
from store.call_legs import MEND_CHARGE, Leg, keep_legs
from store.charges import charge, drop_lost_reservations, uncharged_after
from store.credit import held_back, release, reserve, top_up
from store.database import Database, open_database
from store.jobs import LeaseLost, enqueue, take
from store.media import Media
from store.models import (
    Call,
    CallLeg,
    Charge,
    ChargeKind,
    Contract,
    CreditMonth,
    Job,
    Subscription,
    TopUp,
    TopUpSource,
)
from store.rating import open_book
from store.tariff import TariffRefused
from tests.billed_calls import happened, outbound
from tests.furnishing import Furnished, furnish
from tests.tariffs import EXAMPLE, publish_example

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
LAST_MOMENT = datetime(2026, 11, 25, 14, 59, 59, tzinfo=UTC)


@pytest.fixture
async def priced(database: Database) -> Database:
    await publish_example(database)
    return database


async def charges(database: Database) -> list[Charge]:
    async with database.session() as session:
        return list(await session.scalars(select(Charge).order_by(Charge.at, Charge.key)))


async def charged_in(database: Database, month: str) -> int:
    async with database.session() as session:
        return await session.scalar(select(CreditMonth.charged).where(CreditMonth.month == month)) or 0


async def test_a_call_is_charged_once_and_points_to_its_record_and_line(
    priced: Database, ours: Furnished
) -> None:
    async with priced.session() as session:
        call = outbound(ours, AT, 61)
        await happened(session, call)
    for _ in range(3):
        await rate_missed(priced, LATER)
    (one,) = await charges(priced)
    assert (one.call_id, one.line, one.seconds, one.units, one.amount) == (call.id, "mobile", 61, 2, 32)
    assert (one.month, one.number_id, one.device_id) == ("2026-11", ours.number_id, ours.device_id)
    assert await charged_in(priced, "2026-11") == 32
    async with priced.session() as session:
        assert (await session.get_one(Call, call.id)).charge == 32


async def test_free_and_unanswered_calls_cost_nothing_and_are_charged_so(
    priced: Database, ours: Furnished
) -> None:
    async with priced.session() as session:
        await happened(
            session, outbound(ours, AT, 0), outbound(ours, AT, 99, "free"), outbound(ours, AT, 9, "emergency")
        )
    assert (await rate_missed(priced, LATER)).calls == 3
    assert [one.amount for one in await charges(priced)] == [0, 0, 0]


async def test_a_call_belongs_to_the_month_in_which_it_began(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        await happened(
            session,
            outbound(ours, LAST_MOMENT, 3600, call_id="over-midnight"),
            outbound(ours, LAST_MOMENT + timedelta(seconds=1), 60, call_id="after-it"),
        )
    await rate_missed(priced, LAST_MOMENT + timedelta(days=1))
    assert {one.call_id: one.month for one in await charges(priced)} == {
        "over-midnight": "2026-11",
        "after-it": "2026-12",
    }


async def test_what_was_held_back_is_free_with_the_charge(priced: Database, ours: Furnished) -> None:
    def place(connection: object) -> None:
        for call_id in ("ended", "goes-on"):
            reserve(
                connection,  # type: ignore[arg-type]
                account_id=ours.account_id,
                call_id=call_id,
                destination_class="mobile",
                e164="+819012345678",
                device_id=ours.device_id,
                at=AT,
            )

    await priced.transaction(place)
    async with priced.session() as session:
        running = outbound(ours, AT, 10, call_id="goes-on")
        running.ended_at = None
        await happened(session, outbound(ours, AT, 10, call_id="ended"), running)
    await priced.transaction(lambda connection: release(connection, "ended"))
    assert (await rate_ended(priced, LATER)).yen == 16
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 240
    assert await priced.transaction(lambda c: drop_lost_reservations(c, LATER)) == 0


async def test_a_reservation_of_no_call_is_dropped(priced: Database, ours: Furnished) -> None:
    def place(connection: object) -> None:
        reserve(
            connection,  # type: ignore[arg-type]
            account_id=ours.account_id,
            call_id="never",
            destination_class="mobile",
            e164="+819012345678",
            device_id=None,
            at=AT,
        )

    await priced.transaction(place)
    await rate_missed(priced, AT + timedelta(hours=23))
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 240
    await rate_missed(priced, AT + timedelta(hours=25))
    assert await priced.transaction(lambda c: held_back(c, ours.account_id)) == 0


async def test_a_destination_without_a_price_waits_for_one(
    priced: Database, ours: Furnished, tmp_path: Path
) -> None:
    async with priced.session() as session:
        call = outbound(ours, AT, 60, "overseas")
        call.dialled = "+5511987654321"
        await happened(session, call)
    rated = await rate_missed(priced, LATER)
    assert (rated.calls, rated.unrated) == (0, 1)


async def test_the_warning_goes_once_a_month(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        session.add(
            Contract(account_id=ours.account_id, customer_name="x", mail_address="info@customer.example")
        )
        await happened(session, outbound(ours, AT, 3600 * 7, "mobile"))
    await rate_missed(priced, LATER)
    async with priced.session() as session:
        assert await session.scalar(select(func.count()).where(Job.kind == "send_mail")) == 0
        await happened(session, outbound(ours, AT, 3600, "mobile"), outbound(ours, AT, 3600, "mobile"))
    await rate_missed(priced, LATER)
    async with priced.session() as session:
        await happened(session, outbound(ours, AT, 3600, "mobile"))
    await rate_missed(priced, LATER)
    async with priced.session() as session:
        (job,) = await session.scalars(select(Job).where(Job.kind == "send_mail"))
    assert job.payload["address"] == "info@customer.example"
    assert "7,500円" in job.payload["body"]
    assert ["通話料(税抜)", "8,640円"] in job.payload["facts"]


async def test_the_ledger_can_only_grow(priced: Database, ours: Furnished) -> None:
    """The database itself refuses, whoever asks."""
    async with priced.session() as session:
        await happened(session, outbound(ours, AT, 60))
    await rate_missed(priced, LATER)
    await priced.transaction(
        lambda connection: top_up(connection, ours.account_id, "k", TopUpSource.MANUAL, "somebody", AT)
    )
    for change in (
        update(Charge).values(amount=0),
        delete(Charge),
        update(TopUp).values(amount=0),
        delete(TopUp),
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            async with priced.session() as session:
                await session.execute(change)
    assert [one.amount for one in await charges(priced)] == [16]


async def test_a_mended_record_is_corrected_by_another_row(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        await happened(session, outbound(ours, AT, 61, call_id="mended"))
    await rate_missed(priced, LATER)
    assert (await recompute(priced, mend=True, at=LATER)).differences == []
    async with priced.session() as session:
        await session.execute(
            update(Call).where(Call.id == "mended").values(ended_at=AT + timedelta(seconds=3 + 10))
        )
    found = await recompute(priced, mend=False, at=LATER)
    assert [(one.charged, one.should_be) for one in found.differences] == [(32, 16)]
    await recompute(priced, mend=True, at=LATER)
    assert [(one.kind, one.amount) for one in await charges(priced)] == [
        (ChargeKind.CALL, 32),
        (ChargeKind.CORRECTION, -16),
    ]
    assert await charged_in(priced, "2026-11") == 16
    assert (await recompute(priced, mend=False, at=LATER)).differences == []
    await recompute(priced, mend=True, at=LATER)
    assert len(await charges(priced)) == 2


async def test_a_record_that_its_legs_put_right_is_charged_anew(priced: Database, ours: Furnished) -> None:
    """Twice put right, and the job done twice: the ledger says what the record says, by its rows together."""
    async with priced.session() as session:
        await happened(session, outbound(ours, AT, 61, "fixed", call_id="late"))
    await rate_missed(priced, LATER)
    for seconds, yen in ((400.0, 24), (30.0, 8), (31.0, 8)):
        async with priced.session() as session:
            answered = AT + timedelta(seconds=3)
            ended = answered + timedelta(seconds=seconds)
            far_end = Leg(
                id="leg",
                call_id="late",
                device=None,
                is_caller=False,
                direction="outbound",
                dialled="",
                other_party=None,
                started_at=AT,
                answered_at=answered,
                ended_at=ended,
                result="answered",
            )
            await session.execute(delete(CallLeg))
            await keep_legs(session, "test", [far_end])
        jobs = await take(priced, (MEND_CHARGE,), "worker", 60, 5)
        assert len(jobs) == 1
        for job in (*jobs, *jobs):
            with suppress(LeaseLost):
                await mend_charge(priced, job)
        rows = await charges(priced)
        assert (sum(one.amount for one in rows), sum(one.seconds for one in rows)) == (yen, seconds)
        assert await charged_in(priced, "2026-11") == yen
    assert (await recompute(priced, mend=False, at=LATER)).differences == []


async def test_a_call_that_is_not_charged_yet_is_not_mended(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        await happened(session, outbound(ours, AT, 61, call_id="new"))
        enqueue(session, MEND_CHARGE, "new")
    (job,) = await take(priced, (MEND_CHARGE,), "worker", 60, 5)
    await mend_charge(priced, job)
    assert await charges(priced) == []
    await rate_missed(priced, LATER)
    assert [one.amount for one in await charges(priced)] == [32]


async def test_two_processes_charge_each_call_once(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        await happened(session, *(outbound(ours, AT + timedelta(seconds=n), 60) for n in range(50)))
    rated = await asyncio.gather(*(rate_missed(priced, LATER) for _ in range(4)))
    assert sum(one.calls for one in rated) == 50
    assert await charged_in(priced, "2026-11") == 50 * 16


async def test_a_plan_holds_on_its_days(priced: Database, ours: Furnished) -> None:
    async with priced.session() as session:
        session.add(
            Subscription(
                account_id=ours.account_id,
                item="kakehodai10",
                subject_id=ours.device_id,
                starts_on=AT.date(),
                ends_on=AT.date(),
            )
        )
        days = [outbound(ours, AT + timedelta(days=n), 660, call_id=f"day-{n + 1}") for n in (-1, 0, 1)]
        await happened(session, *days)
    await rate_missed(priced, AT + timedelta(days=5))
    assert {one.call_id: one.amount for one in await charges(priced)} == {
        "day-0": 176,
        "day-1": 40,
        "day-2": 176,
    }


async def test_a_tariff_in_force_cannot_change_but_be_followed(
    priced: Database, ours: Furnished, tmp_path: Path
) -> None:
    file = tmp_path / "tariff.toml"
    file.write_text(EXAMPLE.read_text().replace("yen = 16", "yen = 17"))
    with pytest.raises(TariffRefused, match="was in force and has changed"):
        await publish_file(priced, file, AT)
    dearer = EXAMPLE.read_text().replace("yen = 16", "yen = 17").replace("2024-01-26", "2026-11-11")
    file.write_text(EXAMPLE.read_text() + dearer)
    assert await publish_file(priced, file, AT) == 1
    assert await publish_file(priced, file, AT) == 0
    async with priced.session() as session:
        await happened(session, outbound(ours, AT, 60), outbound(ours, AT + timedelta(days=1), 60))
    await rate_missed(priced, AT + timedelta(days=2))
    assert [one.amount for one in await charges(priced)] == [16, 17]
    assert (await recompute(priced, mend=False, at=LATER)).differences == []
    with pytest.raises(TariffRefused, match="would change what was rated already"):
        sly = EXAMPLE.read_text().replace("yen = 16", "yen = 1").replace("2024-01-26", "2026-11-05")
        file.write_text(EXAMPLE.read_text() + dearer + sly)
        await publish_file(priced, file, AT + timedelta(days=2))


KINDS = st.sampled_from(["fixed", "mobile", "ip", "navi", "free", "overseas"])
EVENTS = st.lists(st.tuples(KINDS, st.integers(0, 2000), st.integers(0, 40)), max_size=25)


async def test_replays_in_any_order_come_to_the_same(migrated_sqlite: Path, tmp_path: Path) -> None:
    """The same calls in one go, or three by three, each of them twice and shuffled: the same ledger."""
    file = tmp_path / "replay.db"
    shutil.copyfile(migrated_sqlite, file)
    database = open_database(f"sqlite+aiosqlite:///{file}")
    await publish_example(database)
    numbers = count(10_000_000)

    async def ledger(
        events: list[tuple[str, int, int]], name: str, times: int, at_once: int, chance: random.Random
    ) -> list[tuple[object, ...]]:
        number = f"+813{next(numbers):08d}"
        async with database.session() as session:
            ours = await furnish(session, Media(tmp_path), name, number)
            for n, (kind, seconds, day) in enumerate(events):
                at = AT + timedelta(days=day, seconds=n)
                await happened(session, outbound(ours, at, seconds, kind, f"{ours.account_id}-{n}"))
        replay = times * await database.transaction(
            lambda connection: uncharged_after(connection, (AT - timedelta(days=1), ""))
        )
        chance.shuffle(replay)
        for first in range(0, len(replay), at_once):
            chunk = replay[first : first + at_once]
            await database.transaction(
                lambda connection, chunk=chunk: charge(connection, open_book(connection), chunk, LATER)  # type: ignore[misc]
            )
        mine, of_month = Charge.account_id == ours.account_id, CreditMonth.account_id == ours.account_id
        async with database.session() as session:
            rows = await session.execute(
                select(Charge.month, Charge.line, Charge.seconds, Charge.amount)
                .where(mine)
                .order_by(Charge.at, Charge.key)
            )
            sums = await session.execute(
                select(CreditMonth.month, CreditMonth.charged).where(of_month).order_by(CreditMonth.month)
            )
            return [*map(tuple, rows), *map(tuple, sums)]

    loop = asyncio.get_running_loop()

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(events=EVENTS, seed=st.integers(0, 10**6))
    def compare(events: list[tuple[str, int, int]], seed: int) -> None:
        async def both() -> tuple[object, object]:
            chance = random.Random(seed)
            return await ledger(events, "once", 1, 1000, chance), await ledger(events, "again", 2, 3, chance)

        once, again = asyncio.run_coroutine_threadsafe(both(), loop).result(30)
        assert once == again

    await asyncio.to_thread(compare)
    await database.close()
