"""Call details from real calls, also those that the control plane did not see the end of."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from store.calls import JAPAN
from store.database import open_database
from store.models import Call, CallLeg
from tests.asterisk.conftest import TONE_HZ, Line
from tests.running_switch import CHECKOUT, Json, RunningSwitch, eventually, until
from tests.sip import SipCaller, silence_of, tone_of

pytestmark = pytest.mark.asterisk


def registrar(switch: RunningSwitch) -> str:
    return f"sip:127.0.0.1:{switch.sip_port}"


async def legs_of(switch: RunningSwitch, caller_number: str, count: int) -> tuple[Json, list[Json]]:
    """The only call of a caller and its legs, once there are so many."""

    async def told() -> Json | None:
        calls = await switch.calls_of(caller_number)
        call = await switch.ask("GET", f"/api/v1/calls/{calls[0]['id']}") if calls else None
        return call if call and call["ended_at"] and len(call["legs"]) >= count else None

    call = await eventually(told, 45, f"{count} legs of {caller_number}")
    assert call is not None
    assert len(call["legs"]) == count
    return call, call["legs"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_message_is_one_leg(switch: RunningSwitch, line: Line, caller_number: str) -> None:
    async with SipCaller() as caller:
        call = await caller.invite(switch.uri(line.dialled), caller_number)
        await call.answered(5)
        await call.hear(tone_of(TONE_HZ), 10)
        await call.hear(silence_of(0.1), 5)
        await call.press("#")
        await call.ended(10)
    told, (leg,) = await legs_of(switch, caller_number, 1)
    assert (leg["role"], leg["device"], leg["result"]) == ("caller", None, "answered")
    assert leg["other_party"] == told["other_party"] == f"+81{caller_number[1:]}"
    for moment in ("started_at", "answered_at", "ended_at"):
        assert abs((at(leg[moment]) - at(told[moment])).total_seconds()) < 0.6, moment


async def test_a_hidden_caller_is_hidden_in_the_legs(switch: RunningSwitch, line: Line) -> None:
    hidden = "0399990000"
    headers = {"Privacy": "id", "P-Asserted-Identity": f"<sip:{hidden}@127.0.0.1>"}
    async with SipCaller() as caller:
        call = await caller.invite(switch.uri(line.dialled), "anonymous", headers=headers)
        await call.answered(5)
        await call.hang_up()

    async def newest() -> Json | None:
        calls = (await switch.ask("GET", f"/api/v1/calls?number_id={line.number_id}&limit=1"))["items"]
        if not calls:
            return None
        told = await switch.ask("GET", f"/api/v1/calls/{calls[0]['id']}")
        return told if told["other_party"] is None and told["legs"] else None

    told = await eventually(newest, 30, "the legs of the hidden call")
    assert told is not None
    assert [leg["other_party"] for leg in told["legs"]] == [None]
    assert hidden[1:] not in str(told)


@pytest.mark.parametrize("dies", ["nobody", "controller and after_calls", "asterisk"])
async def test_a_call_between_people(
    switch: RunningSwitch, line: Line, caller_number: str, dies: str
) -> None:
    path = f"/api/v1/numbers/{line.number_id}/rusurepo"
    first, second = switch.ready["devices"]
    await switch.ask("PUT", path, json={"enabled": False, "rule_id": line.usual_rule})
    until(lambda: "off" in switch.asterisk_says(f"database get number/{line.e164} rusurepo"), 15, "told")
    try:
        async with SipCaller() as one, SipCaller() as two, SipCaller() as caller:
            await one.register(first["username"], first["password"], registrar(switch))
            await two.register(second["username"], second["password"], registrar(switch))
            outside = await caller.invite(switch.uri(line.dialled), caller_number)
            inside, other = await one.incoming(10), await two.incoming(10)
            other.ring()
            await inside.answer()
            await outside.answered(5)
            if dies == "controller and after_calls":
                # Before the call ends: nobody of ours sees it.
                for part in ("controller", "after_calls"):
                    switch.kill(part)
            if dies == "asterisk":
                # So long that what lives was looked at: every five seconds, and one for the look itself.
                await asyncio.sleep(10)
                before = switch.kill("asterisk")
                until(lambda: switch.ready["pids"]["asterisk"] not in {None, before}, 20, "it is back")
                switch.wait_ready()
            else:
                await asyncio.sleep(1.2)
                await outside.hang_up()
                await inside.ended(5)
            for phone, device in ((one, first), (two, second)):
                await phone.register(device["username"], device["password"], registrar(switch), expires_s=0)
        told, legs = await legs_of(switch, caller_number, 3)
    finally:
        await switch.ask("PUT", path, json={"enabled": True, "rule_id": line.usual_rule})
        until(lambda: "on" in switch.asterisk_says(f"database get number/{line.e164} rusurepo"), 15, "told")
    by_device = {leg["device"]: leg for leg in legs}
    assert by_device[None]["role"] == "caller"
    assert by_device[first["username"]]["result"] == "answered"
    assert by_device[second["username"]]["result"] == "answered_elsewhere"
    assert {leg["other_party"] for leg in legs} == {f"+81{caller_number[1:]}"}
    assert by_device[None]["end_seen"] is (dies != "asterisk")
    talked = (at(by_device[None]["ended_at"]) - at(by_device[None]["answered_at"])).total_seconds()
    assert 1.1 < talked < 2.5 if dies != "asterisk" else 2 < talked < 15, talked

    async def right() -> bool:
        call = await switch.ask("GET", f"/api/v1/calls/{told['id']}")
        gaps = [
            abs((at(call[moment] or call["started_at"]) - at(by_device[None][moment])).total_seconds())
            for moment in ("answered_at", "ended_at")
        ]
        return max(gaps) <= 0.5 and call["device_id"] == first["id"]

    await eventually(right, 20, "the record says the same")
    if dies == "controller and after_calls":
        await the_month_is_made_again(switch, told, by_device[first["username"]])


async def the_month_is_made_again(switch: RunningSwitch, call: Json, leg: Json) -> None:
    """Of all calls of the tests so far. What is changed afterwards shows."""

    async def same() -> bool:
        return not (await recomputed(switch))["differences"]

    await eventually(same, 60, "no difference")
    ended_at = at(call["ended_at"]) + timedelta(seconds=60)
    database = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with database.session() as session:
            await session.execute(update(CallLeg).where(CallLeg.id == leg["id"]).values(result="busy"))
            await session.execute(update(Call).where(Call.id == call["id"]).values(ended_at=ended_at))
        assert await differences(switch) == [
            (leg["id"], "result", "busy"),
            (None, "ended_at", ended_at.astimezone(UTC).isoformat()),
        ]
        async with database.session() as session:
            await session.execute(update(CallLeg).where(CallLeg.id == leg["id"]).values(result=leg["result"]))
            right = update(Call).where(Call.id == call["id"]).values(ended_at=at(call["ended_at"]))
            await session.execute(right)
        assert await differences(switch) == []
    finally:
        await database.close()


async def differences(switch: RunningSwitch) -> list[tuple[str | None, str, str | None]]:
    found = (await recomputed(switch))["differences"]
    return [(one["leg_id"], one["field"], one["stored"]) for one in found]


async def recomputed(switch: RunningSwitch) -> Json:
    """What the command line says of this month."""
    month = f"{datetime.now(JAPAN):%Y-%m}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "denwaban", "calls", "recompute", "--month", month),
        cwd=CHECKOUT,
        env={**os.environ, **switch.environment},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    told: Json = json.loads(said)
    assert process.returncode == bool(told["differences"])
    return told
