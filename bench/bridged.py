"""`python -m bench.bridged [--quick]`: calls that ring telephones, are announced to, recorded and bridged.

docs/bench.md explains the figures. Exit status 1 when a call was lost, a recording is not whole, or a figure
is beyond its limit.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.__main__ import machine_lines, switch_settings, take_precedence
from bench.measure import Percentiles, cpu_between, cpu_seconds
from bench.numbered import Track, tracks
from bench.report import ratio, table
from bench.talking import Exchange
from bench.talks import Script, Talk, Talked
from store.database import open_database
from store.media import Media
from store.models import PhoneNumber
from store.prompts import add_prompt
from tests.running_switch import RunningSwitch, running_switch, until
from tests.sip.audio import speech_like, write_wav

PARTS = ("asterisk", "controller", "after_calls", "api")
CONTROL = PARTS[1:]
PLAIN_NUMBER = "0399999997"
TOLD_S = 2.0
RING_S = 0.5
TALK_S = 5.0
RATE = 5
IDLE_S = 5.0
TRACK_LEEWAY_S = 0.1
"""A recording may begin and end a few packets beside what the other side heard."""

SETTLE_LIMIT_S = 60.0
SETTLE_S = 4.0
"""A call's legs are kept three seconds after its end."""

REGISTERS_S = 5.0
REGISTERS_A_SECOND = 50

CONTROL_SHARE = 0.3
RINGS_S = 0.030
STOPS_S = 0.100


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int
    round_s: float
    at_once: int
    rising: int
    """Calls a second until that many are up."""


FULL = Extent(rounds=2, round_s=10.0, at_once=100, rising=5)
QUICK = Extent(rounds=1, round_s=5.0, at_once=30, rising=10)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.bridged", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, rougher")
    extent = QUICK if parser.parse_args().quick else FULL
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="denwaban-bench-") as name:
        folder = Path(name)
        recorded = folder / "recorded"
        recorded.mkdir()
        announcement = folder / "announcement.wav"
        write_wav(announcement, speech_like(TOLD_S, seed=4))
        extra = folder / "extra.conf"
        extra.write_text(plain_dialplan(announcement, recorded))
        print(*machine_lines(), sep="\n", flush=True)
        with running_switch(folder / "var", **switch_settings(extra)) as switch:
            dialled, phones = asyncio.run(prepare(switch, announcement.read_bytes()))
            take_precedence()
            with closing(Exchange(("127.0.0.1", switch.sip_port))) as exchange:
                for username, password in phones.items():
                    exchange.register(username, password)
                wrong = Bench(switch, exchange, phones, dialled, recorded, extent).run()
    print(f"\n{time.monotonic() - began:.0f} s in all.")
    for line in wrong:
        print(f"WRONG: {line}")
    sys.exit(1 if wrong else 0)


def plain_dialplan(announcement: Path, recorded: Path) -> str:
    """The same call with Asterisk alone; who rings is a global variable."""
    return f"""\
[from-trunk](+)
exten => {PLAIN_NUMBER},1,MixMonitor({recorded}/${{CALLERID(num)}}.raw,bD)
 same => n,Dial(${{BENCH_DEVICES}},60,raA(:{announcement.with_suffix("")}))
 same => n,Hangup()
"""


async def prepare(switch: RunningSwitch, announcement: bytes) -> tuple[str, dict[str, str]]:
    """Three telephones ring for the demo's number, and its calls are recorded; what to dial, and who."""
    number = switch.voice_number
    database = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with database.session() as session:
            row = await session.get_one(PhoneNumber, number["id"])
            media = Media(switch.var / "media")
            prompt = await add_prompt(session, media, row.account_id, row.id, "bench", announcement)
    finally:
        await database.close()
    path = f"/api/v1/numbers/{number['id']}"
    await switch.ask("PUT", f"{path}/rusurepo", json={"enabled": False, "rule_id": None})
    recording = {"inbound": True, "outbound": False, "announcement": True, "prompt_id": prompt.id}
    await switch.ask("PUT", f"{path}/recording", json=recording)
    third = await switch.ask("POST", "/api/v1/devices", json={"name": "bench"})
    phones = {one["username"]: one["password"] for one in [*switch.ready["devices"], third]}
    last = third["username"]
    until(lambda: last in switch.asterisk_says("database show number"), 20, "Asterisk was told")
    dialled = "&".join(f"PJSIP/{username}" for username in phones)
    switch.asterisk_says(f"dialplan set global BENCH_DEVICES {dialled}")
    return f"0{number['e164'][3:]}", phones


@dataclass
class Side:
    """What was measured of one side: ours, or the plain dialplan."""

    name: str
    extension: str
    talks: list[Talk] = field(default_factory=list)
    """Of the paced calls."""

    used_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    wall_s: float = 0.0

    def each_ms(self, part: str, idle: dict[str, float]) -> float:
        """Processor time for each call, beyond what the part uses with nothing to do."""
        used_s = self.used_s[part] - idle[part] * self.wall_s
        return 1000 * max(used_s, 0.0) / len(self.talks)


@dataclass
class Bench:
    """One benchmark of one running instance."""

    switch: RunningSwitch
    exchange: Exchange
    phones: dict[str, str]
    dialled: str
    plain_folder: Path
    extent: Extent
    wrong: list[str] = field(default_factory=list)
    idle: dict[str, float] = field(default_factory=dict)
    """Part -> the share of a processor it takes with nothing to do."""

    def run(self) -> list[str]:
        """Measure everything and print it; what is wrong."""
        ours, plain = Side("ours", self.dialled), Side("plain", PLAIN_NUMBER)
        warm_up = [(0.0, Script(side.extension, RING_S, TOLD_S, 1.0)) for side in (ours, plain)]
        self.exchange.run(warm_up)
        self._settle()
        used, wall_s = self._spend(lambda: time.sleep(IDLE_S))
        self.idle = {part: seconds / wall_s for part, seconds in used.items()}
        said = ", ".join(f"{part} {share:.1%}" for part, share in self.idle.items())
        print(f"\nWith nothing to do: {said} of a processor", flush=True)
        self._paced(ours, plain)
        self._at_once(ours)
        self._registers()
        return self.wrong

    # ---- the parts

    def _paced(self, ours: Side, plain: Side) -> None:
        """Five calls a second: waiting, and processor time."""
        extent = self.extent
        print(f"\nAt {RATE} calls/s ({extent.rounds} x {extent.round_s:.0f} s each, in turns):", flush=True)
        for _ in range(extent.rounds):
            for side in (ours, plain):
                script = Script(side.extension, RING_S, TOLD_S, TALK_S)
                plan = [(number / RATE, script) for number in range(round(RATE * extent.round_s))]
                self._run(side, plan)
        rows = self._cpu_rows(ours, plain)
        for name, limit_s, waits in (
            ("INVITE to first telephone", RINGS_S, _rings),
            ("answer to the others' CANCEL", STOPS_S, _stops),
        ):
            mine, theirs = Percentiles.of(waits(ours.talks)), Percentiles.of(waits(plain.talks))
            for share, us, them in zip(
                ("p50", "p95", "p99"),
                (mine.p50, mine.p95, mine.p99),
                (theirs.p50, theirs.p95, theirs.p99),
                strict=True,
            ):
                rows.append((f"{name}, {share}, ms", f"{1000 * us:.1f}", f"{1000 * them:.1f}"))
            if not mine.p95 <= limit_s:
                self.wrong.append(f"{name}: p95 {1000 * mine.p95:.1f} ms, more than {1000 * limit_s:.0f}")
        print(*table(("", "ours", "plain"), rows), sep="\n", flush=True)

    def _cpu_rows(self, ours: Side, plain: Side) -> list[tuple[str, str, str]]:
        each = {side.name: {part: side.each_ms(part, self.idle) for part in PARTS} for side in (ours, plain)}
        rows = [
            (f"CPU per call, {part}, ms", f"{each['ours'][part]:.1f}", f"{each['plain'][part]:.1f}")
            for part in PARTS
        ]
        control = {name: sum(parts[part] for part in CONTROL) for name, parts in each.items()}
        share = control["ours"] / each["ours"]["asterisk"]
        rows.append(("control / Asterisk", f"{share:.2f}", "-"))
        with_idle = sum(ours.used_s[part] for part in CONTROL) / ours.used_s["asterisk"]
        rows.append(("the same with what it uses idle", f"{with_idle:.2f}", "-"))
        all_parts = {name: sum(parts.values()) for name, parts in each.items()}
        rows.append(("all / plain Asterisk", ratio(all_parts["ours"], each["plain"]["asterisk"]), "-"))
        if share > CONTROL_SHARE:
            self.wrong.append(f"control takes {share:.2f} of Asterisk's processor time")
        return rows

    def _at_once(self, ours: Side) -> None:
        """Many bridged recorded calls at the same moment."""
        extent = self.extent
        print(f"\n{extent.at_once} at once, {extent.rising} more each second:", flush=True)
        script = Script(ours.extension, RING_S, TOLD_S, extent.at_once / extent.rising + 3)
        plan = [(number / extent.rising, script) for number in range(extent.at_once)]
        used = Side(ours.name, ours.extension)
        talked = self._run(used, plan)
        said = ", ".join(f"{part} {seconds / used.wall_s:.0%}" for part, seconds in used.used_s.items())
        print(f"         {said} of a processor", flush=True)
        if (most := most_at_once(talked.talks)) < extent.at_once:
            self.wrong.append(f"only {most} of {extent.at_once} calls at once")

    def _registers(self) -> None:
        """Telephones refresh their registrations, and nothing else happens."""

        def refresh() -> None:
            began = time.monotonic()
            for number in range(round(REGISTERS_S * REGISTERS_A_SECOND)):
                username, password = list(self.phones.items())[number % len(self.phones)]
                self.exchange.register(username, password)
                time.sleep(max(0.0, began + (number + 1) / REGISTERS_A_SECOND - time.monotonic()))

        used, wall_s = self._spend(refresh)
        count = REGISTERS_S * REGISTERS_A_SECOND
        each = {part: 1e6 * (used[part] - self.idle[part] * wall_s) / count for part in PARTS}
        said = ", ".join(f"{part} {us:.0f} µs" for part, us in each.items())
        print(f"\nA REGISTER, {REGISTERS_A_SECOND} a second, beyond what is used idle: {said}", flush=True)

    # ---- runs

    def _run(self, side: Side, plan: Sequence[tuple[float, Script]]) -> Talked:
        """One run, counted and judged."""
        for file in self.plain_folder.iterdir():
            file.unlink()
        known = asyncio.run(self._recordings()) if side.extension == self.dialled else {}
        runs: list[Talked] = []

        def work() -> None:
            runs.append(self.exchange.run(plan))
            self._settle()

        used, wall_s = self._spend(work)
        (talked,) = runs
        side.talks += talked.talks
        side.wall_s += wall_s
        for part, seconds in used.items():
            side.used_s[part] += seconds
        sounds = self._plain_sounds() if side.extension == PLAIN_NUMBER else self._our_sounds(known)
        self._judge(side, talked, sounds)
        return talked

    def _judge(self, side: Side, talked: Talked, sounds: dict[str, bytes]) -> None:
        failures = [f"{talk.caller}: {talk.failure}" for talk in talked.talks if talk.failure]
        not_whole = [
            f"{talk.caller}: {why}"
            for talk in talked.talks
            if (why := flaw(talk, tracks(sounds.get(talk.caller, b""))))
        ]
        late = sum(talk.inside.late + talk.outside.late for talk in talked.talks)
        heard = sum(talk.inside.heard + talk.outside.heard for talk in talked.talks)
        print(
            f"  {side.name:6} {len(talked.well)} of {len(talked.talks)} well,"
            f" at most {most_at_once(talked.talks)} at once,"
            f" {len(talked.talks) - len(not_whole)} recordings whole; {late} of {heard} packets late"
            f"  (load: {talked.load_share:.0%}, late p99 {1000 * talked.lateness.p99:.1f} ms)",
            flush=True,
        )
        for line in [*failures, *not_whole][:5]:
            print(f"         {line}", flush=True)
        if side.extension == self.dialled and (failures or not_whole):
            self.wrong.append(f"{len(failures)} calls failed, {len(not_whole)} recordings are not whole")

    def _spend(self, work: Any) -> tuple[dict[str, float], float]:
        """Processor seconds by part, and seconds, while `work` is done."""
        pids = {part: self.switch.pid(part) for part in PARTS}
        before, began = cpu_seconds(pids), time.monotonic()
        work()
        return cpu_between(before, cpu_seconds(pids)), time.monotonic() - began

    def _settle(self) -> None:
        """What a call leaves behind to do belongs to its price."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while any(self.switch.call_spool.glob("*.*")) and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(SETTLE_S)

    # ---- what was recorded

    async def _recordings(self) -> dict[str, str]:
        """Id of a recording -> the caller, as dialled in Japan."""
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = await self.switch.ask("GET", f"/api/v1/recordings?limit=100{cursor}")
            found |= {one["id"]: f"0{one['other_party'][3:]}" for one in page["items"]}
            if not page.get("next"):
                return found
            cursor = f"&cursor={page['next']}"

    def _our_sounds(self, known: dict[str, str]) -> dict[str, bytes]:
        async def fetched() -> dict[str, bytes]:
            return {
                caller: (await self.switch.download(f"/api/v1/recordings/{one}/audio"))[44:]
                for one, caller in (await self._recordings()).items()
                if one not in known
            }

        return asyncio.run(fetched())

    def _plain_sounds(self) -> dict[str, bytes]:
        return {path.stem: path.read_bytes() for path in self.plain_folder.glob("*.raw")}


def flaw(talk: Talk, both: tuple[Track, Track]) -> str:
    """Why a recording is not whole: each side as long as the other heard it, and without a hole."""
    for side, found, heard in (
        ("outside", both[0], talk.inside.heard),
        ("inside", both[1], talk.outside.heard),
    ):
        if found.missing:
            return f"{found.missing} of {found.packets} packets of the {side} party are missing"
        if found.seconds < heard / 50 - TRACK_LEEWAY_S or not found.packets:
            return f"{found.seconds:.2f} s of the {side} party, of which {heard / 50:.2f} s were heard"
    return ""


def most_at_once(talks: Sequence[Talk]) -> int:
    """How many were bridged at the same moment."""
    spans = [(talk.outside.first_heard_at or 0.0, talk.hung_up_at or 0.0) for talk in talks]
    steps = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _rings(talks: Sequence[Talk]) -> list[float]:
    return [talk.rang_at - talk.invited_at for talk in talks if talk.rang_at is not None]


def _stops(talks: Sequence[Talk]) -> list[float]:
    """The last telephone that was told to stop."""
    return [
        max(talk.cancelled_at) - talk.picked_up_at
        for talk in talks
        if talk.cancelled_at and talk.picked_up_at is not None
    ]


if __name__ == "__main__":
    main()
