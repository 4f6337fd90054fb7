"""Who rings through: whitelists, devices that ring first, and what follows when nobody answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.asterisk.conftest import START_HZ, TONE_HZ, Line, short_line
from tests.asterisk.test_message import hertz_heard
from tests.asterisk.test_nothing_is_lost import no_controller
from tests.running_switch import Json, RunningSwitch, until
from tests.sip import AUDIO, OutgoingCall, Refused, SipCaller, silence_of, speech_like, tone, tone_of

pytestmark = pytest.mark.asterisk

WITHHELD = {"Privacy": "id", "P-Asserted-Identity": "<sip:0901112222@127.0.0.1>"}


@pytest.fixture(scope="session")
def office(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A number whose rule these tests may change."""
    return asyncio.run(short_line(running, tmp_path_factory.mktemp("office"), "0311113333"))


@asynccontextmanager
async def rule_of(
    switch: RunningSwitch, line: Line, *entries: Json, **changes: object
) -> AsyncIterator[None]:
    """The line's rule, changed for the time of a test, with a whitelist of `entries`."""
    body = {"number_id": line.number_id, "name": "取引先", "entries": list(entries)}
    whitelist = await switch.ask("POST", "/api/v1/whitelists", json=body)
    path = f"/api/v1/rules/{line.usual_rule}"
    await switch.ask("PATCH", path, json={"whitelist_id": whitelist["id"], **changes})
    try:
        yield
    finally:
        usual = {"whitelist_id": None, "ring_first_s": 0, "whitelisted_unanswered": "rusurepo"}
        await switch.ask("PATCH", path, json=usual)
        await switch.ask("DELETE", f"/api/v1/whitelists/{whitelist['id']}")


@asynccontextmanager
async def registered(switch: RunningSwitch, which: int = 0) -> AsyncIterator[SipCaller]:
    """A device of the account, ready to be called."""
    device, registrar = switch.ready["devices"][which], f"sip:127.0.0.1:{switch.sip_port}"
    async with SipCaller() as phone:
        await phone.register(device["username"], device["password"], registrar)
        yield phone
        await phone.register(device["username"], device["password"], registrar, expires_s=0)


async def leave_message(call: OutgoingCall) -> None:
    """From the start prompt to the end of the call."""
    await call.answered(10)
    await call.hear(tone_of(TONE_HZ), 10)
    await call.hear(silence_of(0.1), 5)
    await call.speak(speech_like(1.5))
    await call.press("#")
    assert (await call.ended(10)).by == "switch"
    assert hertz_heard(call.sound)[:2] == [START_HZ, TONE_HZ]


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def reasons_of(switch: RunningSwitch, call: Json) -> list[str]:
    journal = await switch.ask("GET", f"/api/v1/calls/{call['id']}/journal")
    return [entry["details"]["reason"] for entry in journal["items"] if entry["event"] == "rule_consulted"]


async def test_whitelisted_callers_ring_through_and_others_leave_a_message(
    switch: RunningSwitch, office: Line, caller_number: str
) -> None:
    """Both devices ring; the first that answers has the call, and the other stops."""
    entry = {"kind": "number", "value": caller_number, "name": "山田商店"}
    async with (
        rule_of(switch, office, entry),
        registered(switch, 0) as first,
        registered(switch, 1) as second,
        SipCaller() as caller,
    ):
        outside = await caller.invite(switch.uri(office.dialled), caller_number)
        inside, other = await first.incoming(10), await second.incoming(10)
        other.ring()
        await inside.answer()
        await outside.answered(5)
        assert (await other.ended(5)).by == "switch"
        talking = [asyncio.create_task(one.speak(tone(TONE_HZ, 1.0))) for one in (outside, inside)]
        await asyncio.gather(inside.hear(AUDIO, 5), outside.hear(AUDIO, 5), *talking)
        await outside.hang_up()
        assert (await inside.ended(5)).by == "switch"
        stranger = f"080{caller_number[3:]}"
        await leave_message(await caller.invite(switch.uri(office.dialled), stranger))
    call = await switch.finished_call_of(caller_number)
    assert (call["result"], call["answered_at"] is not None) == ("answered", True)
    (reason,) = await reasons_of(switch, call)
    assert "山田商店" in reason
    assert await switch.messages_of(caller_number) == []
    assert (await switch.message_of(stranger))["number"] == office.e164


@pytest.mark.parametrize("control_plane", ["there", "killed while they ring"])
async def test_devices_ring_first_and_a_message_follows(
    switch: RunningSwitch, office: Line, phone: SipCaller, caller_number: str, control_plane: str
) -> None:
    async with rule_of(switch, office, ring_first_s=2), registered(switch) as device:
        outside = await phone.invite(switch.uri(office.dialled), caller_number)
        inside = await device.incoming(10)
        inside.ring()
        if control_plane != "there":
            switch.kill("controller")
        stopped = await inside.ended(5)
        assert stopped.by == "switch"
        # On a busy machine both are seen together.
        assert outside.answered_at is None or outside.answered_at > stopped.at - 0.5
        await leave_message(outside)
    message = await switch.message_of(caller_number)
    call = await switch.finished_call_of(caller_number)
    assert (call["result"], message["call_id"]) == ("message", call["id"])
    assert abs(time_of(message["started_at"]) - time_of(call["started_at"])) < timedelta(seconds=0.1)
    assert time_of(call["answered_at"]) - time_of(call["started_at"]) > timedelta(seconds=1.5)
    if control_plane == "there":
        first, second = await reasons_of(switch, call)
        assert "ring first" in first
        assert "nobody answered" in second


@pytest.mark.parametrize("unanswered", ["rusurepo", "announcement"])
async def test_nobody_is_registered(
    switch: RunningSwitch, office: Line, phone: SipCaller, caller_number: str, unanswered: str
) -> None:
    """The announcement is heard before any answer: it costs nothing."""
    prefix = {"kind": "prefix", "value": caller_number[:5]}
    async with rule_of(switch, office, prefix, whitelisted_unanswered=unanswered):
        outside = await phone.invite(switch.uri(office.dialled), caller_number)
        if unanswered == "rusurepo":
            await leave_message(outside)
        else:
            await outside.hear(AUDIO, 5)
            with pytest.raises(Refused) as refused:
                await outside.answered(10)
            assert refused.value.status == 480
            assert outside.sound.loud.seconds > 3
    result = "message" if unanswered == "rusurepo" else "no_answer"
    assert (await switch.finished_call_of(caller_number))["result"] == result


async def test_withheld_numbers_may_be_on_the_whitelist(
    switch: RunningSwitch, office: Line, phone: SipCaller
) -> None:
    async with rule_of(switch, office, {"kind": "withheld"}), registered(switch) as device:
        outside = await phone.invite(switch.uri(office.dialled), None, headers=WITHHELD)
        inside = await device.incoming(10)
        await inside.answer()
        await outside.answered(5)
        await outside.hang_up()
        await inside.ended(5)


async def test_a_caller_hangs_up_while_devices_ring(
    switch: RunningSwitch, office: Line, phone: SipCaller, caller_number: str
) -> None:
    async with rule_of(switch, office, ring_first_s=30), registered(switch) as device:
        outside = await phone.invite(switch.uri(office.dialled), caller_number)
        inside = await device.incoming(10)
        inside.ring()
        await outside.cancel()
        assert (await inside.ended(5)).by == "switch"
        call = await switch.finished_call_of(caller_number)
    assert (call["result"], call["answered_at"]) == ("hung_up", None)
    assert await switch.messages_of(caller_number) == []


async def test_the_dialplan_alone_knows_the_whitelist(
    switch: RunningSwitch, office: Line, caller_number: str
) -> None:
    """The control plane is away: prefixes, callers without a number and ringing first work all the same."""
    entries = [{"kind": "prefix", "value": caller_number[:6]}, {"kind": "withheld"}]
    stranger = f"080{caller_number[3:]}"
    async with (
        rule_of(switch, office, *entries, ring_first_s=1),
        registered(switch) as device,
        SipCaller() as caller,
    ):
        until(lambda: "/withheld" in switch.asterisk_says(f"database show allow/{office.e164}"), 10, "told")
        with no_controller(switch):
            for number, headers in ((caller_number, None), (None, WITHHELD)):
                outside = await caller.invite(switch.uri(office.dialled), number, headers=headers)
                inside = await device.incoming(10)
                # Longer than a stranger's one second.
                await asyncio.sleep(2)
                await inside.answer()
                await outside.answered(5)
                await outside.hang_up()
                await inside.ended(5)
            outside = await caller.invite(switch.uri(office.dialled), stranger)
            ringing = await device.incoming(10)
            assert (await ringing.ended(5)).by == "switch"
            await leave_message(outside)
        assert (await switch.finished_call_of(caller_number))["result"] == "answered"
        assert (await switch.message_of(stranger))["source"] == "dialplan"
        assert (await switch.finished_call_of(stranger))["result"] == "message"


async def test_a_schedule_decides_and_the_dialplan_is_told_when_it_changes(
    switch: RunningSwitch, office: Line, phone: SipCaller, caller_number: str
) -> None:
    """By the schedule the holiday's rule applies; by hand it is switched off for a few seconds."""
    body = {"number_id": office.number_id, "enabled": True, "default_rule_id": office.holiday_rule}
    schedule = await switch.ask("POST", "/api/v1/schedules", json=body)
    path = f"/api/v1/schedules/{schedule['id']}"
    try:
        ends = datetime.now(UTC) + timedelta(seconds=4)
        override = {"rule_id": None, "until": ends.isoformat()}
        await switch.ask("PUT", f"{path}/override", json=override)
        call = await phone.invite(switch.uri(office.dialled), caller_number)
        with pytest.raises(Refused):
            await call.answered(10)
        found = await switch.ask("GET", f"{path}/applies")
        assert (found["rule_id"], found["source"]) == (office.holiday_rule, "default")

        def told() -> str:
            shown = switch.asterisk_says(f"database show number/{office.e164}")
            return next((row.split()[-1] for row in shown.splitlines() if "/rusurepo" in row), "")

        until(lambda: datetime.now(UTC) > ends and told() == "on", 10, "the dialplan was told")
        (reason,) = await reasons_of(switch, await switch.finished_call_of(caller_number))
        assert "override" in reason
    finally:
        await switch.ask("DELETE", path)
