"""Call details into the store: each leg once, whatever dies when; records of calls put right."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pbx.details import reading
from pbx.details.reading import Details
from store.call_legs import SETTLE_CALL
from store.channel_events import ReadByAnother
from store.database import Database
from store.details_retention import purge_details
from store.devices import create_device, delete_device
from store.jobs import take
from store.models import Call, CallerKind, CallLeg, Device, Job, JournalEntry, LegRole, now
from tests.furnishing import SECRET_KEY, Furnished
from tests.unit.test_call_legs import GIVEN_UP, HANDED_ON, MESSAGE, NINE, OUTBOUND, RUNG, clock, raw

pytestmark = pytest.mark.integration


class Desk:
    """A node's file of events and whoever reads it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.file = database, folder / "events.json"
        self.living: set[str] = set()
        self.details = self.begin()

    def begin(self) -> Details:
        """As after a restart."""

        async def living() -> set[str]:
            return self.living

        self.details = Details(self.database, "n", self.file, living)
        return self.details

    def happens(self, *lines: str) -> None:
        with self.file.open("ab") as file:
            for line in lines:
                file.write(json.dumps(raw(line), separators=(",", ":")).encode() + b"\n")

    async def legs(self) -> Sequence[CallLeg]:
        async with self.database.session() as session:
            return (await session.scalars(select(CallLeg).order_by(CallLeg.started_at, CallLeg.id))).all()

    async def call(self, call_id: str) -> Call | None:
        async with self.database.session() as session:
            return await session.get(Call, call_id)


@pytest.fixture
def desk(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    at_ten = datetime.fromtimestamp(NINE, UTC) + timedelta(hours=1)
    monkeypatch.setattr(reading, "now", lambda: at_ten)
    return Desk(database, tmp_path)


@pytest.fixture
async def phones(database: Database, ours: Furnished) -> dict[str, str]:
    """User name -> id of the devices in the tables."""
    async with database.session() as session:
        made = [
            (await create_device(session, SECRET_KEY, ours.account_id, name))[0] for name in ("1001", "1002")
        ]
    return {device.username: device.id for device in made}


def lines_of(text: str) -> list[str]:
    return text.strip().splitlines()


def call_row(ours: Furnished, call_id: str, **more: object) -> Call:
    facts = {
        "id": call_id,
        "node": "n",
        "account_id": ours.account_id,
        "number_id": ours.number_id,
        "dialled": ours.e164,
        "caller": "+819011112222",
        "caller_kind": CallerKind.NUMBER,
        "started_at": clock(0),
        **more,
    }
    return Call(**facts)


async def test_a_call_becomes_its_legs(desk: Desk, ours: Furnished, phones: dict[str, str]) -> None:
    async with desk.database.session() as session:
        session.add(call_row(ours, "n-3", answered_at=clock(0), ended_at=clock(1), result="answered"))
    desk.happens(*lines_of(RUNG))
    await desk.details.look()
    outside, inside, late = await desk.legs()
    assert {leg.call_id for leg in (outside, inside, late)} == {"n-3"}
    assert {leg.account_id for leg in (outside, inside, late)} == {ours.account_id}
    assert {(leg.number_id, leg.number) for leg in (outside, inside)} == {(ours.number_id, ours.e164)}
    assert (outside.role, outside.device, outside.other_party) == (LegRole.CALLER, None, "+819011112222")
    assert (inside.role, inside.device, inside.device_id) == (LegRole.CALLEE, "1001", phones["1001"])
    assert (late.result, late.answered_at) == ("answered_elsewhere", None)
    assert desk.details.waiting == 0
    # The record had whole seconds, as the dialplan's slip has, and did not know the device.
    call = await desk.call("n-3")
    assert call is not None
    assert (call.answered_at, call.ended_at) == (clock(0.529), clock(1.536))
    assert (call.device_id, call.result) == (phones["1001"], "answered")


async def test_events_wait_until_their_call_is_over(desk: Desk, ours: Furnished) -> None:
    lines = lines_of(RUNG)
    for known, line in enumerate(lines[:-2], start=1):
        desk.happens(line)
        await desk.begin().look()
        assert await desk.legs() == []
        assert desk.details.waiting == known
    desk.happens(*lines[-2:])
    await desk.begin().look()
    assert len(await desk.legs()) == 3
    assert desk.details.waiting == 0


async def test_what_was_just_over_waits_a_moment(
    desk: Desk, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control plane's own record comes first."""
    desk.happens(*lines_of(MESSAGE))
    monkeypatch.setattr(reading, "now", lambda: clock(3))
    await desk.details.look()
    assert await desk.legs() == []
    monkeypatch.setattr(reading, "now", lambda: clock(5))
    await desk.details.look()
    assert len(await desk.legs()) == 1


@pytest.mark.parametrize("dies_at", ["move", "keep_legs"])
async def test_killed_in_the_middle(
    desk: Desk, ours: Furnished, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost and nothing doubled: what was read and how far are one transaction."""
    desk.happens(*lines_of(RUNG)[:4])
    await desk.details.look()
    desk.happens(*lines_of(RUNG)[4:], *lines_of(GIVEN_UP)[:3])
    whole = getattr(reading, dies_at)

    async def dies(*given: object) -> None:
        await whole(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(reading, dies_at, dies)
        with pytest.raises(KeyboardInterrupt):
            await desk.details.look()
    assert await desk.legs() == []
    for _ in range(3):
        await desk.begin().look()
    assert len(await desk.legs()) == 3
    assert desk.details.waiting == 3
    desk.happens(*lines_of(GIVEN_UP)[3:])
    await desk.begin().look()
    assert len(await desk.legs()) == 5
    assert desk.details.waiting == 0


async def test_two_readers_do_not_double(desk: Desk, ours: Furnished) -> None:
    """As after a failover: the first notices, and goes on from where the other is."""
    desk.happens(*lines_of(MESSAGE)[:2])
    first, second = desk.details, desk.begin()
    await first.look()
    await second.look()
    desk.happens(*lines_of(MESSAGE)[2:])
    await second.look()
    with pytest.raises(ReadByAnother):
        await first.look()
    desk.happens(*lines_of(RUNG))
    await first.look()
    assert len(await desk.legs()) == 4


async def test_a_new_life_reads_what_goes_on_again(desk: Desk, ours: Furnished) -> None:
    """One call goes on while others begin and end: each has its legs once, in however many lives."""
    desk.happens(*lines_of(RUNG)[:4])
    await desk.details.look()
    desk.happens(*lines_of(MESSAGE))
    await desk.details.look()
    assert [leg.call_id for leg in await desk.legs()] == ["n-2"]
    await desk.begin().look()
    desk.happens(*lines_of(RUNG)[4:])
    await desk.details.look()
    legs = await desk.legs()
    assert sorted(leg.call_id for leg in legs) == ["n-2", "n-3", "n-3", "n-3"]
    assert desk.details.waiting == 0


async def test_asterisk_was_killed_in_a_call(
    desk: Desk, ours: Furnished, phones: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The legs end when their channels were last seen alive, and so does the record."""
    clocks = {"at": clock(6)}
    monkeypatch.setattr(reading, "now", lambda: clocks["at"])
    monkeypatch.setattr(reading, "ALIVE_S", 0.0)
    async with desk.database.session() as session:
        session.add(call_row(ours, "n-20", direction="outbound", dialled="0312340000", caller=ours.e164))
    desk.living = {"n-20", "n-21"}
    desk.happens(*lines_of(OUTBOUND)[:6])
    await desk.details.look()
    for second in (20, 30, 40):
        clocks["at"] = clock(second)
        await desk.details.look()
    desk.living = set()
    clocks["at"] = clock(44)
    # A new life of ours: what the last one saw stands in the store.
    await desk.begin().look()
    assert await desk.legs() == []
    clocks["at"] = clock(60)
    await desk.details.look()
    device, trunk = await desk.legs()
    assert (device.ended_at, device.end_seen, device.result) == (clock(40), False, "answered")
    assert (trunk.ended_at, trunk.end_seen) == (clock(40), False)
    assert desk.details.waiting == 0


async def settle(desk: Desk, call_id: str) -> None:
    """Do the job, some seconds later."""
    async with desk.database.session() as session:
        for waiting in await session.scalars(select(Job).where(Job.kind == SETTLE_CALL)):
            waiting.run_at = now() - timedelta(seconds=1)
    (job,) = await take(desk.database, (SETTLE_CALL,), "w", 30, 10)
    assert job.subject_id == call_id
    await desk.details.settle(job)


async def test_a_record_that_was_left_open_is_closed(
    desk: Desk, ours: Furnished, phones: dict[str, str]
) -> None:
    async with desk.database.session() as session:
        session.add(call_row(ours, "n-40", started_at=clock(0)))
    desk.happens(*lines_of(HANDED_ON))
    await desk.details.look()
    call = await desk.call("n-40")
    assert call is not None
    assert call.ended_at is None, "the control plane may be about to close it"
    await settle(desk, "n-40")
    call = await desk.call("n-40")
    assert call is not None
    assert (call.answered_at, call.ended_at, call.result) == (clock(2), clock(30.1), "answered")


async def test_an_end_that_nobody_saw_gets_its_time(desk: Desk, ours: Furnished) -> None:
    async with desk.database.session() as session:
        session.add(call_row(ours, "n-6", ended_at=clock(500), result="ended_unseen"))
    desk.happens(*lines_of(GIVEN_UP))
    await desk.details.look()
    call = await desk.call("n-6")
    assert call is not None
    assert (call.ended_at, call.result) == (clock(3.249), "hung_up")


@pytest.mark.parametrize(
    ("text", "call_id", "direction", "answered"),
    [(RUNG, "n-3", "inbound", 0.529), (OUTBOUND, "n-20", "outbound", 5.0)],
)
async def test_a_call_that_nobody_wrote_down_gets_its_record(
    desk: Desk,
    ours: Furnished,
    phones: dict[str, str],
    text: str,
    call_id: str,
    direction: str,
    answered: float,
) -> None:
    desk.happens(*lines_of(text))
    await desk.details.look()
    assert await desk.call(call_id) is None
    await settle(desk, call_id)
    call = await desk.call(call_id)
    assert call is not None
    assert (call.account_id, call.direction, call.result) == (ours.account_id, direction, "answered")
    assert (call.answered_at, call.device_id) == (clock(answered), phones["1001"])
    async with desk.database.session() as session:
        events = await session.scalars(select(JournalEntry.event).where(JournalEntry.call_id == call_id))
        assert list(events) == ["arrived", "ended"]


async def test_details_are_kept_for_fourteen_months(desk: Desk, ours: Furnished) -> None:
    desk.happens(*lines_of(RUNG))
    await desk.details.look()
    await settle(desk, "n-3")
    assert await purge_details(desk.database, clock(0) + timedelta(days=425)) == 0
    assert await purge_details(desk.database, clock(0) + timedelta(days=429)) >= 5
    assert await desk.legs() == []
    assert await desk.call("n-3") is not None, "invoices stand on it"


async def test_details_outlive_their_device(desk: Desk, ours: Furnished, phones: dict[str, str]) -> None:
    desk.happens(*lines_of(RUNG))
    await desk.details.look()
    await settle(desk, "n-3")
    async with desk.database.session() as session:
        await delete_device(session, ours.account_id, phones["1001"])
    async with desk.database.session() as session:
        assert await session.get(Device, phones["1001"]) is None
    assert [leg.device for leg in await desk.legs()] == [None, "1001", "1002"]
    call = await desk.call("n-3")
    assert call is not None
    assert call.device_id is None
