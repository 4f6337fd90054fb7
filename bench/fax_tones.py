"""How soon CNG is heard, for `python -m bench.fax --tones`: in every phase of a call to a shared number."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.asterisk.test_nothing_is_lost import no_controller
from tests.running_switch import RunningSwitch, until
from tests.sip import OutgoingCall, SipCaller, speech_like, tone, tone_of
from tests.sip.errors import CallEnded

NUMBER = "0312345678"
SIGNAL_HZ = 1000
BURST_S = 0.5
HERTZ = (1088.0, 1100.0, 1112.0)
TIMES = 4
LIMIT_S = 1.0
"""From the beginning of the tone to the hand-over."""

Phase = Callable[[OutgoingCall], Awaitable[None]]


async def in_the_prompt(call: OutgoingCall) -> None:
    await call.speak(speech_like(1.0))


async def in_the_recording(call: OutgoingCall) -> None:
    await call.press("#")
    await call.hear(tone_of(SIGNAL_HZ), 10)
    await call.speak(speech_like(2.0))


async def in_the_end_prompt(call: OutgoingCall) -> None:
    await in_the_recording(call)
    await call.press("#")
    await call.speak(speech_like(0.5))


async def in_a_talk(call: OutgoingCall) -> None:
    await call.speak(speech_like(1.0))


async def measure(switch: RunningSwitch, phase: Phase, hertz: float) -> float | None:
    """Seconds from the beginning of one burst until the call was handed over; None where it was not."""
    spool = switch.var / "asterisk" / "spool" / "fax"
    before = set(spool.glob("*.fax"))
    async with SipCaller() as phone:
        call = await phone.invite(switch.uri(NUMBER), "09012340000")
        await call.answered(15)
        await phase(call)
        began = time.monotonic()
        speaking = asyncio.create_task(_burst(call, hertz))
        while time.monotonic() - began < 3 * LIMIT_S:
            if set(spool.glob("*.fax")) - before:
                break
            await asyncio.sleep(0.01)
        took_s = time.monotonic() - began
        await speaking
        await call.hang_up()
    return took_s if took_s < 3 * LIMIT_S else None


async def _burst(call: OutgoingCall, hertz: float) -> None:
    try:
        await call.speak(tone(hertz, BURST_S))
        await call.speak(speech_like(1.0))
    except CallEnded:
        # It was handed over.
        return


@asynccontextmanager
async def answering_device(switch: RunningSwitch) -> AsyncIterator[None]:
    """The number rings a telephone, which takes every call."""
    number = switch.voice_number["id"]
    setting = await switch.ask("GET", f"/api/v1/numbers/{number}/rusurepo")
    path = f"/api/v1/numbers/{number}/rusurepo"
    await switch.ask("PUT", path, json={"enabled": False, "rule_id": setting["rule_id"]})
    device, registrar = switch.ready["devices"][0], f"sip:127.0.0.1:{switch.sip_port}"
    async with SipCaller() as phone:
        await phone.register(device["username"], device["password"], registrar)

        async def take_calls() -> None:
            while True:
                await (await phone.incoming(600)).answer()

        taking = asyncio.create_task(take_calls())
        await asyncio.sleep(2)
        try:
            yield
        finally:
            taking.cancel()
            await switch.ask("PUT", path, json={"enabled": True, "rule_id": setting["rule_id"]})
            on = re.compile(r"/rusurepo\s*: on")
            until(lambda: bool(on.search(switch.asterisk_says("database show number"))), 10, "it was told")


async def measure_all(switch: RunningSwitch) -> bool:
    """Print how soon, phase by phase; True when none took longer than it may."""
    body = {"enabled": True}
    await switch.ask("PUT", f"/api/v1/numbers/{switch.voice_number['id']}/fax", json=body)
    until(lambda: ": shared" in switch.asterisk_says("database show number"), 10, "Asterisk was told")
    well = True
    for name, phase in (
        ("start prompt", in_the_prompt),
        ("recording", in_the_recording),
        ("end prompt", in_the_end_prompt),
    ):
        well &= await _repeated(switch, name, phase)
    async with answering_device(switch):
        well &= await _repeated(switch, "talk with a device", in_a_talk)
    with no_controller(switch):
        well &= await _repeated(switch, "without the control plane", in_the_prompt)
    return well


async def _repeated(switch: RunningSwitch, name: str, phase: Phase) -> bool:
    tones = [hertz for hertz in HERTZ for _ in range(TIMES)]
    took = [await measure(switch, phase, hertz) for hertz in tones]
    heard = [one for one in took if one is not None]
    middle = statistics.median(heard) if heard else 0.0
    print(
        f"  {name}: {len(heard)} of {len(took)}, median {middle:.2f} s, longest {max(heard, default=0):.2f} s"
    )
    return len(heard) == len(took) and max(heard) <= LIMIT_S
