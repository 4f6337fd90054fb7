"""Calls from devices: out through the trunk, to colleagues, refused, and without the control plane."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.asterisk.conftest import TONE_HZ
from tests.asterisk.test_callers import registered
from tests.asterisk.test_nothing_is_lost import no_controller
from tests.running_switch import Json, RunningSwitch, eventually
from tests.sip import AUDIO, IncomingCall, OutgoingCall, Refused, SipCaller, tone

pytestmark = [pytest.mark.asterisk, pytest.mark.usefixtures("no_call_back")]

MAIN = "+81312345678"


@asynccontextmanager
async def carrier(switch: RunningSwitch) -> AsyncIterator[SipCaller]:
    """Whoever sits at the other end of the trunk."""
    port = int(switch.environment["DENWABAN_TRUNK_URI"].rpartition(":")[2])
    async with SipCaller(local_port=port) as phone:
        yield phone


async def talk(one: OutgoingCall, other: IncomingCall) -> None:
    """Both are heard by the other."""
    speaking = [asyncio.create_task(side.speak(tone(TONE_HZ, 0.6))) for side in (one, other)]
    await asyncio.gather(one.hear(AUDIO, 10), other.hear(AUDIO, 10), *speaking)


async def call_to(switch: RunningSwitch, number: str, limit_s: float = 15.0) -> Json:
    """Wait for the newest call to `number` to have ended."""

    async def ended() -> list[Json]:
        calls: list[Json] = (await switch.ask("GET", "/api/v1/calls?limit=20"))["items"]
        found = [call for call in calls if call["other_party"] == number][:1]
        return [call for call in found if call["ended_at"]]

    (call,) = await eventually(ended, limit_s, f"the end of the call to {number}")
    return call


def shown(call: IncomingCall) -> tuple[str, str, str]:
    """Who calls by From and by P-Asserted-Identity, and the wish for privacy."""
    asserted = call.asserted
    assert asserted is not None
    return call.caller.uri.user, asserted.uri.user, call.invite.headers.get("Privacy")


async def refused(call: OutgoingCall, spoken: bool = True) -> int:
    """The status of a refusal, after what was said."""
    if spoken:
        await call.hear(AUDIO, 10)
    with pytest.raises(Refused) as reason:
        await call.answered(20)
    return reason.value.status


async def test_a_device_calls_out(switch: RunningSwitch) -> None:
    """In the account's number, the other way round as national; hung up by the far end."""
    async with carrier(switch) as outside, registered(switch) as device:
        call = await device.invite(switch.uri("090-1111-0001"))
        arriving = await outside.incoming(10)
        assert arriving.invite.uri.partition("@")[0] == "sip:09011110001"
        assert shown(arriving) == ("0312345678", "0312345678", "")
        arriving.ring()
        await arriving.answer()
        await call.answered(5)
        await talk(call, arriving)
        await arriving.hang_up()
        assert (await call.ended(5)).by == "switch"
        record = await call_to(switch, "+819011110001")
    assert (record["direction"], record["number"], record["result"]) == ("outbound", MAIN, "answered")
    assert record["destination_class"] == "mobile"
    assert record["device_id"] == switch.ready["devices"][0]["id"]
    assert record["billed_s"] >= 1
    journal = await switch.ask("GET", f"/api/v1/calls/{record['id']}/journal")
    events = [entry["event"] for entry in journal["items"]]
    assert events == ["arrived", "placed", "handed_to_dialplan", "trunk_called", "ended"]


async def test_what_a_call_cost_is_shown(switch: RunningSwitch) -> None:
    """By the example tariff, which the embedded set-up brings; an unanswered call is free."""
    costs = {"09011110021": ("mobile", 16), "0311110022": ("fixed", 8), "0311110023": ("fixed", 0)}

    async def settled() -> Json | None:
        credit: Json = await switch.ask("GET", "/api/v1/credit")
        return None if credit["reserved"] else credit

    before = await eventually(settled, 30, "earlier calls are rated")
    async with carrier(switch) as outside, registered(switch) as device:
        for dialled, (_, yen) in costs.items():
            call = await device.invite(switch.uri(dialled))
            arriving = await outside.incoming(10)
            if yen:
                await arriving.answer()
                await call.answered(5)
                await call.hang_up()
                await arriving.ended(5)
            else:
                arriving.reject(486)
                assert await refused(call, spoken=False) == 486
    for dialled, expected in costs.items():
        record = await call_to(switch, f"+81{dialled[1:]}")

        async def charged(call_id: str = record["id"]) -> Json | None:
            now: Json = await switch.ask("GET", f"/api/v1/calls/{call_id}")
            return now if now["charge"] is not None else None

        found = await eventually(charged, 30, f"the call to {dialled} is rated")
        assert found is not None
        assert (found["destination_class"], found["charge"]) == expected
    after = await eventually(settled, 30, "nothing is held back")
    assert after is not None
    assert before is not None
    assert after["charges"] - before["charges"] == 24


async def test_184_hides_the_number_and_a_line_chooses_it(switch: RunningSwitch) -> None:
    async with carrier(switch) as outside, registered(switch) as device:
        for dialled in ("184*020311110002", "*021840311110002"):
            call = await device.invite(switch.uri(dialled))
            arriving = await outside.incoming(10)
            assert shown(arriving) == ("anonymous", "0312345679", "id")
            assert arriving.invite.uri.partition("@")[0] == "sip:0311110002"
            arriving.reject(486)
            assert await refused(call, spoken=False) == 486
    assert (await call_to(switch, "+81311110002"))["result"] == "busy"


async def test_what_may_not_be_called_is_said(switch: RunningSwitch) -> None:
    """Overseas is off, five digits are no number, and no trunk takes emergency calls."""
    expected = {
        "01012125550100": ("+12125550100", 403, "class_not_allowed"),
        "12345": ("12345", 484, "invalid_number"),
        "110": ("110", 404, "no_emergency_route"),
    }
    async with registered(switch) as device:
        calls = [await device.invite(switch.uri(dialled)) for dialled in expected]
        statuses = await asyncio.gather(*(refused(call) for call in calls))
    assert statuses == [status for _, status, _ in expected.values()]
    for number, _, result in expected.values():
        record = await call_to(switch, number)
        assert (record["result"], record["answered_at"]) == (result, None)


async def test_devices_call_each_other(switch: RunningSwitch) -> None:
    """With the control plane and without it; the caller's name is shown."""
    async with registered(switch, 0) as device, registered(switch, 1) as colleague:
        called = switch.ready["devices"][1]["username"]
        for away in (False, True):
            if away:
                with no_controller(switch):
                    await _reach(switch, device, colleague, called)
            else:
                await _reach(switch, device, colleague, called)
            record = await call_to(switch, called)
            assert (record["direction"], record["result"]) == ("internal", "answered")
            assert record["destination_class"] == "internal"


async def _reach(switch: RunningSwitch, device: SipCaller, colleague: SipCaller, called: str) -> None:
    call = await device.invite(switch.uri(called))
    arriving = await colleague.incoming(10)
    assert arriving.caller.uri.user == switch.ready["devices"][0]["username"]
    await arriving.answer()
    await call.answered(5)
    await talk(call, arriving)
    await call.hang_up()
    assert (await arriving.ended(5)).by == "switch"


async def test_without_the_control_plane_nothing_chargeable_is_dialled(switch: RunningSwitch) -> None:
    async with registered(switch) as device:
        with no_controller(switch):
            call = await device.invite(switch.uri("0311110003"))
            assert await refused(call) == 503
        record = await call_to(switch, "0311110003")
    assert (record["result"], record["direction"]) == ("control_plane_away", "outbound")


async def test_what_the_trunk_answers_is_said(switch: RunningSwitch) -> None:
    expected = {"0311110004": (404, "unknown_number"), "0311110005": (503, "unreachable")}
    async with carrier(switch) as outside, registered(switch) as device:
        calls = [await device.invite(switch.uri(dialled)) for dialled in expected]
        for _ in expected:
            arriving = await outside.incoming(10)
            arriving.reject(expected[arriving.invite.addressee.uri.user][0])
        assert await asyncio.gather(*(refused(call) for call in calls)) == [404, 503]
    for dialled, (_, result) in expected.items():
        assert (await call_to(switch, f"+81{dialled[1:]}"))["result"] == result
