"""The meter: what it does at each look, against an Asterisk that is only told."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pbx import metering
from pbx.metering import Meter, is_answered, legs_of, should_ask
from store.credit import release, reserve, top_up
from store.database import Database, open_database
from store.media import Media
from store.models import TopUpSource
from tests.furnishing import Furnished, furnish, wav
from tests.tariffs import publish_example

pytestmark = pytest.mark.unit

START = datetime(2026, 11, 10, 3, 0, tzinfo=UTC)
CALL = "test-1"


class Asterisk:
    """Holds channels, and notes what it is told."""

    def __init__(self) -> None:
        self.legs: list[dict[str, Any]] = []
        self.limits: list[tuple[str, float]] = []
        self.whispered: list[str] = []

    def ring(self) -> None:
        self.legs = [self._leg(CALL, "Ring"), self._leg("test-2", "Ringing")]

    def answer(self) -> None:
        self.legs = [self._leg(CALL, "Up"), self._leg("test-2", "Up")]

    def _leg(self, channel: str, state: str) -> dict[str, Any]:
        return {"id": channel, "name": f"PJSIP/{channel}", "state": state, "channelvars": {"CALL_ID": CALL}}

    async def channels(self) -> list[dict[str, Any]]:
        return self.legs

    async def limit(self, channel_name: str, seconds: float) -> None:
        self.limits.append((channel_name, round(seconds)))

    async def whisper_to(self, channel: str, snoop: str) -> None:
        self.whispered.append(channel)

    async def play(self, channel: str, playback: str, media: str) -> None:
        assert media.startswith("sound:")

    async def hang_up(self, channel: str, cause: int) -> None:
        assert channel == f"meter-{CALL}"


@pytest.fixture
async def database(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copyfile(migrated_sqlite, tmp_path / "denwaban.db")
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/denwaban.db")
    await publish_example(database)
    yield database
    await database.close()


@pytest.fixture
async def ours(database: Database, tmp_path: Path) -> Furnished:
    async with database.session() as session:
        return await furnish(session, Media(tmp_path / "media"), "x", "+81312345678")


@pytest.fixture
def asterisk() -> Asterisk:
    return Asterisk()


@pytest.fixture
def meter(database: Database, asterisk: Asterisk, tmp_path: Path) -> Meter:
    (tmp_path / "warning.wav").write_bytes(wav(0.1))
    return Meter(database, asterisk, asterisk, "test", tmp_path / "warning")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    at = [START]
    monkeypatch.setattr(metering, "now", lambda: at[0])
    return at


async def placed(database: Database, ours: Furnished, others: int = 0) -> int | None:
    """Our call on 0570 (20 yen for 30 s), after so many others that hold 600 yen each; its limit."""

    def place(connection: Any) -> int | None:
        allowance = None
        for call_id in [*(f"other-{n}" for n in range(others)), CALL]:
            allowance = reserve(
                connection,
                account_id=ours.account_id,
                call_id=call_id,
                destination_class="navi",
                e164="+81570123456",
                device_id=None,
                at=START,
            )
        return allowance.limit_s if allowance else None

    return await database.transaction(place)


async def test_time_runs_from_the_answer(
    meter: Meter, asterisk: Asterisk, database: Database, ours: Furnished, clock: list[datetime]
) -> None:
    assert await placed(database, ours) == 899
    asterisk.ring()
    await meter.look()
    assert asterisk.limits == []
    clock[0] += timedelta(seconds=40)
    asterisk.answer()
    await meter.look()
    assert asterisk.limits == [(f"PJSIP/{CALL}", 899), ("PJSIP/test-2", 899)]
    await meter.look()
    assert len(asterisk.limits) == 2


async def test_ringing_for_long_takes_nothing_off(
    meter: Meter, asterisk: Asterisk, database: Database, ours: Furnished, clock: list[datetime]
) -> None:
    assert await placed(database, ours, others=16) == 599
    asterisk.ring()
    clock[0] += timedelta(seconds=301)
    await meter.look()
    assert asterisk.limits == [(f"PJSIP/{CALL}", 599), ("PJSIP/test-2", 599)]


async def test_a_new_meter_that_saw_no_ringing_counts_from_the_beginning(
    meter: Meter, asterisk: Asterisk, database: Database, ours: Furnished, clock: list[datetime]
) -> None:
    await placed(database, ours)
    asterisk.answer()
    clock[0] += timedelta(seconds=100)
    await meter.look()
    assert asterisk.limits == [(f"PJSIP/{CALL}", 799), ("PJSIP/test-2", 799)]


async def test_a_call_is_extended_a_minute_before_its_limit(
    meter: Meter, asterisk: Asterisk, database: Database, ours: Furnished, clock: list[datetime]
) -> None:
    await placed(database, ours)
    asterisk.ring()
    await meter.look()
    asterisk.answer()
    await meter.look()
    asterisk.limits.clear()
    clock[0] += timedelta(seconds=850)
    await meter.look()
    assert asterisk.limits == [(f"PJSIP/{CALL}", 949), ("PJSIP/test-2", 949)]
    assert asterisk.whispered == []


async def test_without_credit_the_caller_is_told_once_and_a_top_up_helps(
    meter: Meter, asterisk: Asterisk, database: Database, ours: Furnished, clock: list[datetime]
) -> None:
    assert await placed(database, ours, others=16) == 599
    asterisk.ring()
    await meter.look()
    asterisk.answer()
    await meter.look()
    for seconds in (545, 575, 580):
        clock[0] = START + timedelta(seconds=seconds)
        await meter.look()
        await _told(meter)
    assert asterisk.whispered == [CALL]
    asterisk.limits.clear()
    await database.transaction(lambda c: top_up(c, ours.account_id, "k", TopUpSource.MANUAL, "x", clock[0]))
    clock[0] += timedelta(seconds=5)
    await meter.look()
    assert [seconds for _, seconds in asterisk.limits] == [599 + 900 - 585] * 2


async def test_a_call_that_has_ended_is_left_alone(
    meter: Meter, asterisk: Asterisk, database: Database, ours: Furnished, clock: list[datetime]
) -> None:
    await placed(database, ours)
    asterisk.answer()
    await database.transaction(lambda connection: release(connection, CALL))
    clock[0] += timedelta(seconds=880)
    await meter.look()
    assert asterisk.limits == []


async def _told(meter: Meter) -> None:
    for watched in meter._watched.values():
        if watched.telling is not None:
            await watched.telling


def test_legs_are_found_by_their_call() -> None:
    channels = [
        {"id": "a", "channelvars": {}},
        {"id": "b", "channelvars": {"CALL_ID": "a"}},
        {"id": "meter-a", "channelvars": {"CALL_ID": "a"}},
    ]
    assert {call: [leg["id"] for leg in legs] for call, legs in legs_of(channels).items()} == {
        "a": ["a", "b"]
    }
    assert not is_answered("a", [{"id": "a", "state": "Up"}, {"id": "b", "state": "Ringing"}])
    assert is_answered("a", [{"id": "b", "state": "Up"}])


@pytest.mark.parametrize(
    ("left_s", "asked_s_ago", "asks"),
    [(61, None, False), (60, None, True), (50, 1, False), (50, 4, True), (3, 0.5, True), (0, None, False)],
)
def test_more_is_asked_for_now_and_then(left_s: float, asked_s_ago: float | None, asks: bool) -> None:
    asked = None if asked_s_ago is None else START - timedelta(seconds=asked_s_ago)
    assert should_ask(left_s, asked, START) is asks
