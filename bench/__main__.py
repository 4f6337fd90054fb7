"""`python -m bench [--quick] [--transcribe] [--api]`: start an instance, load it, print the figures.

docs/bench.md explains them. Exit status 1 when a message is missing or doubled, or when the packet
clock slipped or a call was lost with 200 recordings at once.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.asking import PER_S, asking_the_api
from bench.load import Load
from bench.measure import (
    LATE_PACKET_S,
    CallRecord,
    Run,
    Script,
    cpu_between,
    cpu_seconds,
    generator_trouble,
    troubles,
)
from bench.report import PARTS, Measured, comparison, ratio, run_line, table
from bench.search import QUICK_STEPS, STEPS, Search
from bench.sides import LISTENING_NUMBER, PLAIN, SPEECH_S, Side, Sounds, plain_dialplan, prepare_instance
from tests.running_switch import CHECKOUT, RunningSwitch, running_switch

AT_ONCE = 200
LISTENERS = 5
STARTS_PER_S = 30
LISTENING_S = 22.0
PAUSE_S = 1.0
SETTLE_LIMIT_S = 60.0
SHORTEST_MESSAGE_S = SPEECH_S - 0.5
"""Asterisk cuts the last quarter of a second before the `#`, and the digit itself is no audio."""

MODEL = CHECKOUT / "tests" / "fixtures" / "models" / "ja-words-16k"
BUSY_MACHINE = 0.5


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    steps: tuple[int, ...]
    step_s: float
    latency_rounds: int
    latency_s: float
    at_once_plain_too: bool


FULL = Extent(STEPS, 8.0, 2, 10.0, True)
QUICK = Extent(QUICK_STEPS, 3.0, 1, 5.0, False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="our call flow against a plain dialplan")
    parser.add_argument("--quick", action="store_true", help="under two minutes, rougher")
    parser.add_argument("--transcribe", action="store_true", help="make text of every message meanwhile")
    parser.add_argument("--api", action="store_true", help=f"ask the API {PER_S} things a second meanwhile")
    given = parser.parse_args()
    quick: bool = given.quick
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="denwaban-bench-") as folder:
        sounds = Sounds(Path(folder) / "sounds")
        sounds.make()
        extra = Path(folder) / "extra.conf"
        extra.write_text(plain_dialplan(sounds, LISTENING_S))
        print(*machine_lines(), sep="\n", flush=True)
        settings = switch_settings(extra)
        if given.transcribe:
            settings["DENWABAN_VOSK_MODEL"] = str(MODEL)
        with (
            running_switch(Path(folder) / "var", **settings) as switch,
            asking_the_api(switch) if given.api else nullcontext(),
        ):
            well = Bench(switch, sounds, QUICK if quick else FULL).run()
    print(f"\n{time.monotonic() - began:.0f} s in all.")
    sys.exit(0 if well else 1)


def switch_settings(extra: Path) -> dict[str, str]:
    """What the instance under load has beside free ports."""
    return {
        "DENWABAN_DIALPLAN_EXTRA": str(extra),
        "DENWABAN_RTP_PORTS": "20000-29999",
        "DENWABAN_UDPTL_PORTS": "30000-30199",
    }


def machine_lines() -> list[str]:
    """What the figures depend on beside us."""
    load_average = os.getloadavg()[0]
    lines = [f"{os.cpu_count()} processors, load average {load_average:.2f} before the start"]
    if load_average > BUSY_MACHINE:
        lines.append("  The machine has other work: ratios are rough, absolute figures rougher.")
    return lines


def take_precedence() -> None:
    """The load stands for the world outside, which does not wait for a processor of ours."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@dataclass
class Bench:
    """One benchmark of one running instance."""

    switch: RunningSwitch
    sounds: Sounds
    extent: Extent
    ours: Side = field(init=False)
    taken: list[CallRecord] = field(default_factory=list)
    """Every call to our side."""

    plain_taken: int = 0
    """Successful calls to the plain side."""

    plain_recorded: int = 0

    def run(self) -> bool:
        """Measure everything and print it; True where nothing was lost."""
        self.ours = asyncio.run(prepare_instance(self.switch, self.sounds))
        take_precedence()
        with closing(Load(("127.0.0.1", self.switch.sip_port))) as load:
            self.load = load
            self._warm_up()
            best = self._search_rates()
            self._compare(max(best // 2, 1))
            at_once = self._many_at_once()
        return self._nothing_lost() and at_once

    # ---- the three parts

    def _search_rates(self) -> int:
        """The highest rate that both sides stand."""
        print(f"\nHighest rate ({self.extent.step_s:.0f} s each, in turns):", flush=True)
        searches = {side.name: Search(self.extent.steps) for side in (self.ours, PLAIN)}
        while any(search.next_rate() is not None for search in searches.values()):
            for side in (self.ours, PLAIN):
                if rate := searches[side.name].next_rate():
                    run, _ = self._run_at(side, rate, self.extent.step_s)
                    found = [*troubles(run), *filter(None, [generator_trouble(run)])]
                    print(run_line(side.name, rate, run, found), flush=True)
                    searches[side.name].take(rate, found)
        ours, plain = searches["ours"], searches["plain"]
        head = ("", "ours", "plain", "ours / plain")
        rates = ("calls/s, all well", str(ours.best), str(plain.best), ratio(ours.best, plain.best))
        limits = ("calls/s, fails or lags", _limit(ours), _limit(plain), "")
        print(*table(head, [rates, limits]), sep="\n", flush=True)
        return min(ours.best, plain.best)

    def _compare(self, rate: int) -> None:
        """Waiting and processor time at half of the highest rate."""
        rounds = self.extent.latency_rounds
        print(f"\nAt {rate} calls/s ({rounds} x {self.extent.latency_s:.0f} s each, in turns):", flush=True)
        measured = {side.name: Measured() for side in (self.ours, PLAIN)}
        for _ in range(rounds):
            for side in (self.ours, PLAIN):
                run, cpu_s = self._run_at(side, rate, self.extent.latency_s)
                measured[side.name].add(run, cpu_s)
                print(run_line(side.name, rate, run, troubles(run)), flush=True)
        print(*comparison(measured["ours"], measured["plain"]), sep="\n", flush=True)

    def _many_at_once(self) -> bool:
        """200 callers speak at the same time, while a few only listen, to hear whether the clock is kept."""
        print(f"\n{AT_ONCE} recordings at once:", flush=True)
        well = True
        for side in (self.ours, PLAIN) if self.extent.at_once_plain_too else (self.ours,):
            script = side.script(AT_ONCE / STARTS_PER_S + 3)
            listening = Script(LISTENING_NUMBER, LISTENING_S)
            plan = [(0.0, listening)] * LISTENERS
            plan += [(1 + number / STARTS_PER_S, script) for number in range(AT_ONCE)]
            run, _ = self._run(plan)
            listeners = [record for record in run.records if record.script is listening]
            heard = sum(record.start_packets for record in listeners)
            late = sum(record.late_packets for record in listeners)
            spoke = [record for record in run.successes if record.script is script]
            gap = run.gaps.percentile(0.99)
            kept = gap <= LATE_PACKET_S and late <= heard / 100
            print(
                f"  {side.name:6} {len(spoke)} of {AT_ONCE} well, at most {most_at_once(spoke)} at once;"
                f" prompt gaps p99 {1000 * gap:.0f} ms; listeners: {late} of {heard} packets late"
                f"  {'; '.join(troubles(run)) or 'well'}{_remark(run)}",
                flush=True,
            )
            if side is self.ours:
                well = kept and len(spoke) == AT_ONCE
        return well

    # ---- runs

    def _warm_up(self) -> None:
        self._run([(number / 10, side.script()) for number in range(5) for side in (self.ours, PLAIN)])

    def _run_at(self, side: Side, rate: int, seconds: float) -> tuple[Run, dict[str, float]]:
        script = side.script()
        return self._run([(number / rate, script) for number in range(round(rate * seconds))])

    def _run(self, plan: Sequence[tuple[float, Script]]) -> tuple[Run, dict[str, float]]:
        time.sleep(PAUSE_S)
        pids = {part: self.switch.pid(part) for part in PARTS}
        before = cpu_seconds(pids)
        run = self.load.run(plan)
        # What a call leaves behind to do belongs to its price.
        time.sleep(PAUSE_S)
        used = cpu_between(before, cpu_seconds(pids))
        self._count(run.records)
        return run, used

    # ---- the count

    def _count(self, records: Sequence[CallRecord]) -> None:
        self.taken += [record for record in records if record.script.extension == self.ours.extension]
        plain = [record for record in records if record.script.extension == PLAIN.extension]
        self.plain_taken += sum(record.failure is None for record in plain)
        self.plain_recorded += self.sounds.clear_recordings()

    def _nothing_lost(self) -> bool:
        """Every successful call of ours has one message, long enough."""
        expected = {e164_of(record.caller) for record in self.taken if record.failure is None}
        messages = asyncio.run(self._settled_messages(len(expected)))
        found = Counter(message["caller"] for message in messages)
        missing = [caller for caller in expected if not found[caller]]
        doubled = [caller for caller, count in found.items() if count > 1]
        short = [
            one for one in messages if one["caller"] in expected and one["duration_s"] < SHORTEST_MESSAGE_S
        ]
        print(
            f"\nMessages: {len(expected)} calls went well, {len(expected) - len(missing)} have a message;"
            f" {len(missing)} missing, {len(doubled)} doubled, {len(short)} too short"
            f" (plain: {self.plain_taken} calls, {self.plain_recorded} recordings)",
            flush=True,
        )
        return not (missing or doubled or short)

    async def _settled_messages(self, expected: int) -> list[dict[str, Any]]:
        """All messages, once they are as many as expected or no more come."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        messages = await self.switch.messages()
        while len(messages) < expected and time.monotonic() < deadline:
            await asyncio.sleep(1)
            messages = await self.switch.messages()
        return messages


def most_at_once(records: Sequence[CallRecord]) -> int:
    """How many were speaking at the same moment."""
    steps = sorted(
        [(record.speech_at or 0.0, 1) for record in records]
        + [(record.hash_at or 0.0, -1) for record in records]
    )
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def e164_of(caller: str) -> str:
    return f"+81{caller[1:]}"


def _limit(search: Search) -> str:
    return str(search.limit) if search.limit is not None else f"> {search.best}"


def _remark(run: Run) -> str:
    return f" ({late})" if (late := generator_trouble(run)) else ""


if __name__ == "__main__":
    main()
