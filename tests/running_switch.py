"""A whole instance for tests: what `make run` starts, on free ports and in a folder of its own."""

import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

CHECKOUT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 60.0

Json = dict[str, Any]
T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Ports that were free for UDP and TCP a moment ago, below those the system hands out by itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 30000, 2)
        if port not in found and _free(port, socket.SOCK_STREAM) and _free(port, socket.SOCK_DGRAM):
            found.append(port)
    return found


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class RunningSwitch:
    """One instance under test."""

    def __init__(self, var: Path, process: "subprocess.Popen[bytes]", environment: Mapping[str, str]) -> None:
        self.var = var
        self.process = process
        self.environment = environment

    @property
    def ready(self) -> Json:
        """What ready.json says now."""
        told: Json = json.loads((self.var / "ready.json").read_text())
        return told

    @property
    def sip_port(self) -> int:
        return int(self.environment["DENWABAN_SIP_PORT"])

    @property
    def voice_number(self) -> Json:
        numbers: list[Json] = self.ready["numbers"]
        return next(number for number in numbers if number["use"] == "voice")

    @property
    def database_url(self) -> str:
        given = self.environment.get("DENWABAN_DATABASE_URL")
        return given or f"sqlite+aiosqlite:///{self.var}/denwaban.db"

    @property
    def spool(self) -> Path:
        return self.var / "asterisk" / "spool" / "recording"

    @property
    def call_spool(self) -> Path:
        return self.var / "asterisk" / "spool" / "calls"

    def uri(self, dialled: str) -> str:
        return f"sip:{dialled}@127.0.0.1:{self.sip_port}"

    def pid(self, part: str) -> int:
        return int(self.ready["pids"][part])

    def kill(self, part: str, how: signal.Signals = signal.SIGKILL) -> int:
        """End a part at once; gives the process id it had."""
        pid = self.pid(part)
        os.kill(pid, how)
        return pid

    async def ask(self, method: str, path: str, token: str | None = None, **how: Any) -> Json:
        """One API request with the demo account's token; its JSON. Raises for a status of 400 and more."""
        headers = {"Authorization": f"Bearer {token or self.ready['token']}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.request(method, f"{self.ready['api']}{path}", **how) as answer,
        ):
            body = await answer.read()
            if answer.status >= 400:
                raise AssertionError(f"{method} {path}: {answer.status} {body.decode()}")
            decoded: Json = json.loads(body) if body else {}
            return decoded

    async def download(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.ready['token']}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.get(f"{self.ready['api']}{path}") as answer,
        ):
            assert answer.status == 200
            return await answer.read()

    async def messages(self) -> list[Json]:
        """All messages, newest first."""
        items: list[Json] = []
        cursor = ""
        while True:
            page = await self.ask("GET", f"/api/v1/messages?limit=100{cursor}")
            items += page["items"]
            if not page.get("next"):
                return items
            cursor = f"&cursor={page['next']}"

    async def messages_of(self, caller: str) -> list[Json]:
        """The messages of a caller, given as dialled in Japan."""
        e164 = f"+81{caller[1:]}"
        return [message for message in await self.messages() if message["caller"] == e164]

    async def message_of(self, caller: str, limit_s: float = 10.0) -> Json:
        """Wait for the only message of a caller."""
        found = await eventually(lambda: self.messages_of(caller), limit_s, f"a message of {caller}")
        (message,) = found
        return message

    async def calls_of(self, caller: str) -> list[Json]:
        calls: list[Json] = (await self.ask("GET", "/api/v1/calls?limit=100"))["items"]
        return [call for call in calls if call["other_party"] == f"+81{caller[1:]}"]

    async def finished_call_of(self, caller: str, limit_s: float = 10.0) -> Json:
        """Wait for the only call of a caller to have ended."""

        async def ended() -> list[Json]:
            return [call for call in await self.calls_of(caller) if call["ended_at"]]

        (call,) = await eventually(ended, limit_s, f"the end of the call of {caller}")
        return call

    async def journal_of(self, caller: str) -> list[str]:
        """The events of this caller's only call, in order."""
        call = await self.finished_call_of(caller)
        journal = await self.ask("GET", f"/api/v1/calls/{call['id']}/journal")
        return [entry["event"] for entry in journal["items"]]

    def asterisk_says(self, command: str) -> str:
        """An Asterisk console command's answer."""
        tools = json.loads((CHECKOUT / ".cache" / "tools.json").read_text())
        configuration = self.var / "asterisk" / "etc" / "asterisk.conf"
        done = subprocess.run(
            [*tools["asterisk"]["command"], "-C", str(configuration), "-rx", command],
            capture_output=True,
            timeout=10,
            check=False,
        )
        return done.stdout.decode(errors="replace")

    def channels(self) -> int:
        """How many channels Asterisk has; -1 while it does not answer."""
        for line in self.asterisk_says("core show channels count").splitlines():
            if "active channel" in line:
                return int(line.split()[0])
        return -1

    def parts(self) -> dict[str, Json]:
        """What /readyz says of each part."""
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(f"{self._api}/readyz", timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as down:
            with down:
                body = down.read()
        except OSError:
            return {}
        return {part["part"]: part for part in json.loads(body)["parts"]}

    @property
    def _api(self) -> str:
        return f"http://127.0.0.1:{self.environment['DENWABAN_API_PORT']}"

    def is_ready(self) -> bool:
        """Every part says so, and the control plane that says it is the one that runs now."""
        parts = self.parts()
        try:
            alive = self.pid("controller") == self.figures()["pid"] and all(
                Path(f"/proc/{self.pid(part)}").exists() for part in ("asterisk", "controller", "api")
            )
        except (OSError, TypeError, ValueError):
            return False
        return alive and bool(parts) and all(part["ready"] for part in parts.values())

    def figures(self) -> dict[str, int]:
        """The figures the control plane reports of itself every second (SQLite only)."""
        if not (self.var / "denwaban.db").exists():
            return {"pid": self.pid("controller")}
        with closing(sqlite3.connect(self.var / "denwaban.db")) as database:
            (details,) = database.execute(
                "SELECT details FROM part_reports WHERE part LIKE '%.pbx'"
            ).fetchone()
        told: dict[str, int] = json.loads(details)
        return told

    def wait_ready(self, limit_s: float = START_LIMIT_S) -> None:
        until(self.is_ready, limit_s, "the instance is ready")

    def open_files(self, part: str) -> int:
        return len(list(Path(f"/proc/{self.pid(part)}/fd").iterdir()))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Poll `condition`; AssertionError when it does not come true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


async def eventually(look: Callable[[], Awaitable[T]], limit_s: float, what: str) -> T:
    """Poll `look` until it gives something; AssertionError when it does not in time."""
    deadline = time.monotonic() + limit_s
    while not (found := await look()):
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        await asyncio.sleep(0.1)
    return found


def settings_for(var: Path, **more: str) -> dict[str, str]:
    """`DENWABAN_*` of a new instance: everything moved to free ports."""
    sip, ari, ami, agi, api, trunk = free_ports(6)
    rtp = random.randrange(30000, 45000, 1000)
    return {
        "DENWABAN_VAR": str(var),
        "DENWABAN_SIP_PORT": str(sip),
        "DENWABAN_ARI_PORT": str(ari),
        "DENWABAN_AMI_PORT": str(ami),
        "DENWABAN_AGI_PORT": str(agi),
        "DENWABAN_API_PORT": str(api),
        "DENWABAN_RTP_PORTS": f"{rtp}-{rtp + 1999}",
        "DENWABAN_UDPTL_PORTS": f"{rtp + 2000}-{rtp + 2199}",
        "DENWABAN_TRUNK_URI": f"sip:127.0.0.1:{trunk}",
        **more,
    }


@contextmanager
def running_switch(var: Path, **more: str) -> Iterator[RunningSwitch]:
    """An instance, started as `make run` starts it and stopped with Ctrl-C."""
    chosen = settings_for(var, **more)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DENWABAN_")}
    var.mkdir(parents=True, exist_ok=True)
    # One that was killed could not take it away; the next does, but not before we look.
    (var / "ready.json").unlink(missing_ok=True)
    with (var / "launch.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "launch"],
            cwd=CHECKOUT,
            env={**inherited, **chosen},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    switch = RunningSwitch(var, process, chosen)
    try:
        until(
            lambda: (var / "ready.json").exists() or process.poll() is not None,
            START_LIMIT_S,
            f"ready.json: {(var / 'launch.out').read_text()}",
        )
        assert process.poll() is None, (var / "launch.out").read_text()
        yield switch
    finally:
        if process.poll() is None:
            switch.stop()
