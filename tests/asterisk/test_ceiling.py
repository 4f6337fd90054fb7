"""The ceiling of calls that run, on a real Asterisk: ten at once, warned, extended, cut."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.asterisk.test_callers import registered
from tests.asterisk.test_outbound import carrier
from tests.running_switch import Json, RunningSwitch, eventually, running_switch
from tests.sip import AUDIO, CallEnded, IncomingCall, OutgoingCall, Refused, SipCaller

pytestmark = pytest.mark.asterisk

TARIFF = """
[[tariff]]
valid_from = 2024-01-01
name = "small"
[tariff.credit]
ceiling = 100
top_up = 8
warn_at = 75
[tariff.calls.fixed]
label = "固定電話"
unit_s = 900
yen = 30
[tariff.calls.mobile]
label = "携帯電話"
unit_s = 1
yen = 1
[tariff.calls.ip]
label = "IP電話"
unit_s = 2
yen = 1
"""


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSwitch]:
    """An instance whose account may call for 100 yen."""
    folder = tmp_path_factory.mktemp("poor")
    (folder / "tariff.toml").write_text(TARIFF)
    with running_switch(folder / "var", DENWABAN_TARIFF=str(folder / "tariff.toml")) as switch:
        switch.wait_ready()
        yield switch


async def credit(switch: RunningSwitch) -> Json:
    return await switch.ask("GET", "/api/v1/credit")


async def until_charged(switch: RunningSwitch, charges: int) -> None:
    async def charged() -> bool:
        now = await credit(switch)
        return bool(now["charges"] >= charges and now["reserved"] == 0)

    await eventually(charged, 30, f"charges of {charges} yen: {await credit(switch)}")


async def answer_all(outside: SipCaller, found: list[IncomingCall]) -> None:
    while True:
        arriving = await outside.incoming(60)
        await arriving.answer()
        found.append(arriving)


async def outcome(call: OutgoingCall) -> bool:
    """Whether it was let out; a refusal is spoken first."""
    try:
        await call.answered(40)
    except (Refused, CallEnded):
        return False
    return True


async def test_ten_calls_at_once_get_no_more_than_there_is(poor: RunningSwitch) -> None:
    """At 30 yen each three are let out on 100 yen; emergency, internal and free calls are not concerned."""
    async with carrier(poor) as outside, registered(poor) as device:
        answered: list[IncomingCall] = []
        answering = asyncio.create_task(answer_all(outside, answered))
        calls = [await device.invite(poor.uri(f"031111{n:04d}")) for n in range(10)]
        let_out = await asyncio.gather(*map(outcome, calls))
        assert sum(let_out) == 3
        now = await credit(poor)
        assert (now["reserved"], now["available"]) == (90, 10)
        for call, out in zip(calls, let_out, strict=True):
            if out:
                await call.hang_up()
        answering.cancel()
        free = await device.invite(poor.uri("0120111111"))
        arriving = await outside.incoming(10)
        await arriving.answer()
        await free.answered(5)
        await free.hang_up()
    await until_charged(poor, 90)
    assert (await credit(poor))["available"] == 10


async def test_a_call_is_warned_extended_and_cut_and_outlives_the_control_plane(poor: RunningSwitch) -> None:
    """Ten seconds are left; a top-up during the call adds eight, and a new control plane knows of it."""
    async with carrier(poor) as outside, registered(poor) as device:
        call = await device.invite(poor.uri("09011112222"))
        arriving = await outside.incoming(10)
        arriving.ring()
        await asyncio.sleep(1.5)
        await arriving.answer()
        await call.answered(5)
        began = time.monotonic()
        await poor.ask("POST", "/api/v1/top-ups", headers={"Idempotency-Key": "in-the-call"})
        await eventually(lambda: extended(poor, 17), 9, "the call is extended")
        # The carrier is silent: what the caller hears is the warning. It may come twice, for both limits.
        warning = await call.hear(AUDIO, 14)
        assert warning.loud.seconds > 0
        poor.kill("controller")
        ending = await call.ended(25)
        lasted = time.monotonic() - began
    assert ending.by == "switch"
    assert 15 <= lasted <= 18.5
    await until_charged(poor, 91)
    now = await credit(poor)
    assert 105 <= now["charges"] <= 108
    assert now["charges"] <= now["ceiling"] + now["top_ups"]
    assert arriving.ending is not None


async def extended(switch: RunningSwitch, limit_s: int) -> bool:
    held = (await credit(switch))["reservations"]
    return any(one["limit_s"] == limit_s for one in held)


async def told_and_cut(call: OutgoingCall) -> float:
    """It is told that it will end, and ends by itself; after so many seconds of talk."""
    await call.answered(20)
    began = time.monotonic()
    warning = await call.hear(AUDIO, 40)
    assert warning.loud.seconds > 0
    ending = await call.ended(40)
    assert ending.by == "switch"
    return time.monotonic() - began


async def test_ten_calls_at_once_are_told_topped_up_and_cut_and_never_overspend(poor: RunningSwitch) -> None:
    """Nothing is left: eight yen are put in for each of ten calls, and once more for the first that asks."""
    before = await credit(poor)
    assert before["available"] < 4
    automatic = {"automatic_top_up": True, "automatic_limit": 11}
    await poor.ask("PATCH", "/api/v1/credit", json=automatic)
    async with carrier(poor) as outside, registered(poor) as device:
        calls = [await device.invite(poor.uri(f"0501111{n:04d}")) for n in range(10)]
        # None is answered, and asks for more, before each has got its own.
        arriving = [await outside.incoming(20) for _ in calls]
        talking = [asyncio.create_task(told_and_cut(call)) for call in calls]
        await asyncio.gather(*(one.answer() for one in arriving))

        async def nine_are_over() -> bool:
            return sum(one.done() for one in talking) == 9

        await eventually(nine_are_over, 60, "nine are told and cut")
        (goes_on,) = [call for call, one in zip(calls, talking, strict=True) if not one.done()]
        lasted = [one.result() for one in talking if one.done()]
        # What was left before makes one of them longer.
        assert min(lasted) >= 13.5
        assert max(lasted) <= 15.5 + 2 * before["available"] + 3
        await goes_on.hang_up()
        await asyncio.gather(*talking, return_exceptions=True)
    await poor.ask("PATCH", "/api/v1/credit", json={"automatic_top_up": False})
    await until_charged(poor, before["charges"] + 80)
    now = await credit(poor)
    assert now["top_ups"] == before["top_ups"] + 11 * 8
    assert now["charges"] <= now["ceiling"] + now["top_ups"]
