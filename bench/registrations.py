"""`python -m bench.registrations [devices]`: many registered devices, and a restart of either side.

docs/bench.md explains the figures. Exit status 1 when a registration was lost or a restart took too long.
"""

import argparse
import asyncio
import json
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.measure import cpu_between, cpu_seconds
from pbx.phones.register import Login, authorization, parse_response
from store.accounts import create_account
from store.database import open_database
from store.devices import create_device
from tests.running_switch import RunningSwitch, running_switch
from tests.sip.message import Malformed, Request, parse, respond

LIMIT_S = 10.0
"""What a restart may take until every device is as it was."""

AT_ONCE = 50
RESEND_S = 1.0
FIND_S = 60.0
IDLE_S = 15.0
DIGESTED_S = 240.0


@dataclass(frozen=True)
class Known:
    """A device and its password."""

    username: str
    password: str


class Telephones(asyncio.DatagramProtocol):
    """Any number of telephones behind one port. They register, and answer all they are asked with 200."""

    def __init__(self, port: int) -> None:
        self.registrar = port
        self.answers: dict[tuple[str, int], asyncio.Future[bytes]] = {}
        self.asked = 0
        """How often we were asked whether we are there."""

    async def __aenter__(self) -> "Telephones":
        loop = asyncio.get_running_loop()
        self.wire, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self.wire.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.wire.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data.startswith(b"SIP/2.0"):
            head = data.decode(errors="replace").partition("\r\n\r\n")[0].lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
            waiting = self.answers.get((headers["call-id"], int(headers["cseq"].split()[0])))
            if waiting is not None and not waiting.done():
                waiting.set_result(data)
            return
        try:
            request = parse(data)
        except Malformed:
            return
        if isinstance(request, Request) and request.method != "ACK":
            self.asked += 1
            self.wire.sendto(respond(request, 200, to_tag="b").pack(), addr)

    async def register(self, device: Known, expires_s: int = 600) -> int:
        """The last status. Sent again while nobody answers. Raises TimeoutError after 20 s."""
        login = Login("127.0.0.1", self.registrar, device.username, device.password)
        call = secrets.token_hex(10)
        response = await self._ask(login, call, 1, "", expires_s)
        seen = parse_response(response, call, 1)
        if seen is None or seen.status != 401:
            return seen.status if seen else 0
        answer = authorization(login, seen.challenge, secrets.token_hex(8))
        again = parse_response(await self._ask(login, call, 2, answer, expires_s), call, 2)
        return again.status if again else 0

    async def _ask(self, login: Login, call: str, sequence: int, answer: str, expires_s: int) -> bytes:
        here = f"127.0.0.1:{self.port}"
        lines = [
            f"REGISTER sip:{login.host}:{login.port} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{secrets.token_hex(8)};rport",
            "Max-Forwards: 70",
            f"From: <sip:{login.username}@{login.host}>;tag={call[-8:]}",
            f"To: <sip:{login.username}@{login.host}>",
            f"Call-ID: {call}",
            f"CSeq: {sequence} REGISTER",
            f"Contact: <sip:{login.username}@{here}>",
            f"Expires: {expires_s}",
            "User-Agent: BenchPhone/1.0 (Linux)",
            *([f"Authorization: {answer}"] if answer else []),
            "Content-Length: 0",
            "",
            "",
        ]
        key = (call, sequence)
        self.answers[key] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(20):
            while True:
                self.wire.sendto("\r\n".join(lines).encode(), ("127.0.0.1", self.registrar))
                done, _ = await asyncio.wait({self.answers[key]}, timeout=RESEND_S)
                if done:
                    return self.answers.pop(key).result()

    async def register_all(self, devices: list[Known]) -> float:
        """How long it took, in seconds. Raises RuntimeError where one was refused."""
        began = time.monotonic()
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(device: Known) -> None:
            async with gate:
                if (status := await self.register(device)) != 200:
                    raise RuntimeError(f"a REGISTER was answered {status}")

        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(one(device))
        return time.monotonic() - began


async def make_devices(switch: RunningSwitch, count: int) -> list[Known]:
    """Devices of an account of their own, known to Asterisk."""
    secret_key = read_key(switch)
    database = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with database.session() as session:
            account = await create_account(session, "多数の端末")
            made = [await create_device(session, secret_key, account.id) for _ in range(count)]
    finally:
        await database.close()
    last = max(device.username for device, _ in made)
    await until(lambda: last in switch.asterisk_says("database show device"), 300, "Asterisk was told")
    return [Known(device.username, password) for device, password in made]


def read_key(switch: RunningSwitch) -> str:
    key: str = json.loads((switch.var / "secrets.json").read_text())["secret_key"]
    return key


async def until(condition: Callable[[], bool], limit_s: float, what: str) -> float:
    """Poll; how long it took. Raises RuntimeError."""
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        if time.monotonic() - began > limit_s:
            raise RuntimeError(f"not within {limit_s} s: {what}")
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def contacts(switch: RunningSwitch) -> int:
    """How many contacts of devices Asterisk has."""
    said = switch.asterisk_says("database show registrar/contact").strip().splitlines()
    return int(said[-1].split()[0]) if said and said[-1].split()[0].isdecimal() else 0


def on_the_disk(switch: RunningSwitch) -> int:
    """How many of them outlive Asterisk's sudden death: it writes its database once a second."""
    with closing(sqlite3.connect(switch.var / "asterisk" / "lib" / "astdb.sqlite3")) as astdb:
        (count,) = astdb.execute(
            "SELECT count(*) FROM astdb WHERE key LIKE '/registrar/contact/%'"
        ).fetchone()
    return int(count)


async def restart(switch: RunningSwitch, part: str, devices: list[Known], phones: Telephones) -> float:
    """Kill a part; how long until all contacts are there and devices can register, in seconds."""
    await until(lambda: on_the_disk(switch) >= len(devices), FIND_S, "every contact is on the disk")
    began = time.monotonic()
    before = switch.kill(part)
    await until(lambda: switch.ready["pids"][part] not in {None, before}, FIND_S, f"{part} is started again")
    await until(switch.is_ready, FIND_S, "every part is ready")
    await until(lambda: contacts(switch) >= len(devices), FIND_S, "every contact is there")
    await phones.register_all(devices[:20])
    return time.monotonic() - began


async def measure(switch: RunningSwitch, count: int) -> list[str]:
    """Print the figures; what is wrong with them."""
    began = time.monotonic()
    devices = await make_devices(switch, count)
    print(f"{count} devices told to Asterisk: {time.monotonic() - began:.1f} s", flush=True)
    print(f"it worked on for {await calm(switch):.1f} s", flush=True)
    async with Telephones(switch.sip_port) as phones:
        took = await phones.register_all(devices)
        print(f"registered: {took:.1f} s ({2 * count / took:.0f} requests/s)", flush=True)
        print(f"it worked on for {await calm(switch):.1f} s", flush=True)
        parts = {name: switch.pid(name) for name in ("asterisk", "controller", "after_calls")}
        idle, idle_s = await spent(parts, lambda: asyncio.sleep(IDLE_S))
        busy, busy_s = await spent(parts, lambda: phones.register_all(devices))
        for name in parts:
            share = idle[name] / idle_s
            each_us = (busy[name] - share * busy_s) / count * 1e6
            print(
                f"{name}: {share:.1%} of a processor idle, {each_us:.0f} µs more for each refresh", flush=True
            )
        times = {part: await restart(switch, part, devices, phones) for part in ("asterisk", "controller")}
        for part, seconds in times.items():
            print(f"{part} killed: every device as before after {seconds:.1f} s", flush=True)
        return [f"{part} took {seconds:.1f} s" for part, seconds in times.items() if seconds > LIMIT_S]


async def calm(switch: RunningSwitch) -> float:
    """Wait until Asterisk has digested so many new devices; how long that took, in seconds."""
    began = time.monotonic()
    while time.monotonic() - began < DIGESTED_S:
        used, seconds = await spent({"asterisk": switch.pid("asterisk")}, lambda: asyncio.sleep(1))
        if used["asterisk"] < 0.2 * seconds:
            break
    return time.monotonic() - began


async def spent(
    parts: dict[str, int], work: Callable[[], Awaitable[object]]
) -> tuple[dict[str, float], float]:
    """Processor seconds by process, and seconds, while `work` is done."""
    before = cpu_seconds(parts)
    began = time.monotonic()
    await work()
    return cpu_between(before, cpu_seconds(parts)), time.monotonic() - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("devices", type=int, nargs="?", default=2000)
    count = arguments.parse_args().devices
    with tempfile.TemporaryDirectory() as folder, running_switch(Path(folder) / "var") as switch:
        wrong = asyncio.run(measure(switch, count))
    for line in wrong:
        print(f"TOO SLOW: {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
