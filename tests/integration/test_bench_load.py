"""The benchmark's callers against a switch played by our test phone."""

import asyncio

import pytest

from bench.load import Load
from bench.measure import CallRecord, Run, Script
from tests.sip import CallEnded, IncomingCall, SipCaller, keys, silence, tone

pytestmark = pytest.mark.integration

SCRIPT = Script("100", start_prompt_s=0.4, end_prompt_s=0.2, speech_s=0.5)


async def serve(call: IncomingCall, end_prompt_s: float) -> str:
    """What 留守レポ does; gives the keys it heard."""
    try:
        await call.answer()
        await call.speak(tone(440, 0.4))
        call.pause_rtp(30)
        await call.hear(until=keys("#"), timeout_s=5)
        call.pause_rtp(0)
        await call.speak(tone(880, end_prompt_s) + silence(0.1))
        await call.hang_up()
    except CallEnded:
        pass
    return call.sound.digits()


async def load_run(switch: SipCaller, plan: list[tuple[float, Script]]) -> Run:
    load = Load(("127.0.0.1", switch.port))
    try:
        return await asyncio.to_thread(load.run, plan)
    finally:
        load.close()


async def served(end_prompt_s: float, calls: int) -> tuple[list[CallRecord], list[str], list[IncomingCall]]:
    async with SipCaller() as switch, asyncio.TaskGroup() as group:
        running = group.create_task(load_run(switch, [(0.05 * number, SCRIPT) for number in range(calls)]))
        arrived = [await switch.incoming() for _ in range(calls)]
        serving = [group.create_task(serve(call, end_prompt_s)) for call in arrived]
        run = await running
        return run.records, [await one for one in serving], arrived


async def test_every_moment_of_a_call_is_recorded() -> None:
    records, pressed, calls = await served(end_prompt_s=0.2, calls=3)
    assert pressed == ["#", "#", "#"]
    for record, call in zip(records, calls, strict=True):
        assert record.failure is None
        moments = [
            record.invited_at,
            record.first_prompt_at,
            record.last_prompt_at,
            record.speech_at,
            record.hash_at,
            record.hash_end_at,
            record.first_end_prompt_at,
            record.bye_at,
        ]
        assert moments == sorted(moment for moment in moments if moment is not None)
        assert record.answered_at and record.acked_at and record.answered_at < record.acked_at
        assert call.caller.uri.user == record.caller
        assert call.sound.loud.seconds == pytest.approx(0.5, abs=0.06)
        assert call.sound.lost() == 0
        assert call.sound.samples()


async def test_a_short_end_prompt_is_a_failure() -> None:
    ((record,), _, _) = await served(end_prompt_s=0.04, calls=1)
    assert record.failure == "end prompt cut"


async def test_a_refused_call_is_a_failure() -> None:
    async with SipCaller() as switch, asyncio.TaskGroup() as group:
        running = group.create_task(load_run(switch, [(0.0, SCRIPT)]))
        (await switch.incoming()).reject(503)
        (record,) = (await running).records
        assert record.failure == "refused 503"
