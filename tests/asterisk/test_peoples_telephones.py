"""Telephones that people have, baresip and Linphone, set up by nothing but what the API gives."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scripts.softphone import Softphone, softphone
from tests.asterisk.conftest import Line, short_line
from tests.asterisk.recorded import ANNOUNCED_HZ, recording_of, renewed, set_recording
from tests.asterisk.test_outbound import carrier
from tests.asterisk.test_people import plan_of
from tests.linphone import Linphone, linphone
from tests.running_switch import CHECKOUT, Json, RunningSwitch, eventually
from tests.sip import SipCaller, tone, tone_of, write_wav
from tests.sip.audio import dominant_frequency, read_wav

pytestmark = pytest.mark.asterisk

LINPHONE_HZ, BARESIP_HZ, OUTSIDE_HZ = 700, 1000, 1500
TRANSFERRED = "09033330021"


@pytest.fixture(scope="session")
def reception(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A number that rings telephones."""
    line = asyncio.run(short_line(running, tmp_path_factory.mktemp("reception"), "0311118888"))
    off = {"enabled": False, "rule_id": None}
    asyncio.run(running.ask("PUT", f"/api/v1/numbers/{line.number_id}/rusurepo", json=off))
    return line


def tools() -> Json:
    found: Json = json.loads((CHECKOUT / ".cache" / "tools.json").read_text())
    return found


async def device(switch: RunningSwitch, name: str, short_number: str) -> Json:
    """A device with a short number, as an administrator makes one."""
    made = await switch.ask("POST", "/api/v1/devices", json={"name": name})
    calling = {"short_number": short_number, "default_number_id": None}
    await switch.ask("PUT", f"/api/v1/devices/{made['id']}/calling", json=calling)

    async def known() -> bool:
        return f"/{short_number} " in switch.asterisk_says("database show internal")

    await eventually(known, 10, "Asterisk knows the device")
    return made


@asynccontextmanager
async def telephones(switch: RunningSwitch, folder: Path) -> AsyncIterator[tuple[Softphone, Linphone]]:
    """baresip is 21, Linphone 22; both registered."""
    baresip = await device(switch, "baresip", "21")
    other = await device(switch, "Linphone", "22")
    link = await switch.ask("POST", f"/api/v1/devices/{other['id']}/provisioning")
    domain = f"127.0.0.1:{switch.sip_port}"
    try:
        async with (
            softphone(
                tools()["baresip"], folder / "baresip", baresip["username"], domain, baresip["password"]
            ) as first,
            linphone(tools()["linphone"], folder / "linphone", link["url"]) as second,
        ):
            await second.is_registered()
            for made, app in ((baresip, "baresip"), (other, "Linphonec")):
                assert await logged_in(switch, made) == [app]
            yield first, second
    finally:
        for made in (baresip, other):
            await switch.ask("DELETE", f"/api/v1/devices/{made['id']}")


async def logged_in(switch: RunningSwitch, made: Json) -> list[str]:
    async def seen() -> list[str]:
        shown = await switch.ask("GET", f"/api/v1/devices/{made['id']}/registrations")
        return [one["app"] for one in shown["items"]]

    return await eventually(seen, 60, f"{made['name']} is seen")


async def test_they_call_each_other_the_trunk_and_are_called(
    switch: RunningSwitch, reception: Line, caller_number: str, tmp_path: Path
) -> None:
    for name, hertz in (("linphone", LINPHONE_HZ), ("baresip", BARESIP_HZ)):
        write_wav(tmp_path / f"{name}.wav", tone(hertz, 1.5))
    async with telephones(switch, tmp_path) as (baresip, other), carrier(switch) as outside:
        await a_colleague_is_called(switch, baresip, other, tmp_path)
        await both_call_out(switch, baresip, other, outside, tmp_path)
        devices = (await switch.ask("GET", "/api/v1/devices?limit=100"))["items"]
        chosen = [one for one in devices if one["name"] in {"baresip", "Linphone"}]
        plan = [{"device_id": one["id"]} for one in chosen]
        told = "&".join(f"PJSIP/{one['username']}" for one in chosen)
        async with plan_of(switch, reception, told, devices=plan):
            await both_are_called(switch, reception, baresip, other, outside, caller_number)
            await a_recorded_call_is_transferred(switch, reception, baresip, other, outside, tmp_path)


async def a_colleague_is_called(
    switch: RunningSwitch, baresip: Softphone, other: Linphone, folder: Path
) -> None:
    """By short numbers, each by the other; each hears the other's tone."""
    calling = asyncio.create_task(baresip.call("22", "127.0.0.1", switch.sip_port))
    await other.rings()
    await other.answer()
    await calling
    await other.types(f"record {folder / 'heard.wav'}")
    await other.types(f"play {folder / 'linphone.wav'}")
    await baresip.speak(folder / "baresip.wav")
    await other.hang_up()
    await baresip.wait_for("CALL_CLOSED", 5)
    assert dominant_frequency(read_wav(folder / "heard.wav")) == pytest.approx(BARESIP_HZ, abs=10)
    heard = baresip.heard
    assert heard
    assert dominant_frequency(read_wav(heard)) == pytest.approx(LINPHONE_HZ, abs=10)
    await other.call("21")
    await baresip.wait_for("CALL_INCOMING", 10)
    await baresip.answer()
    await other.connected()
    await baresip.hang_up()
    await other.ended()


async def both_call_out(
    switch: RunningSwitch, baresip: Softphone, other: Linphone, outside: SipCaller, folder: Path
) -> None:
    calling = asyncio.create_task(baresip.call("09011110031", "127.0.0.1", switch.sip_port))
    arriving = await outside.incoming(10)
    await arriving.answer()
    await calling
    await asyncio.gather(arriving.hear(tone_of(BARESIP_HZ), 10), baresip.speak(folder / "baresip.wav"))
    await arriving.hang_up()
    await baresip.wait_for("CALL_CLOSED", 5)
    await other.call("09011110032")
    arriving = await outside.incoming(10)
    await arriving.answer()
    await other.connected()
    await other.types(f"play {folder / 'linphone.wav'}")
    await arriving.hear(tone_of(LINPHONE_HZ), 10)
    await other.hang_up()
    assert (await arriving.ended(5)).by == "switch"


async def both_are_called(
    switch: RunningSwitch,
    reception: Line,
    baresip: Softphone,
    other: Linphone,
    outside: SipCaller,
    caller_number: str,
) -> None:
    """From the trunk, each in turn has the call; the other stops ringing."""
    call = await outside.invite(switch.uri(reception.dialled), caller_number)
    await asyncio.gather(baresip.wait_for("CALL_INCOMING", 10), other.rings())
    await other.answer()
    await call.answered(5)
    await baresip.wait_for("CALL_CLOSED", 5)
    await call.hang_up()
    await other.ended()
    call = await outside.invite(switch.uri(reception.dialled), caller_number)
    await asyncio.gather(baresip.wait_for("CALL_INCOMING", 10), other.rings())
    await baresip.answer()
    await call.answered(5)
    await other.ended()
    await call.speak(tone(OUTSIDE_HZ, 1.0))
    await baresip.hang_up()
    assert (await call.ended(5)).by == "switch"
    heard = baresip.heard
    assert heard
    assert dominant_frequency(read_wav(heard)) == pytest.approx(OUTSIDE_HZ, abs=10)


async def a_recorded_call_is_transferred(
    switch: RunningSwitch,
    reception: Line,
    baresip: Softphone,
    other: Linphone,
    outside: SipCaller,
    folder: Path,
) -> None:
    """Linphone asks baresip first (REFER with Replaces). The recording goes on, and the evidence is kept."""
    await set_recording(switch, reception)
    call = await outside.invite(switch.uri(reception.dialled), TRANSFERRED)
    held = (await asyncio.gather(other.rings(), baresip.wait_for("CALL_INCOMING", 10)))[0]
    await other.answer()
    await baresip.wait_for("CALL_CLOSED", 5)
    await call.answered(5)
    await call.hear(tone_of(ANNOUNCED_HZ), 5)
    # So long that the control plane has seen them talk.
    await call.speak(tone(OUTSIDE_HZ, 4.0))
    await other.hold()
    asked = await other.call("21")
    await baresip.wait_for("CALL_INCOMING", 10)
    await baresip.answer()
    await other.connected()
    await other.connect(held, asked)
    await other.ended()
    call_id = (await eventually(lambda: switch.calls_of(TRANSFERRED), 30, "the call"))[0]["id"]
    # The control plane notices within a second that somebody else speaks.
    await eventually(lambda: renewed(switch, call_id), 10, "the recording is begun anew")
    await asyncio.gather(
        call.hear(tone_of(BARESIP_HZ), 10),
        call.speak(tone(OUTSIDE_HZ, 1.5)),
        baresip.speak(folder / "baresip.wav"),
    )
    await call.hang_up()
    await baresip.wait_for("CALL_CLOSED", 5)
    shown, sound = await recording_of(switch, call_id)
    assert (shown["complete"], shown["announcement"]["played_to_end"]) == (True, True)
    assert sound.seconds_of(OUTSIDE_HZ)[0] >= 1.0
    assert sound.seconds_of(BARESIP_HZ)[1] >= 1.0
    assert sound.seconds_of(ANNOUNCED_HZ) == (0, 0)
