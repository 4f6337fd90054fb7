"""`python -m bench.fax_kills [--kills N] [--at-once N]`: the gateway is killed at random moments, N times.

Meanwhile faxes of one page go out and come in over a second Asterisk on loopback. In the end none may be lost
or stuck, none may have arrived twice, and what is told of each must be so: one that was sent arrived once,
one that failed did not, unless it is told that nobody knows. Exit status 1 otherwise.
"""

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.fax import FAX_ONLY, document
from tests.fax import FINE, FarMachine, drawn_pages, far_machine, read_pages, write_tiff
from tests.fax.machine import Job
from tests.fax.pages import same
from tests.running_switch import CHECKOUT, Json, RunningSwitch, free_ports, running_switch

ROWS = 300
LONGEST_LIFE_S = 6.0
PATIENCE_S = 300.0
"""How long everything may take to settle once nobody is killed any more."""


@dataclass
class Work:
    """What is on its way, and what came of the gateway."""

    switch: RunningSwitch
    far: FarMachine
    folder: Path
    submissions: list[str] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    """Faxes that come in, by their callers."""
    killing: bool = True
    gateway: "subprocess.Popen[bytes] | None" = None
    kills: int = 0


# ---- the gateway and its deaths


def start_gateway(work: Work) -> None:
    """A gateway by itself, with the instance's settings."""
    with (work.folder / "gateway.out").open("ab") as output:
        work.gateway = subprocess.Popen(
            [sys.executable, "-m", "faxgw"],
            cwd=CHECKOUT,
            env={**os.environ, **work.switch.environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


async def kill_again_and_again(work: Work, kills: int, dice: random.Random) -> None:
    for number in range(kills):
        start_gateway(work)
        await asyncio.sleep(dice.uniform(0.0, LONGEST_LIFE_S))
        assert work.gateway is not None
        assert work.gateway.poll() is None, (work.folder / "gateway.out").read_text()[-2000:]
        work.gateway.kill()
        work.gateway.wait()
        work.kills = number + 1
        if work.kills % 20 == 0:
            print(f"  {work.kills} kills", flush=True)
    work.killing = False
    start_gateway(work)


@contextmanager
def without_its_own(switch: RunningSwitch) -> Iterator[None]:
    """The instance's own gateway stands still meanwhile: it would be started again ever more slowly."""
    pid = switch.pid("after_calls")
    os.kill(pid, signal.SIGSTOP)
    while not can_be_written(switch):
        # It was stopped in the middle of a transaction, and would keep the database to itself.
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.1)
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def can_be_written(switch: RunningSwitch) -> bool:
    with closing(sqlite3.connect(switch.var / "denwaban.db", timeout=1, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        return True


# ---- faxes meanwhile


async def keep_sending(work: Work, at_once: int) -> None:
    """So many that are waiting or on their way, half of them to machines without T.38."""
    sent = 0
    while work.killing:
        waiting = sum(fax["result"] is None or fax["state"] == "waiting" for fax in await outgoing(work))
        if waiting < at_once:
            count = min(at_once, 100)
            to = [f"0{3 if number % 2 else 5}12{number:06}" for number in range(sent, sent + count)]
            sent += count
            work.submissions.append(await submit(work.switch, to))
        await asyncio.sleep(2)


async def submit(switch: RunningSwitch, to: list[str]) -> str:
    sender = next(one["id"] for one in switch.ready["numbers"] if one["use"] == "fax")
    form = aiohttp.FormData({"number_id": sender, "destinations": "\n".join(to)})
    form.add_field("file", document(1, lines=3), filename="page.pdf", content_type="application/pdf")
    return str((await switch.ask("POST", "/api/v1/fax/submissions", data=form))["id"])


async def keep_coming(work: Work, tiff: Path) -> None:
    number = 0
    while work.killing:
        caller = f"09077{number:06}"
        number += 1
        work.jobs[caller] = await work.far.send(FAX_ONLY, caller, tiff, t38=number % 2 == 0)
        await asyncio.sleep(5)


async def outgoing(work: Work) -> list[Json]:
    told = [await work.switch.ask("GET", f"/api/v1/fax/submissions/{one}") for one in work.submissions]
    return [fax for one in told for fax in one["faxes"]]


async def settled(work: Work) -> list[Json]:
    """The outgoing faxes once all are over. AssertionError where one never is."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        faxes = await outgoing(work)
        open_ones = [fax for fax in faxes if fax["state"] not in {"sent", "failed"}]
        if not open_ones:
            return faxes
        assert time.monotonic() < deadline, f"stuck: {open_ones}"
        await asyncio.sleep(2)


# ---- what came of it


def judged(fax: Json, far: FarMachine) -> str:
    """What is told of a fax that went out, and how often it arrived; `WRONG` where these do not agree."""
    number = f"0{fax['other_party'][3:]}"
    ends = [job.said() for job in far.all_received(number, FAX_ONLY)]
    arrived = sum(end.pages > 0 for end in ends)
    told = f"{fax['state']}, {fax['result']['class']}, arrived {arrived} x"
    if fax["state"] == "sent":
        right = arrived == 1
    else:
        right = arrived == 0 or (arrived == 1 and fax["result"]["class"] == "unknown")
    return told if right else f"WRONG {told}: {number}, {fax['result']['code']}, {ends}"


async def received(work: Work, tiff: Path) -> list[str]:
    """The same for those that came in: whatever the far machine saw arrive must come to the tray."""
    ends = {caller: (await job.over(PATIENCE_S)).status for caller, job in work.jobs.items()}
    arrived = {f"+81{caller[1:]}" for caller, status in ends.items() if status == "SUCCESS"}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        tray = await incoming(work)
        if not arrived - {fax["other_party"] for fax in tray} or time.monotonic() > deadline:
            break
        await asyncio.sleep(2)
    return [judged_in(status, caller, tray, work.switch, tiff) for caller, status in ends.items()]


async def incoming(work: Work) -> list[Json]:
    tray: list[Json] = []
    cursor = ""
    while True:
        page = await work.switch.ask("GET", f"/api/v1/faxes?direction=in&limit=100{cursor}")
        tray += page["items"]
        if not page.get("next"):
            return tray
        cursor = f"&cursor={page['next']}"


def judged_in(status: str, caller: str, tray: list[Json], switch: RunningSwitch, tiff: Path) -> str:
    mine = [fax for fax in tray if fax["other_party"] == f"+81{caller[1:]}"]
    told = f"came in, {status}, {', '.join(fax['state'] for fax in mine) or 'not in the tray'}"
    if status != "SUCCESS":
        return told
    kept = [path for fax in mine for path in (switch.var / "media/faxes").rglob(f"{fax['call_id']}.tif")]
    right = len(mine) == len(kept) == 1 and same(read_pages(kept[0]), read_pages(tiff))
    return told if right else f"WRONG {told}: {caller}"


async def run(work: Work, kills: int, at_once: int) -> bool:
    tiff = write_tiff(work.folder / "page.tif", drawn_pages(1, ROWS), FINE)
    began = time.monotonic()
    async with asyncio.TaskGroup() as together:
        together.create_task(keep_sending(work, at_once))
        together.create_task(keep_coming(work, tiff))
        together.create_task(kill_again_and_again(work, kills, random.Random(kills)))
    faxes = await settled(work)
    # What is sent or taken in once too often may come a little later.
    await asyncio.sleep(5)
    verdicts = [judged(fax, work.far) for fax in faxes] + await received(work, tiff)
    print(
        f"{work.kills} kills in {time.monotonic() - began:.0f} s, {len(faxes)} faxes out, {len(work.jobs)} in"
    )
    for verdict, count in sorted(Counter(verdicts).items()):
        print(f"  {count:4} x {verdict}")
    tries = Counter(fax["attempts"] for fax in faxes)
    print(f"  calls for each: {', '.join(f'{count} x {calls}' for calls, count in sorted(tries.items()))}")
    return not any(verdict.startswith("WRONG") for verdict in verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=12)
    given = parser.parse_args()
    (port,) = free_ports(1)
    settings = {
        "DENWABAN_TRUNK_URI": f"sip:127.0.0.1:{port}",
        "DENWABAN_FAX_CHANNELS": "20",
        "DENWABAN_FAX_RETRY_S": "1",
    }
    with (
        tempfile.TemporaryDirectory(prefix="denwaban-kills-") as name,
        running_switch(Path(name) / "var", **settings) as switch,
        far_machine(Path(name) / "far", port, switch.sip_port) as far,
    ):
        switch.wait_ready()
        work = Work(switch, far, Path(name))
        try:
            with without_its_own(switch):
                well = asyncio.run(run(work, given.kills, given.at_once))
        finally:
            if work.gateway is not None:
                work.gateway.kill()
                work.gateway.wait()
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
