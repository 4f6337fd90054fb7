"""Calls to people: who rings, in which order, what a caller hears else, and who is not put through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.asterisk.conftest import Line, heard, short_line
from tests.asterisk.test_callers import leave_message, registered
from tests.asterisk.test_nothing_is_lost import no_controller
from tests.asterisk.test_outbound import call_to
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import AUDIO, OutgoingCall, Refused, SipCaller

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="session")
def desk(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A number for people: 留守レポ is OFF."""
    line = asyncio.run(short_line(running, tmp_path_factory.mktemp("desk"), "0311114444"))
    off = {"enabled": False, "rule_id": line.usual_rule}
    asyncio.run(running.ask("PUT", f"/api/v1/numbers/{line.number_id}/rusurepo", json=off))
    return line


@asynccontextmanager
async def plan_of(switch: RunningSwitch, line: Line, told: str, **plan: object) -> AsyncIterator[None]:
    """The line's ring plan for the time of a test; `told` is what Asterisk then knows of its devices."""
    path = f"/api/v1/numbers/{line.number_id}/ring-plan"
    await switch.ask("PUT", path, json=plan)
    until(lambda: told in switch.asterisk_says(f"database show number/{line.e164}"), 10, "told")
    try:
        yield
    finally:
        await switch.ask("PUT", path, json={})


async def test_devices_ring_in_turn_and_then_a_message_is_taken(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """The telephones show which number was called; the second rings only when the first has stopped."""
    await switch.ask("PATCH", f"/api/v1/numbers/{desk.number_id}", json={"display_name": "受付"})
    devices = switch.ready["devices"]
    turns = [{"device_id": one["id"], "ring_s": 5} for one in devices]
    told = "5:PJSIP/1001|5:PJSIP/1002"
    async with (
        plan_of(switch, desk, told, in_turn=True, devices=turns, unanswered_rule_id=desk.usual_rule),
        registered(switch, 0) as first,
        registered(switch, 1) as second,
    ):
        outside = await phone.invite(switch.uri(desk.dialled), caller_number)
        ringing = await first.incoming(10)
        assert ringing.caller.display_name == "[受付]"
        assert (await ringing.ended(10)).by == "switch"
        later = await second.incoming(5)
        later.reject(486)
        await leave_message(outside)
    message = await switch.message_of(caller_number)
    assert message["number"] == desk.e164
    assert (await switch.finished_call_of(caller_number))["result"] == "message"


async def test_some_ring_for_less_than_others(switch: RunningSwitch, desk: Line, caller_number: str) -> None:
    """And whoever answers in that time talks on. A telephone that is in use rings all the same."""
    first, second = switch.ready["devices"]
    some = [{"device_id": first["id"], "ring_s": 5}, {"device_id": second["id"]}]
    later_number = f"080{caller_number[3:]}"
    async with (
        plan_of(switch, desk, "99:PJSIP/1001&PJSIP/1002:own", devices=some),
        registered(switch, 0) as impatient,
        registered(switch, 1) as patient,
        SipCaller() as phone,
        SipCaller() as late,
    ):
        early = await phone.invite(switch.uri(desk.dialled), caller_number)
        talking, _ = await impatient.incoming(10), await patient.incoming(10)
        await talking.answer()
        await early.answered(5)
        outside = await late.invite(switch.uri(desk.dialled), later_number)
        waiting, ringing = await impatient.incoming(10), await patient.incoming(10)
        assert (await waiting.ended(10)).by == "switch"
        await ringing.answer()
        await outside.answered(5)
        await heard(outside, ringing)
        await heard(early, talking)
        for call in (outside, early):
            await call.hang_up()
        await talking.ended(5)
    for number in (caller_number, later_number):
        assert (await switch.finished_call_of(number))["result"] == "answered"
    (shown,) = await switch.calls_of(later_number)

    async def legs() -> list[Json]:
        found: list[Json] = (await switch.ask("GET", f"/api/v1/calls/{shown['id']}"))["legs"]
        return [leg for leg in found if leg["device"]]

    results = {leg["device"]: leg["result"] for leg in await eventually(legs, 30, "the legs")}
    assert results == {first["username"]: "no_answer", second["username"]: "answered"}


async def test_without_the_control_plane_the_same_people_are_put_through(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """The block list is kept, the number's own entry first; and the ring plan's rule takes a message."""
    busy, spoken = f"0805{caller_number[4:]}", f"0806{caller_number[4:]}"
    entries: list[Json] = [
        {"kind": "prefix", "value": "0805", "treatment": "busy"},
        {"kind": "number", "value": spoken, "treatment": "busy"},
        {"kind": "number", "value": spoken, "treatment": "announcement", "number_id": desk.number_id},
    ]
    chosen = [{"device_id": switch.ready["devices"][0]["id"]}]
    plan = {"devices": chosen, "ring_s": 5, "unanswered_rule_id": desk.usual_rule}
    made = [await switch.ask("POST", "/api/v1/blocked-callers", json=entry) for entry in entries]
    try:
        async with plan_of(switch, desk, "99:PJSIP/1001", **plan), registered(switch, 0) as device:
            until(lambda: "+81805*" in switch.asterisk_says("database show block"), 10, "told")
            with no_controller(switch):
                calls = [await phone.invite(switch.uri(desk.dialled), one) for one in (busy, spoken)]
                outside = await phone.invite(switch.uri(desk.dialled), caller_number)
                ringing = await device.incoming(10)
                for call, status in zip(calls, (486, 403), strict=True):
                    with pytest.raises(Refused) as refused:
                        await call.answered(15)
                    assert refused.value.status == status
                assert calls[1].heard
                assert (await ringing.ended(10)).by == "switch"
                await leave_message(outside)
            assert len(device.calls) == 1
    finally:
        await switch.ask("POST", "/api/v1/blocked-callers:delete", json={"ids": [one["id"] for one in made]})
    message = await switch.message_of(caller_number, 30)
    assert (message["number"], message["source"]) == (desk.e164, "dialplan")
    for number in (busy, spoken):
        assert (await switch.finished_call_of(number, 30))["result"] == "blocked"


async def test_one_device_of_several_rings_and_is_busy(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """Who calls hears so, and pays nothing."""
    device = switch.ready["devices"][1]
    chosen = [{"device_id": device["id"], "ring_s": 20}]
    async with (
        plan_of(switch, desk, "99:PJSIP/1002", devices=chosen),
        registered(switch, 0) as other,
        registered(switch, 1) as busy,
    ):
        outside = await phone.invite(switch.uri(desk.dialled), caller_number)
        (await busy.incoming(10)).reject(486)
        await outside.hear(AUDIO, 10)
        with pytest.raises(Refused) as refused:
            await outside.answered(15)
        assert refused.value.status == 486
        assert other.calls == []
    assert (await switch.finished_call_of(caller_number))["result"] == "busy"


async def test_no_more_calls_than_sold(switch: RunningSwitch, desk: Line, caller_number: str) -> None:
    operator = switch.ready["operator_token"]
    account = (await switch.ask("GET", "/api/v1/accounts", operator))["items"][0]["id"]
    path = f"/api/v1/numbers/{desk.number_id}?account_id={account}"
    await switch.ask("PATCH", path, operator, json={"channels": 1})
    until(lambda: "/channels" in switch.asterisk_says(f"database show number/{desk.e164}"), 10, "told")
    try:
        async with registered(switch, 0) as device, SipCaller() as phone, SipCaller() as late:
            first = await phone.invite(switch.uri(desk.dialled), caller_number)
            talking = await device.incoming(10)
            await talking.answer()
            await first.answered(5)
            second = await late.invite(switch.uri(desk.dialled), f"080{caller_number[3:]}")
            await second.hear(AUDIO, 10)
            with pytest.raises(Refused) as refused:
                await second.answered(15)
            assert refused.value.status == 486
            await first.hang_up()
            await talking.ended(5)
    finally:
        await switch.ask("PATCH", path, operator, json={"channels": None})


async def test_blocked_callers_are_not_put_through(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """By how numbers begin, for all of the account; and by the whole number for this one, which counts."""
    everywhere = {"kind": "prefix", "value": caller_number[:7], "treatment": "rusurepo"}
    here = {"number_id": desk.number_id, "value": caller_number, "treatment": "announcement"}
    made: list[Json] = []
    try:
        for entry in (everywhere, here):
            made.append(await switch.ask("POST", "/api/v1/blocked-callers", json=entry))
        async with registered(switch, 0) as device:
            call = await phone.invite(switch.uri(desk.dialled), caller_number)
            await call.hear(AUDIO, 10)
            with pytest.raises(Refused) as refused:
                await call.answered(10)
            assert refused.value.status == 403
            assert device.calls == []
    finally:
        await switch.ask("POST", "/api/v1/blocked-callers:delete", json={"ids": [one["id"] for one in made]})
    assert (await switch.finished_call_of(caller_number))["result"] == "blocked"


async def test_hold_transfer_and_parking(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """One caller is held (with music), parked, taken up, sent on blindly, and sent on after asking."""
    called = [one["username"] for one in switch.ready["devices"]]
    async with registered(switch, 0) as device, registered(switch, 1) as colleague:
        outside = await phone.invite(switch.uri(desk.dialled), caller_number)
        inside, other = await device.incoming(10), await colleague.incoming(10)
        await inside.answer()
        await outside.answered(5)
        assert (await other.ended(5)).by == "switch"
        await heard(inside, outside)
        await inside.hold()
        await outside.hear(AUDIO, 10)
        await inside.resume()

        await inside.refer(switch.uri("701"))
        await outside.hear(AUDIO, 10)
        await inside.hang_up()
        taken = await _take_up(switch, colleague, "701")
        await heard(outside, taken)

        await taken.refer(switch.uri(called[0]))
        sent = await device.incoming(10)
        assert sent.caller.uri.user == f"0{caller_number[1:]}"
        await sent.answer()
        await taken.hang_up()
        await heard(outside, sent)

        await sent.hold()
        asking = await device.invite(switch.uri(called[1]))
        asked = await colleague.incoming(10)
        await asked.answer()
        await asking.answered(5)
        await heard(asking, asked)
        await sent.refer(switch.uri(called[1]), instead_of=asking)
        await asyncio.gather(sent.hang_up(), asking.hang_up())
        await heard(outside, asked)
        await outside.hang_up()
        assert (await asked.ended(10)).by == "switch"
    assert (await switch.finished_call_of(caller_number))["result"] == "answered"


async def test_offers_that_cross(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """Both hold at once. And the trunk offers anew while Asterisk tells it who has the call now."""
    called = [one["username"] for one in switch.ready["devices"]]
    async with registered(switch, 0) as device, registered(switch, 1) as colleague:
        outside = await phone.invite(switch.uri(desk.dialled), caller_number)
        inside, other = await device.incoming(10), await colleague.incoming(10)
        await inside.answer()
        await outside.answered(5)
        assert (await other.ended(5)).by == "switch"
        await heard(inside, outside)
        await asyncio.gather(inside.hold(), outside.hold())
        await asyncio.gather(inside.resume(), outside.resume())
        await heard(outside, inside)
        await heard(inside, outside)
        colliding = asyncio.create_task(outside.collide(10))
        await inside.refer(switch.uri(called[1]))
        taking = await colleague.incoming(10)
        await taking.answer()
        await colliding
        await heard(outside, taking)
        await heard(taking, outside)
        await outside.hang_up()
        await taking.ended(5)
    assert (await switch.finished_call_of(caller_number))["result"] == "answered"


async def _take_up(switch: RunningSwitch, phone: SipCaller, place: str) -> OutgoingCall:
    """What is parked there; it may take a moment until it is."""
    for _ in range(5):
        call = await phone.invite(switch.uri(place))
        try:
            await call.answered(5)
            return call
        except Refused:
            await asyncio.sleep(0.2)
    raise AssertionError(f"nothing was parked at {place}")


async def test_a_transfer_goes_no_further_than_its_device_may_call(
    switch: RunningSwitch, desk: Line, phone: SipCaller, caller_number: str
) -> None:
    """Overseas is off; a trunk sends nobody anywhere."""
    async with registered(switch, 0) as device:
        outside = await phone.invite(switch.uri(desk.dialled), caller_number)
        inside = await device.incoming(10)
        await inside.answer()
        await outside.answered(5)
        with pytest.raises(Refused):
            await outside.refer(switch.uri("110"))
        # Who transfers within milliseconds of the answer, before the two are joined, transfers nobody.
        await heard(inside, outside)
        await inside.refer(switch.uri("01012125550199"))
        await outside.hear(AUDIO, 10)
        await inside.hang_up()
        assert (await outside.ended(15)).by == "switch"
    record = await call_to(switch, "+12125550199")
    assert (record["result"], record["destination_class"]) == ("class_not_allowed", "overseas")
    assert record["device_id"] == switch.ready["devices"][0]["id"]
