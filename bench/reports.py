"""`python -m bench.reports`: from a hang-up to the chat, with text; and a crowd of messages in a minute.

Real calls to an instance of its own, the tests' small model, and a double of Slack that answers at once.
Printed are the seconds from the end of each long message to its text in the chat, and how a crowd of short
messages was delivered: how many, in which order, after how long.
"""

import argparse
import asyncio
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy

from bench.measure import Percentiles
from tests.doubles import slack
from tests.doubles.slack import SlackDouble
from tests.running_switch import CHECKOUT, RunningSwitch, eventually, running_switch
from tests.sip import OutgoingCall, SipCaller, silence_of
from tests.sip.audio import Samples
from tests.speech import NUMBER, WORDS, spoken

MODEL = CHECKOUT / "tests" / "fixtures" / "models" / "ja-words-16k"
LONG_S = 49.0
"""Just below the limit, so that the caller's hang-up ends it."""

SHORT_S = 3.0
PAUSE_S = 3.0
"""Between two long messages' ends: each finds the machine at rest."""

LIMIT_S = 300.0


@dataclass(frozen=True)
class Left:
    """A message as its caller left it: the caller's number in E.164, and when it was over (monotonic)."""

    caller: str
    ended_at: float


class TimedSlack(SlackDouble):
    """Remembers when each text was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_at: list[tuple[float, str]] = []

    def _post_message(self, given: dict[str, Any]) -> dict[str, Any]:
        answer = super()._post_message(given)
        self.taken_at.append((time.monotonic(), str(given["text"])))
        return answer

    def taken_of(self, caller: str) -> float | None:
        """When the text about this caller was taken."""
        return next((at for at, text in self.taken_at if national(caller) in text), None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.reports", description="from hang-up to the chat")
    parser.add_argument("--long", type=int, default=20, help="messages of 49 s, one after the other")
    parser.add_argument("--crowd", type=int, default=200, help="messages of 3 s within a minute")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="denwaban-bench-") as folder:
        asyncio.run(measure(Path(folder), given.long, given.crowd))


async def measure(folder: Path, long: int, crowd: int) -> None:
    async with TimedSlack() as chat:
        settings = {"DENWABAN_SLACK_URL": chat.base_url, "DENWABAN_VOSK_MODEL": str(MODEL)}
        with running_switch(folder / "var", **settings) as switch:
            await asyncio.to_thread(switch.wait_ready)
            await report_to_chat(switch)
            print(f"hang-up to the text in the chat, {long} messages of {LONG_S:.0f} s:", flush=True)
            left = await leave(switch, long, PAUSE_S, sentences(LONG_S))
            await all_taken(chat, left)
            waits = [(chat.taken_of(one.caller) or 0.0) - one.ended_at for one in left]
            print(f"  {seconds(waits)}", flush=True)
            print(f"{crowd} messages of {SHORT_S:.0f} s within a minute:", flush=True)
            left = await leave(switch, crowd, 55 / crowd, sentences(SHORT_S), first=1000)
            await all_taken(chat, left)
            await print_crowd(switch, chat, left)


async def report_to_chat(switch: RunningSwitch) -> None:
    """留守レポ ON for the demo's number, with a rule that tells the chat."""
    rule = await switch.ask("POST", "/api/v1/notification-rules", json={"name": "bench"})
    service = {"kind": "slack", "fields": {"token": slack.TOKEN, "channel_id": slack.CHANNEL}}
    await switch.ask("POST", f"/api/v1/notification-rules/{rule['id']}/services", json=service)
    number = switch.voice_number
    path = f"/api/v1/rules/{(await switch.ask('GET', '/api/v1/rules'))['items'][0]['id']}"
    used = await switch.ask("PATCH", path, json={"notification_rule_id": rule["id"]})
    setting = {"enabled": True, "rule_id": used["id"]}
    await switch.ask("PUT", f"/api/v1/numbers/{number['id']}/rusurepo", json=setting)


async def leave(
    switch: RunningSwitch, count: int, apart_s: float, speech: Samples, first: int = 0
) -> list[Left]:
    """Leave `count` messages that end `apart_s` after one another."""
    dialled = f"0{switch.voice_number['e164'][3:]}"
    async with SipCaller() as phone:

        async def one(place: int) -> Left:
            await asyncio.sleep(place * apart_s)
            caller = f"090{20_000_000 + first + place}"
            call: OutgoingCall = await phone.invite(switch.uri(dialled), caller)
            await call.answered(10)
            await call.press("#")
            await call.hear(silence_of(0.3), 20)
            await call.speak(speech)
            await call.hang_up()
            return Left(f"+81{caller[1:]}", time.monotonic())

        return list(await asyncio.gather(*(one(place) for place in range(count))))


async def all_taken(chat: TimedSlack, left: Sequence[Left]) -> None:
    async def look() -> bool:
        return all(chat.taken_of(one.caller) is not None for one in left)

    await eventually(look, LIMIT_S, "all messages in the chat")


async def print_crowd(switch: RunningSwitch, chat: TimedSlack, left: Sequence[Left]) -> None:
    """How many, how late, and whether the chat has them in the order in which they were kept."""
    callers = {one.caller for one in left}
    kept = [
        message["caller"] for message in reversed(await switch.messages()) if message["caller"] in callers
    ]
    texts = [text for _, text in chat.taken_at]
    order = [caller for text in texts for caller in callers if national(caller) in text]
    place = {caller: number for number, caller in enumerate(order)}
    ordered = sum(place[before] < place[after] for before, after in pairwise(kept))
    waits = [(chat.taken_of(one.caller) or 0.0) - one.ended_at for one in left]
    with_text = sum(
        "文字起こし待ち" not in text for text in texts if any(national(c) in text for c in callers)
    )
    print(
        f"  {len(order)} of {len(left)} delivered, {len(order) - len(set(order))} doubled,"
        f" {with_text} with text; {ordered} of {len(kept) - 1} follow the one that was kept before\n"
        f"  {seconds(waits)}"
    )


def sentences(length_s: float) -> Samples:
    """Speech of so many seconds."""
    both = numpy.concatenate([spoken(WORDS), spoken(NUMBER)])
    repeated = numpy.tile(both, int(length_s * 8000 / len(both)) + 1)[: round(length_s * 8000)]
    return array("h", repeated.tolist())


def national(e164: str) -> str:
    return f"0{e164[3:]}"


def seconds(waits: Sequence[float]) -> str:
    found = Percentiles.of(list(waits))
    return f"p50 {found.p50:.2f} s, p95 {found.p95:.2f} s, p99 {found.p99:.2f} s"


if __name__ == "__main__":
    main()
