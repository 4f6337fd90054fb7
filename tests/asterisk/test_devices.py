"""Devices: they register by what the store says, survive restarts, and ring when 留守レポ is OFF."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from tests.asterisk.conftest import TONE_HZ, Line
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import AUDIO, Refused, SipCaller, tone

pytestmark = pytest.mark.asterisk


def registrar(switch: RunningSwitch) -> str:
    return f"sip:127.0.0.1:{switch.sip_port}"


@pytest.fixture
async def off(switch: RunningSwitch, line: Line) -> AsyncIterator[Line]:
    """留守レポ OFF for the time of a test."""
    path = f"/api/v1/numbers/{line.number_id}/rusurepo"
    await switch.ask("PUT", path, json={"enabled": False, "rule_id": line.usual_rule})
    until(lambda: "/rusurepo : off" in _as_told(switch, line), 10, "Asterisk was told")
    yield line
    await switch.ask("PUT", path, json={"enabled": True, "rule_id": line.usual_rule})
    until(lambda: "/rusurepo : on" in _as_told(switch, line), 10, "Asterisk was told")


def _as_told(switch: RunningSwitch, line: Line) -> str:
    """What Asterisk knows of the line, one space between words."""
    told = switch.asterisk_says(f"database show number/{line.e164}")
    return "\n".join(" ".join(row.split()) for row in told.splitlines())


async def test_only_the_right_password_registers(switch: RunningSwitch) -> None:
    device = switch.ready["devices"][0]
    async with SipCaller() as phone:
        with pytest.raises(Refused) as refused:
            await phone.register(device["username"], "wrong" + device["password"], registrar(switch))
        assert refused.value.status in {401, 403}
    async with SipCaller() as phone:
        with pytest.raises(Refused):
            await phone.register("nobody", "whatever", registrar(switch))
    async with SipCaller() as phone:
        assert (await phone.register(device["username"], device["password"], registrar(switch))).status == 200
        await phone.register(device["username"], device["password"], registrar(switch), expires_s=0)


async def test_a_device_made_by_the_api_registers_at_once(switch: RunningSwitch) -> None:
    made = await switch.ask("POST", "/api/v1/devices", json={"name": "受付"})

    async def registered() -> bool:
        async with SipCaller() as phone:
            try:
                await phone.register(made["username"], made["password"], registrar(switch))
            except Refused:
                return False
            await phone.register(made["username"], made["password"], registrar(switch), expires_s=0)
            return True

    await eventually(registered, 10, "the new device registers")


async def test_registrations_and_devices_survive_asterisk(switch: RunningSwitch, off: Line) -> None:
    device = switch.ready["devices"][0]
    async with SipCaller() as phone, SipCaller() as caller:
        await phone.register(device["username"], device["password"], registrar(switch))
        # Asterisk writes its database once a second.
        until(lambda: _on_disk(switch, phone), 10, "the registration is on the disk")
        before = switch.kill("asterisk")
        until(lambda: _pid_changed(switch, before), 20, "Asterisk is started again")
        switch.wait_ready()
        outside = await caller.invite(switch.uri(off.dialled), "0312340001")
        arriving = await phone.incoming(10)
        await arriving.answer()
        await outside.answered(5)
        await outside.hang_up()
        await arriving.ended(5)
        await phone.register(device["username"], device["password"], registrar(switch), expires_s=0)


def _on_disk(switch: RunningSwitch, phone: SipCaller) -> bool:
    """Whether this very phone's contact is; those of earlier tests may be there, too."""
    contact = f"%{phone.host}:{phone.port}%"
    with closing(sqlite3.connect(switch.var / "asterisk" / "lib" / "astdb.sqlite3")) as astdb:
        (count,) = astdb.execute(
            "SELECT count(*) FROM astdb WHERE key LIKE '/registrar/contact/%' AND value LIKE ?", (contact,)
        ).fetchone()
    return bool(count)


def _pid_changed(switch: RunningSwitch, before: int) -> bool:
    return switch.ready["pids"]["asterisk"] not in {None, before}


@pytest.mark.parametrize("control_plane", ["there", "killed while talking"])
async def test_off_rings_the_devices(
    switch: RunningSwitch, off: Line, caller_number: str, control_plane: str
) -> None:
    device = switch.ready["devices"][1]
    async with SipCaller() as phone, SipCaller() as caller:
        await phone.register(device["username"], device["password"], registrar(switch))
        outside = await caller.invite(switch.uri(off.dialled), caller_number)
        inside = await phone.incoming(10)
        inside.ring()
        await inside.answer()
        await outside.answered(5)
        if control_plane != "there":
            switch.kill("controller")
        talking = [asyncio.create_task(one.speak(tone(TONE_HZ, 1.0))) for one in (outside, inside)]
        await asyncio.gather(inside.hear(AUDIO, 5), outside.hear(AUDIO, 5), *talking)
        await outside.hang_up()
        assert (await inside.ended(5)).by == "switch"
        await phone.register(device["username"], device["password"], registrar(switch), expires_s=0)
    call = await switch.finished_call_of(caller_number)
    assert call["result"] == "answered"
    assert await switch.messages_of(caller_number) == []


async def test_nobody_registered(switch: RunningSwitch, off: Line, caller_number: str) -> None:
    async with SipCaller() as caller:
        outside = await caller.invite(switch.uri(off.dialled), caller_number)
        with pytest.raises(Refused) as refused:
            await outside.answered(10)
    assert refused.value.status == 480
    call: Json = await switch.finished_call_of(caller_number)
    assert call["result"] == "no_answer"


async def test_a_device_cannot_call_without_its_password(switch: RunningSwitch, line: Line) -> None:
    """Its name alone, from an address the trunk is trusted for, opens nothing."""
    device = switch.ready["devices"][0]
    async with SipCaller() as stranger:
        call = await stranger.invite(switch.uri(line.dialled), device["username"])
        with pytest.raises(Refused) as refused:
            await call.answered(5)
    assert refused.value.status == 401
