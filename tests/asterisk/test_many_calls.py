"""Many recorded calls at once: each rings every telephone, is told, and is recorded whole on both sides."""

import asyncio
from contextlib import closing

import pytest

from bench.numbered import Track, tracks
from bench.talking import Exchange
from bench.talks import Script, Talk
from tests.asterisk.conftest import START_S, short_line
from tests.asterisk.recorded import set_recording
from tests.running_switch import Json, RunningSwitch, until

pytestmark = pytest.mark.asterisk

COUNT, EACH_SECOND = 20, 10
TALK_S = 4.0
LEEWAY_S = 0.1
MISSING_ON_A_BUSY_MACHINE = 10
"""Packets of a side: MixMonitor throws away what waits where the other side is more than 100 ms behind.
Who was not recorded, or on the wrong channel, would lack two hundred."""


@pytest.fixture
def dialled(switch: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A number that records, and for which the account's telephones ring at once."""
    line = asyncio.run(short_line(switch, tmp_path_factory.mktemp("many"), "0311118800"))
    off = {"enabled": False, "rule_id": None}
    asyncio.run(switch.ask("PUT", f"/api/v1/numbers/{line.number_id}/rusurepo", json=off))
    asyncio.run(set_recording(switch, line))
    rusurepo = f"database show number/{line.e164}/rusurepo"
    until(lambda: "on" not in switch.asterisk_says(rusurepo).split(), 10, "Asterisk was told")
    return line.dialled


def recordings(switch: RunningSwitch, talks: list[Talk]) -> dict[str, Json]:
    """Caller as dialled -> the recording, of those that are there already."""
    callers = {f"+81{talk.caller[1:]}": talk.caller for talk in talks}
    page = asyncio.run(switch.ask("GET", "/api/v1/recordings?limit=100"))
    return {callers[one["other_party"]]: one for one in page["items"] if one["other_party"] in callers}


def test_twenty_recorded_calls_at_once_are_whole(switch: RunningSwitch, dialled: str) -> None:
    script = Script(dialled, 0.3, START_S, TALK_S)
    phones = {one["username"]: one["password"] for one in switch.ready["devices"]}
    with closing(Exchange(("127.0.0.1", switch.sip_port))) as exchange:
        for username, password in phones.items():
            exchange.register(username, password)
        talks = exchange.run([(number / EACH_SECOND, script) for number in range(COUNT)]).talks
        for username, password in phones.items():
            exchange.register(username, password, expires_s=0)
    assert [talk.failure for talk in talks] == [None] * COUNT
    assert {talk.rung for talk in talks} == {len(phones)}
    # All of them were talking before the first hung up.
    assert max(talk.outside.first_heard_at or 0 for talk in talks) < min(
        talk.hung_up_at or 0 for talk in talks
    )
    until(lambda: len(recordings(switch, talks)) == COUNT, 20, "every recording is there")
    found = recordings(switch, talks)
    for talk in talks:
        shown = found[talk.caller]
        wav = asyncio.run(switch.download(f"/api/v1/recordings/{shown['id']}/audio"))
        assert shown["announcement"]["played_to_end"]
        outside, inside = tracks(wav[44:])
        assert is_whole(outside, talk.inside.heard)
        assert is_whole(inside, talk.outside.heard)


def is_whole(recorded: Track, heard: int) -> bool:
    """What was recorded of a side is what the other side heard of it, in packets of 20 ms."""
    long_enough = recorded.seconds >= heard / 50 - LEEWAY_S
    return recorded.packets > 0 and long_enough and recorded.missing <= MISSING_ON_A_BUSY_MACHINE
