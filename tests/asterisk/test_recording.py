"""Recorded calls: who hears the announcement, what is recorded from when on, what outlives which death."""

import asyncio
from datetime import datetime
from hashlib import sha256

import pytest

from tests.asterisk.conftest import Line, short_line
from tests.asterisk.recorded import (
    ANNOUNCED_HZ,
    EARLY_HZ,
    INSIDE_HZ,
    OUTSIDE_HZ,
    PAUSED_HZ,
    called_out,
    connected,
    events_of,
    noted,
    recording_of,
    recordings_of,
    renewed,
    set_recording,
    talk,
    through_the_announcement,
    transfer,
)
from tests.asterisk.test_callers import registered
from tests.running_switch import RunningSwitch, eventually, until
from tests.sip import SipCaller, tone, tone_of
from tests.sip.audio import share_of

pytestmark = pytest.mark.asterisk

NUMBER = "0311117777"
COLLEAGUE_HZ, ASKED_HZ = 1700, 2000


@pytest.fixture(scope="session")
def recorded(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A number whose devices ring at once."""
    line = asyncio.run(short_line(running, tmp_path_factory.mktemp("recorded"), NUMBER))
    off = {"enabled": False, "rule_id": None}
    asyncio.run(running.ask("PUT", f"/api/v1/numbers/{line.number_id}/rusurepo", json=off))
    until(
        lambda: (
            "/rusurepo " not in running.asterisk_says(f"database show number/{line.e164}/rusurepo")
            or "off" in running.asterisk_says(f"database show number/{line.e164}/rusurepo")
        ),
        10,
        "Asterisk was told",
    )
    return line


async def call_id_of(switch: RunningSwitch, caller_number: str) -> str:
    (call,) = await eventually(lambda: switch.calls_of(caller_number), 10, "the call")
    return str(call["id"])


async def test_both_sides_are_recorded_after_the_announcement(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """With a hold, a pause by our party's keys and one by the API; the key of ours alone does nothing."""
    prompt = await set_recording(switch, recorded)
    async with connected(switch, recorded, caller_number) as (outside, inside):
        call_id = await call_id_of(switch, caller_number)
        control = f"/api/v1/calls/{call_id}/recording"
        await through_the_announcement(outside, inside)
        await talk(outside, inside, 1.5)
        await inside.hold()
        await outside.speak(tone(OUTSIDE_HZ, 1.0))
        await inside.resume()
        await inside.press("*92")
        await noted(switch, call_id, "paused")
        await outside.speak(tone(PAUSED_HZ, 0.5))
        await inside.press("*93")
        await noted(switch, call_id, "begun", 2)
        await outside.press("D")
        await talk(outside, inside, 0.5)
        assert await switch.ask("POST", f"{control}:pause") == {"state": "paused"}
        await outside.speak(tone(PAUSED_HZ, 0.5))
        assert await switch.ask("POST", f"{control}:resume") == {"state": "recording"}
        await talk(outside, inside, 0.5)
        # Its end was heard by ours, before the two were connected.
        assert not any(share_of(packet.samples, ANNOUNCED_HZ) > 0.5 for packet in inside.heard if packet.loud)
        announced = [packet for packet in outside.heard if share_of(packet.samples, ANNOUNCED_HZ) > 0.5]
        assert 1.3 < len(announced) / 50 < 1.7
        assert outside.sound.digits() == ""
    played = await switch.download(f"/api/v1/prompts/{prompt['id']}/audio")
    shown, sound = await recording_of(switch, call_id)
    assert sound.seconds == pytest.approx(shown["duration_s"], abs=0.01)
    for hertz in (ANNOUNCED_HZ, EARLY_HZ, PAUSED_HZ):
        assert sound.seconds_of(hertz) == (0, 0)
    outside_s, inside_s = sound.seconds_of(OUTSIDE_HZ), sound.seconds_of(INSIDE_HZ)
    assert outside_s[0] > 3.0
    assert outside_s[1] == 0
    assert inside_s[0] == 0
    assert inside_s[1] > 2.0
    assert (shown["direction"], shown["other_party"]) == ("inbound", f"+81{caller_number[1:]}")
    assert (shown["number"], shown["complete"], len(shown["sections"])) == (recorded.e164, True, 3)
    evidence = shown["announcement"]
    assert (evidence["prompt_id"], evidence["sha256"]) == (prompt["id"], sha256(played).hexdigest())
    assert (evidence["played_to_end"], evidence["played_to"]) == (True, shown["other_party"])
    began, ended = (datetime.fromisoformat(evidence[key]) for key in ("started_at", "ended_at"))
    assert (ended - began).total_seconds() == pytest.approx(1.5, abs=0.1)
    assert 0 <= (datetime.fromisoformat(shown["started_at"]) - ended).total_seconds() < 0.1
    assert await events_of(switch, call_id) == [
        "recording_announced",
        "recording_begun",
        "recording_paused",
        "recording_resumed",
        "recording_paused",
        "recording_resumed",
        "recording_kept",
    ]


async def test_hanging_up_during_the_announcement(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """Nothing is recorded, and the journal says that it was not heard to its end."""
    await set_recording(switch, recorded)
    async with connected(switch, recorded, caller_number) as (outside, _):
        await outside.hear(tone_of(ANNOUNCED_HZ), 5)
        await outside.hang_up()
        call_id = await call_id_of(switch, caller_number)

    async def told() -> list[str]:
        return await events_of(switch, call_id)

    assert await eventually(told, 20, "the journal") == ["recording_announcement_broken_off"]
    assert await recordings_of(switch, call_id) == []


async def test_the_control_plane_is_killed_in_a_recorded_call(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """All of it, before the announcement's end: the call goes on, and the recording is whole."""
    await set_recording(switch, recorded)
    async with connected(switch, recorded, caller_number) as (outside, inside):
        call_id = await call_id_of(switch, caller_number)
        for part in ("controller", "after_calls"):
            switch.kill(part)
        await through_the_announcement(outside, inside)
        await talk(outside, inside, 2.0)
    shown, sound = await recording_of(switch, call_id)
    assert (shown["complete"], shown["announcement"]["played_to_end"]) == (True, True)
    assert sound.seconds_of(OUTSIDE_HZ)[0] >= 1.9
    assert sound.seconds_of(INSIDE_HZ)[1] >= 1.9


async def test_recording_on_demand(switch: RunningSwitch, recorded: Line, caller_number: str) -> None:
    """The announcement comes in the middle of the call, to the party outside alone, and once."""
    await set_recording(switch, recorded, inbound=False)
    async with connected(switch, recorded, caller_number) as (outside, inside):
        call_id = await call_id_of(switch, caller_number)
        control = f"/api/v1/calls/{call_id}/recording"
        await talk(outside, inside, 0.5)
        with pytest.raises(AssertionError, match="not_recording"):
            await switch.ask("POST", f"{control}:pause")
        assert await switch.ask("POST", f"{control}:start") == {"state": "announcing"}
        await outside.speak(tone(EARLY_HZ, 1.0))
        await noted(switch, call_id, "begun")
        await talk(outside, inside, 1.0)
        assert await switch.ask("POST", f"{control}:stop") == {"state": "stopped"}
        await outside.speak(tone(PAUSED_HZ, 0.5))
        await inside.press("*91")
        await noted(switch, call_id, "begun", 2)
        await talk(outside, inside, 0.5)
        announced = [packet for packet in outside.heard if share_of(packet.samples, ANNOUNCED_HZ) > 0.5]
        assert 1.3 < len(announced) / 50 < 1.7
        assert not any(share_of(packet.samples, ANNOUNCED_HZ) > 0.5 for packet in inside.heard if packet.loud)
    shown, sound = await recording_of(switch, call_id)
    assert sound.seconds_of(EARLY_HZ) == sound.seconds_of(PAUSED_HZ) == (0, 0)
    assert sound.seconds_of(OUTSIDE_HZ)[0] >= 1.2
    assert sound.seconds_of(INSIDE_HZ)[1] >= 1.2
    assert (shown["announcement"]["played_to_end"], len(shown["sections"])) == (True, 2)
    await switch.finished_call_of(caller_number)
    with pytest.raises(AssertionError, match="call_over"):
        await switch.ask("POST", f"{control}:start")


async def test_a_call_from_here_is_announced_to_who_is_called(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """And to nobody else; ours waits no longer than it takes."""
    await set_recording(switch, recorded)
    async with called_out(switch, recorded, caller_number) as (outside, inside):
        await inside.answered(5)
        await through_the_announcement(outside, inside)
        await talk(outside, inside, 1.5)
        announced = [packet for packet in outside.heard if share_of(packet.samples, ANNOUNCED_HZ) > 0.5]
        assert 1.3 < len(announced) / 50 < 1.7
        assert not any(share_of(packet.samples, ANNOUNCED_HZ) > 0.5 for packet in inside.heard if packet.loud)
        (call,) = await switch.calls_of(caller_number)
        await inside.press("*92")
        await noted(switch, call["id"], "paused")
        control = f"/api/v1/calls/{call['id']}/recording"
        assert await switch.ask("POST", f"{control}:resume") == {"state": "recording"}
    shown, sound = await recording_of(switch, call["id"])
    assert (shown["direction"], shown["number"]) == ("outbound", recorded.e164)
    assert (shown["other_party"], shown["complete"]) == (f"+81{caller_number[1:]}", True)
    assert shown["announcement"]["played_to_end"] is True
    for hertz in (ANNOUNCED_HZ, EARLY_HZ):
        assert sound.seconds_of(hertz) == (0, 0)
    assert sound.seconds_of(OUTSIDE_HZ)[0] >= 1.4
    assert sound.seconds_of(INSIDE_HZ)[1] >= 1.4


async def test_it_goes_on_when_the_call_is_transferred(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """Whoever has it then is on the right, nothing is announced again, and the API and keys control it."""
    await set_recording(switch, recorded)
    async with (
        registered(switch, 1) as second,
        connected(switch, recorded, caller_number) as (outside, inside),
    ):
        assert (await (await second.incoming(10)).ended(5)).by == "switch"
        call_id = await call_id_of(switch, caller_number)
        await through_the_announcement(outside, inside)
        await talk(outside, inside, 1.0)
        await transfer(inside, switch.uri(switch.ready["devices"][1]["username"]))
        colleague = await second.incoming(10)
        await inside.hang_up()
        await colleague.answer()
        hearing = asyncio.create_task(colleague.hear(tone_of(OUTSIDE_HZ), 10))
        while not hearing.done():
            await outside.speak(tone(OUTSIDE_HZ, 0.2))
        await asyncio.gather(outside.speak(tone(OUTSIDE_HZ, 1.0)), colleague.speak(tone(COLLEAGUE_HZ, 1.0)))
        control = f"/api/v1/calls/{call_id}/recording"
        assert await switch.ask("POST", f"{control}:pause") == {"state": "paused"}
        await colleague.speak(tone(PAUSED_HZ, 0.5))
        assert await switch.ask("POST", f"{control}:resume") == {"state": "recording"}
        await colleague.press("*92")
        await noted(switch, call_id, "paused", 2)
        await colleague.speak(tone(PAUSED_HZ, 0.5))
        await colleague.press("*93")
        await noted(switch, call_id, "begun", 3)
        await colleague.speak(tone(COLLEAGUE_HZ, 0.5))
        assert outside.sound.digits() == ""
    shown, sound = await recording_of(switch, call_id)
    assert (shown["complete"], len(shown["sections"])) == (True, 3)
    for hertz in (ANNOUNCED_HZ, PAUSED_HZ):
        assert sound.seconds_of(hertz) == (0, 0)
    assert sound.seconds_of(INSIDE_HZ)[1] >= 0.9
    assert sound.seconds_of(COLLEAGUE_HZ)[1] >= 1.3
    assert sound.seconds_of(COLLEAGUE_HZ)[0] == 0


async def test_it_goes_on_when_a_colleague_was_asked_first(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """REFER with Replaces: the colleague, who was called before, is on the right, and its keys control it."""
    await set_recording(switch, recorded)
    async with (
        registered(switch, 1) as second,
        connected(switch, recorded, caller_number) as (outside, inside),
    ):
        assert (await (await second.incoming(10)).ended(5)).by == "switch"
        call_id = await call_id_of(switch, caller_number)
        await through_the_announcement(outside, inside)
        await talk(outside, inside, 1.0)
        await inside.hold()
        colleague_name = switch.ready["devices"][1]["username"]
        device = inside._phone
        assert isinstance(device, SipCaller)
        asking = await device.invite(switch.uri(colleague_name))
        colleague = await second.incoming(10)
        await colleague.answer()
        await asking.answered(5)
        await asyncio.gather(asking.speak(tone(ASKED_HZ, 0.5)), colleague.speak(tone(ASKED_HZ, 0.5)))
        await colleague.press("*91")
        await inside.refer(switch.uri(colleague_name), instead_of=asking)
        await asyncio.gather(inside.hang_up(), asking.hang_up())
        hearing = asyncio.create_task(colleague.hear(tone_of(OUTSIDE_HZ), 10))
        while not hearing.done():
            await outside.speak(tone(OUTSIDE_HZ, 0.2))
        # The control plane notices within a second that somebody else speaks.
        await eventually(lambda: renewed(switch, call_id), 10, "the recording is begun anew")
        await asyncio.gather(outside.speak(tone(OUTSIDE_HZ, 1.0)), colleague.speak(tone(COLLEAGUE_HZ, 1.0)))
        await colleague.press("*92")
        await noted(switch, call_id, "paused")
        await colleague.speak(tone(PAUSED_HZ, 0.5))
        await colleague.press("*93")
        await noted(switch, call_id, "begun", 2)
        await colleague.speak(tone(COLLEAGUE_HZ, 0.5))
    shown, sound = await recording_of(switch, call_id)
    assert (shown["complete"], len(shown["sections"])) == (True, 2)
    evidence = shown["announcement"]
    assert (evidence["played_to_end"], evidence["played_to"]) == (True, f"+81{caller_number[1:]}")
    for hertz in (ANNOUNCED_HZ, PAUSED_HZ, ASKED_HZ):
        assert sound.seconds_of(hertz) == (0, 0)
    assert sound.seconds_of(OUTSIDE_HZ)[0] >= 1.9
    assert sound.seconds_of(INSIDE_HZ)[1] >= 0.9
    assert sound.seconds_of(COLLEAGUE_HZ)[1] >= 1.3


async def test_asterisk_is_killed_in_a_recorded_call(
    switch: RunningSwitch, recorded: Line, caller_number: str
) -> None:
    """What was recorded until a second before can be heard."""
    await set_recording(switch, recorded, announcement=False)
    async with registered(switch) as device, SipCaller() as phone:
        outside = await phone.invite(switch.uri(recorded.dialled), caller_number)
        inside = await device.incoming(10)
        await inside.answer()
        await outside.answered(5)
        call_id = await call_id_of(switch, caller_number)
        await talk(outside, inside, 3.0)
        switch.kill("asterisk")
        outside.vanish()
        inside.vanish()
        switch.wait_ready()
    shown, sound = await recording_of(switch, call_id, 40)
    assert (shown["complete"], shown["announcement"]) == (False, None)
    assert sound.seconds_of(OUTSIDE_HZ)[0] >= 1.5
    assert sound.seconds_of(INSIDE_HZ)[1] >= 1.5
