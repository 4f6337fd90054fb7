"""Trunks that an operator makes: another one where one fails, emergency calls, registration, DID."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.asterisk.conftest import TONE_HZ, Line
from tests.asterisk.test_callers import registered
from tests.asterisk.test_nothing_is_lost import no_controller
from tests.asterisk.test_outbound import call_to, carrier, shown, talk
from tests.running_switch import Json, RunningSwitch, until
from tests.sip import SipCaller, tone_of

pytestmark = [pytest.mark.asterisk, pytest.mark.usefixtures("no_call_back")]

HOST = "127.0.0.9"


@asynccontextmanager
async def trunk(switch: RunningSwitch, **fields: object) -> AsyncIterator[SipCaller]:
    """A second carrier, with its trunk, for the time of a test."""
    async with SipCaller(local_host=HOST) as far_side:
        operator = switch.ready["operator_token"]
        body = {"name": "第2回線", "uri": f"sip:{HOST}:{far_side.port}", "accept": [f"{HOST}/32"], **fields}
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


async def test_a_trunk_registers_and_says_who_was_called_in_a_header(
    switch: RunningSwitch, line: Line, caller_number: str
) -> None:
    fields = {
        "registers": True,
        "username": "03XXXX",
        "password": "s3cret!",
        "did_location": "p_called_party_id",
    }
    async with trunk(switch, **fields) as far_side:
        request = await far_side.received("REGISTER", 15)
        assert request.headers.get("To").startswith("<sip:03XXXX@")
        called = {"P-Called-Party-ID": f"<sip:{line.dialled}@carrier.example>"}
        call = await far_side.invite(switch.uri("03XXXX"), caller_number, headers=called)
        await call.answered(10)
        await call.hear(tone_of(TONE_HZ), 10)
        await call.hang_up()
    record = await switch.finished_call_of(caller_number)
    assert record["number"] == line.e164
