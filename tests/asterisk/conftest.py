"""One instance for all tests of this tier, and the check that none of them leaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from store.database import open_database
from store.e164 import E164, parse_e164
from store.media import Media
from store.models import NumberUse, OutboundSetting, PhoneNumber, new_id
from store.numbers import add_number, set_rusurepo
from store.prompts import add_prompt
from store.rules import create_rule
from tests.cable import Cable, cable_to
from tests.running_switch import RunningSwitch, free_ports, running_switch, until
from tests.sip import Call, SipCaller, tone, tone_of, write_wav

SPARE_FILES = 45
"""Connections kept for the next request, to Asterisk and to the database."""

_first_count: dict[int, int] = {}
"""Process id -> its open files when it was first seen."""

START_HZ, HOLIDAY_HZ, TONE_HZ, END_HZ = 600, 700, 1000, 1400
START_S, END_S = 1.5, 1.5


@dataclass(frozen=True)
class Line:
    """A number of the instance with short prompts that can be told apart by ear."""

    number_id: str
    e164: E164
    usual_rule: str
    holiday_rule: str

    @property
    def dialled(self) -> str:
        return f"0{self.e164[3:]}"


@pytest.fixture(scope="session")
def ari_cable() -> Iterator[tuple[Cable, int]]:
    """A cable between the control plane and Asterisk, and the port that Asterisk must take."""
    (ari_port,) = free_ports(1)
    with cable_to(ari_port) as cable:
        yield cable, ari_port


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, ari_cable: tuple[Cable, int]
) -> Iterator[RunningSwitch]:
    cable, ari_port = ari_cable
    chosen = {
        "DENWABAN_ARI_PORT": str(ari_port),
        "DENWABAN_ARI_CONNECT_PORT": str(cable.port),
        # Above these are strangers.
        "DENWABAN_TRUNK_ACCEPT": "127.0.0.0/26",
    }
    with running_switch(tmp_path_factory.mktemp("switch") / "var", **chosen) as switch:
        yield switch


@pytest.fixture(scope="session")
def line(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Line:
    return asyncio.run(short_line(running, tmp_path_factory.mktemp("prompts"), "0311112222"))


async def short_line(running: RunningSwitch, folder: Path, number: str) -> Line:
    """Give the demo account one more number, 留守レポ ON, with prompts of a second and a half."""
    database = open_database(running.database_url, busy_timeout_s=20)
    media = Media(running.var / "media")
    try:
        async with database.session() as session:
            owner = await session.get(PhoneNumber, running.voice_number["id"])
            assert owner is not None
            added = await add_number(session, owner.account_id, parse_e164(number), NumberUse.VOICE)
            made: dict[str, str] = {}
            for name, hertz, seconds in (
                ("start", START_HZ, START_S),
                ("holiday", HOLIDAY_HZ, START_S),
                ("end", END_HZ, END_S),
            ):
                write_wav(folder / f"{name}.wav", tone(hertz, seconds))
                wav = (folder / f"{name}.wav").read_bytes()
                prompt = await add_prompt(session, media, owner.account_id, added.id, name, wav)
                made[name] = prompt.id
            usual = await create_rule(
                session, owner.account_id, added.id, "usual", made["start"], made["end"]
            )
            holiday = await create_rule(
                session, owner.account_id, added.id, "holiday", made["holiday"], made["end"]
            )
            await set_rusurepo(session, owner.account_id, added.id, True, usual.id)
            line = Line(added.id, parse_e164(number), usual.id, holiday.id)
    finally:
        await database.close()
    until(lambda: line.e164 in running.asterisk_says("database show number"), 10, "Asterisk was told")
    return line


@pytest.fixture
def cable(ari_cable: tuple[Cable, int]) -> Iterator[Cable]:
    yield ari_cable[0]
    ari_cable[0].give_up()


@pytest.fixture
def switch(running: RunningSwitch) -> Iterator[RunningSwitch]:
    """The instance, ready; after the test no channel, call, task or file may be left."""
    running.wait_ready()
    for part in ("asterisk", "controller"):
        _first_count.setdefault(running.pid(part), running.open_files(part))
    yield running
    running.wait_ready()
    until(lambda: running.channels() == 0, 20, "no channel is left")
    until(lambda: running.figures()["calls"] == 0, 20, "no call is left")
    until(lambda: running.figures()["notes_waiting"] == 0, 20, "every note is written")
    until(lambda: running.figures()["tasks"] < 20, 20, "no task is left")
    until(
        lambda: not list(running.spool.glob("*.*")),
        20,
        f"the spool is empty: {list(running.spool.glob('*'))}",
    )
    until(lambda: not list(running.call_spool.glob("*.*")), 60, "the spool of calls is empty")
    for part in ("asterisk", "controller"):
        most = _first_count.get(running.pid(part), 10_000) + SPARE_FILES
        until(lambda part=part, most=most: running.open_files(part) <= most, 20, f"{part} leaks no file")  # type: ignore[misc]


@pytest.fixture
async def phone() -> AsyncIterator[SipCaller]:
    async with SipCaller() as caller:
        yield caller


@pytest.fixture
def caller_number() -> str:
    """A caller nobody else is, so that a test finds its own message."""
    return f"090{int(new_id()[:8], 16) % 90000000 + 10000000}"


async def heard(speaker: Call, listener: Call) -> None:
    """Wait until one hears the other. Within milliseconds of the answer nobody can be transferred."""
    await asyncio.gather(speaker.speak(tone(TONE_HZ, 1.0)), listener.hear(tone_of(TONE_HZ), 10))


@pytest.fixture
async def no_call_back(running: RunningSwitch) -> AsyncIterator[None]:
    """For a test that calls 110: no call-back is awaited afterwards, which would put every call through."""
    yield
    database = open_database(running.database_url, busy_timeout_s=20)
    try:
        async with database.session() as session:
            await session.execute(update(OutboundSetting).values(callback_until=None))
    finally:
        await database.close()
    running.asterisk_says("database deltree callback")
