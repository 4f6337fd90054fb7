"""端末の解除: who is logged in, and logging it out so that it is proven."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.asterisk.conftest import Line
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import Refused, SipCaller

pytestmark = pytest.mark.asterisk

APP = "LinphoneAndroid/5.2.5 (Galaxy S21) LinphoneSDK/5.3.0"


def registrar(switch: RunningSwitch) -> str:
    return f"sip:127.0.0.1:{switch.sip_port}"


@pytest.fixture
async def device(switch: RunningSwitch) -> AsyncIterator[Json]:
    """A device that Asterisk knows."""
    made = await switch.ask("POST", "/api/v1/devices", json={"name": "受付"})
    until(lambda: made["username"] in switch.asterisk_says("pjsip show endpoints"), 15, "Asterisk was told")
    yield made
    await switch.ask("DELETE", f"/api/v1/devices/{made['id']}")
    until(lambda: made["username"] not in switch.asterisk_says("pjsip show aors"), 15, "it is gone")


async def registrations(switch: RunningSwitch, device: Json) -> list[Json]:
    found: list[Json] = (await switch.ask("GET", f"/api/v1/devices/{device['id']}/registrations"))["items"]
    return found


async def released(switch: RunningSwitch, device: Json, end_calls: bool) -> Json:
    """Ask for it, and wait for what comes of it."""
    path = f"/api/v1/devices/{device['id']}"
    asked = await switch.ask("POST", f"{path}/registrations:release", json={"end_calls": end_calls})
    assert asked["state"] == "pending"

    async def finished() -> Json | None:
        release = await switch.ask("GET", f"{path}/releases/{asked['id']}")
        return release if release["state"] != "pending" else None

    release = await eventually(finished, 30, "the release is settled")
    assert release is not None
    return release


async def test_a_device_in_a_call_is_logged_out(
    switch: RunningSwitch, line: Line, device: Json, caller_number: str
) -> None:
    path = f"/api/v1/numbers/{line.number_id}/rusurepo"
    await switch.ask("PUT", path, json={"enabled": False, "rule_id": line.usual_rule})
    until(lambda: device["username"] in switch.asterisk_says(f"database show number/{line.e164}"), 15, "told")
    try:
        async with SipCaller(user_agent=APP) as phone, SipCaller() as caller:
            await phone.register(device["username"], device["password"], registrar(switch))

            async def seen() -> list[Json]:
                return [one for one in await registrations(switch, device) if one["latency_ms"] is not None]

            (login,) = await eventually(seen, 30, "the login is shown, and has been timed")
            assert (login["os"], login["os_name"], login["app"]) == ("android", "Android", "LinphoneAndroid")
            assert login["address"] == f"127.0.0.1:{phone.port}"
            assert login["reachable"] is True
            assert login["since"] <= login["last_seen_at"] < login["expires_at"]

            outside = await caller.invite(switch.uri(line.dialled), caller_number)
            inside = await phone.incoming(10)
            await inside.answer()
            await outside.answered(5)
            release = await released(switch, device, end_calls=True)
            assert (release["state"], release["reason"]) == ("verified", None)
            assert (release["registrations_removed"], release["calls_ended"]) == (1, 1)
            await inside.ended(5)
            await outside.ended(5)

            assert await registrations(switch, device) == []
            assert device["username"] not in switch.asterisk_says("database show registrar/contact")
            with pytest.raises(Refused) as refused:
                await phone.register(device["username"], device["password"], registrar(switch))
            assert refused.value.status in {401, 403}
            with pytest.raises(TimeoutError):
                again = await caller.invite(switch.uri(line.dialled), caller_number)
                await phone.incoming(1.5)
            await again.cancel()
        rotated = await switch.ask("POST", f"/api/v1/devices/{device['id']}/password")
        async with SipCaller() as phone:

            async def back() -> bool:
                try:
                    await phone.register(device["username"], rotated["password"], registrar(switch))
                except Refused:
                    return False
                return True

            await eventually(back, 10, "the new password opens")
            await phone.register(device["username"], rotated["password"], registrar(switch), expires_s=0)
    finally:
        await switch.ask("PUT", path, json={"enabled": True, "rule_id": line.usual_rule})
        until(lambda: "on" in switch.asterisk_says(f"database get number/{line.e164} rusurepo"), 15, "told")


async def test_a_release_waits_for_asterisk(switch: RunningSwitch, device: Json) -> None:
    """Nothing is verified that was not seen; what is asked for while Asterisk is away is done later."""
    async with SipCaller() as phone:
        await phone.register(device["username"], device["password"], registrar(switch))
        before = switch.kill("asterisk")
        release = await released(switch, device, end_calls=False)
        assert (release["state"], release["calls_ended"]) == ("verified", 0)
        assert switch.ready["pids"]["asterisk"] not in {None, before}
        with pytest.raises(Refused):
            await phone.register(device["username"], device["password"], registrar(switch))


async def test_a_deleted_device_leaves_nothing_for_its_names_next_owner(switch: RunningSwitch) -> None:
    made = await switch.ask("POST", "/api/v1/devices", json={"username": "heir42"})

    async def registered(phone: SipCaller, password: str) -> bool:
        try:
            await phone.register("heir42", password, registrar(switch))
        except Refused:
            return False
        return True

    async with SipCaller() as phone:
        await eventually(lambda: registered(phone, made["password"]), 15, "it registers")
        await switch.ask("DELETE", f"/api/v1/devices/{made['id']}")
        until(lambda: "heir42" not in switch.asterisk_says("database show registrar"), 15, "logged out")
        heir = await switch.ask("POST", "/api/v1/devices", json={"username": "heir42"})
        await asyncio.to_thread(
            until, lambda: "heir42" in switch.asterisk_says("pjsip show aors"), 15, "Asterisk was told"
        )
        assert not await registered(phone, made["password"])
        await switch.ask("DELETE", f"/api/v1/devices/{heir['id']}")
