"""Trunks that an operator makes: another one where one fails, emergency calls, registration, DID."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.asterisk.conftest import TONE_HZ, Line
from tests.asterisk.test_callers import registered
from tests.asterisk.test_nothing_is_lost import no_controller
from tests.asterisk.test_outbound import call_to, carrier, shown, talk
from tests.running_switch import CHECKOUT, Json, RunningSwitch, eventually, until
from tests.sip import SipCaller, tone_of
from tests.sip.digest import Credentials

pytestmark = [pytest.mark.asterisk, pytest.mark.usefixtures("no_call_back")]

HOST = "127.0.0.9"
NAME = "第2回線"


@asynccontextmanager
async def trunk(
    switch: RunningSwitch, lets_in: Credentials | None = None, **fields: object
) -> AsyncIterator[SipCaller]:
    """A second carrier, with its trunk, for the time of a test."""
    async with SipCaller(local_host=HOST, lets_in=lets_in) as far_side:
        operator = switch.ready["operator_token"]
        body = {"name": NAME, "uri": f"sip:{HOST}:{far_side.port}", "accept": [f"{HOST}/32"], **fields}
        made = await switch.ask("POST", "/api/v1/trunks", operator, json=body)
        until(lambda: _told(switch, made), 15, "Asterisk knows the trunk")
        try:
            yield far_side
        finally:
            await switch.ask("DELETE", f"/api/v1/trunks/{made['id']}", operator)
            until(lambda: not _told(switch, made), 15, "Asterisk has forgotten the trunk")


def _told(switch: RunningSwitch, made: Json) -> bool:
    return made["id"] in switch.asterisk_says("database show trunk/ordinary")


async def test_another_trunk_where_one_fails(switch: RunningSwitch) -> None:
    """The first says 503; then it says nothing at all. Numbers are as the second wants them."""
    async with trunk(switch, priority=200, number_style="e164") as second, registered(switch) as device:
        async with carrier(switch) as first:
            call = await device.invite(switch.uri("09011110011"))
            (await first.incoming(10)).reject(503)
            arriving = await second.incoming(10)
            assert arriving.invite.uri.partition("@")[0] == "sip:+819011110011"
            assert shown(arriving) == ("+81312345678", "+81312345678", "")
            await arriving.answer()
            await call.answered(5)
            await talk(call, arriving)
            await call.hang_up()
            assert (await arriving.ended(10)).by == "switch"
            assert (await call_to(switch, "+819011110011"))["result"] == "answered"
            first.deaf = True
            call = await device.invite(switch.uri("09011110012"))
            arriving = await second.incoming(15)
            arriving.reject(486)
            assert (await call.ended(10)).by == "switch"
        assert (await call_to(switch, "+819011110012"))["result"] == "busy"


async def test_emergency_calls_go_where_they_can(switch: RunningSwitch) -> None:
    """184 hides nothing, the number is shown; the same without the control plane. It is not charged."""
    async with trunk(switch, emergency=True) as second, registered(switch) as device:
        until(lambda: "trunk-" in switch.asterisk_says("database show trunk/emergency"), 10, "told")
        for away in (False, True):
            if away:
                with no_controller(switch):
                    await _call_the_coast_guard(switch, device, second)
            else:
                await _call_the_coast_guard(switch, device, second)
            record = await call_to(switch, "118")
            assert (record["result"], record["destination_class"]) == ("answered", "emergency")
            assert (record["direction"], record["number"]) == ("outbound", "+81312345678")


async def _call_the_coast_guard(switch: RunningSwitch, device: SipCaller, guard: SipCaller) -> None:
    call = await device.invite(switch.uri("184118"))
    arriving = await guard.incoming(10)
    assert arriving.invite.uri.partition("@")[0] == "sip:118"
    assert shown(arriving) == ("0312345678", "0312345678", "")
    await arriving.answer()
    await call.answered(5)
    await arriving.hang_up()
    await call.ended(5)


async def test_a_registration_and_the_calls_that_come_over_it(
    switch: RunningSwitch, line: Line, caller_number: str
) -> None:
    """Refused, unanswered, and at last let in after a challenge; then calls from an address that is nobody's,
    whose headers say which number was called. API and command line tell how it stands.
    """
    login = Credentials("03XXXX", "s3cret!")
    fields = {"registers": True, "username": login.username, "password": "wrong!", "accept": []}
    async with trunk(switch, lets_in=login, did_location="to", **fields) as far_side:
        rejected = await state_of(switch, "rejected")
        far_side.deaf = True
        assert (await state_of(switch, "unreachable"))["since"] > rejected["since"]
        (told,) = command_line(switch, "status")["trunks"]
        assert (told["name"], [one["state"] for one in told["registrations"]]) == (NAME, ["unreachable"])
        far_side.deaf = False
        await change(switch, password=login.password)
        await state_of(switch, "registered")
        address = str(far_side.registered_as and far_side.registered_as.uri)
        number = f"sip:{line.dialled}@carrier.example"
        call = await far_side.invite(address, caller_number, to=number)
        await call.hear(tone_of(TONE_HZ), 10)
        await call.hang_up()
        assert (await switch.finished_call_of(caller_number))["number"] == line.e164
        await change(switch, did_location="p_called_party_id")
        until(lambda: "p_called" in switch.asterisk_says("database show trunk/did"), 10, "told")
        another = f"080{caller_number[3:]}"
        call = await far_side.invite(address, another, headers={"P-Called-Party-ID": f"<{number}>"})
        await call.hear(tone_of(TONE_HZ), 10)
        await call.hang_up()
        assert (await switch.finished_call_of(another))["number"] == line.e164


async def change(switch: RunningSwitch, **fields: object) -> None:
    """Change the second carrier's trunk."""
    (made,) = [one for one in await trunks_of(switch) if one["name"] == NAME]
    await switch.ask("PATCH", f"/api/v1/trunks/{made['id']}", switch.ready["operator_token"], json=fields)


async def trunks_of(switch: RunningSwitch) -> list[Json]:
    shown: list[Json] = (await switch.ask("GET", "/api/v1/trunks", switch.ready["operator_token"]))["items"]
    return shown


async def state_of(switch: RunningSwitch, state: str) -> Json:
    """Wait until the second carrier's registration is so; what the API says of it."""

    async def found() -> list[Json]:
        return [
            one
            for trunk in await trunks_of(switch)
            for one in trunk["registrations"]
            if (trunk["name"], one["state"]) == (NAME, state)
        ]

    (shown,) = await eventually(found, 40, f"the trunk is {state}")
    return shown


def command_line(switch: RunningSwitch, *arguments: str) -> Json:
    done = subprocess.run(
        [sys.executable, "-m", "denwaban", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, **switch.environment},
        capture_output=True,
        timeout=30,
        check=True,
    )
    told: Json = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(("t38", "said"), [(True, 200), (False, 488)])
async def test_faxes_go_over_t38_where_the_trunk_may(
    switch: RunningSwitch, caller_number: str, t38: bool, said: int
) -> None:
    async with trunk(switch, t38=t38) as far_side:
        call = await far_side.invite(switch.uri("0312345679"), caller_number)
        await call.answered(10)
        assert await call.offer_t38() == said
        await call.hang_up()
    await switch.finished_call_of(caller_number, 20)
