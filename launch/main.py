"""Starts everything in order, says when it is ready, minds it, and stops it cleanly."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.asking import ask
from launch.asterisk import (
    NotSetUp,
    asterisk_command,
    fax_folders_of,
    find_asterisk,
    folders_of,
    write_configuration,
    write_fax_configuration,
)
from launch.child import Child, last_lines
from launch.release import release_callers
from pbx.dialplan.render import AsteriskFolders
from settings import Settings, SettingsRefused, read_settings
from settings.logs import log_to

READY_LIMIT_S = 60.0
LOG_LIMIT_BYTES = 10_000_000
LOGS_KEPT = 5
MINDING_S = 30.0
GIVES_WAY = 19
"""Niceness of what comes after calls: a caller's packets come before a text message about another."""

STANDS_BACK = 5
"""Niceness of the API: who waits for a list waits a little longer where callers need the processor."""

COMES_FIRST = -10
"""Niceness of the control plane, where we may give it: callers wait for its one thread, and on a full machine
the scheduler favours Asterisk's many idle ones."""

log = logging.getLogger(__name__)


class CannotStart(Exception):
    """What a person must mend before it can start."""


def main() -> None:
    """Run one instance in the foreground. Exit status 1, with a readable reason, when it cannot start."""
    try:
        settings = read_settings(os.environ, Path.cwd())
        with only_instance(settings):
            log_to(settings.var / "log", "launch", settings.log_level)
            asyncio.run(run(settings))
    except (SettingsRefused, NotSetUp, CannotStart) as reason:
        print(f"Denwaban cannot start: {reason}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        pass


@contextlib.contextmanager
def only_instance(settings: Settings) -> Iterator[None]:
    """One instance per `var` folder. Raises CannotStart."""
    settings.var.mkdir(parents=True, exist_ok=True)
    with (settings.var / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"another instance runs in {settings.var}; give this one its own DENWABAN_VAR and ports"
            ) from None
        yield


def check_ports(settings: Settings) -> None:
    """Raises CannotStart with every port that somebody else holds."""
    tcp = {
        "DENWABAN_SIP_PORT": (settings.bind, settings.sip_port),
        "DENWABAN_ARI_PORT": ("127.0.0.1", settings.ari_port),
        "DENWABAN_AMI_PORT": ("127.0.0.1", settings.ami_port),
        "DENWABAN_AGI_PORT": ("127.0.0.1", settings.agi_port),
        "DENWABAN_API_PORT": (settings.bind, settings.api_port),
    }
    if settings.has_fax_asterisk:
        tcp["DENWABAN_FAX_AMI_PORT"] = ("127.0.0.1", settings.own_fax_ami_port)
    taken = [
        f"{name} {port}" for name, (host, port) in tcp.items() if not _free(host, port, socket.SOCK_STREAM)
    ]
    if not _free(settings.bind, settings.sip_port, socket.SOCK_DGRAM):
        taken.append(f"DENWABAN_SIP_PORT {settings.sip_port}/udp")
    if settings.has_fax_asterisk and not _free(
        settings.loopback_host.strip("[]"), settings.fax_sip_port, socket.SOCK_DGRAM
    ):
        taken.append(f"DENWABAN_FAX_SIP_PORT {settings.fax_sip_port}/udp")
    if taken:
        raise CannotStart("these ports are in use, set others: " + ", ".join(taken))


def _free(host: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # A port that only waits out old connections is free; Asterisk takes it as well.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises CannotStart, NotSetUp."""
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    await Instance(settings).run(stop)


class Instance:
    """The processes of one instance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready_file = settings.var / "ready.json"
        self._ready = False
        tool = find_asterisk()
        self._folders = folders_of(settings, tool)
        self._fax_folders = fax_folders_of(settings, tool) if settings.has_fax_asterisk else None
        environment = dict(os.environ)
        logs = settings.var / "log"

        def child(name: str, command: list[str], niceness: int = 0) -> Child:
            return Child(name, command, environment, logs / f"{name}.out", self._tell, niceness)

        python = [sys.executable, "-m"]
        self._asterisk = child("asterisk", asterisk_command(tool, self._folders))
        self._controller = child("controller", [*python, "pbx"], COMES_FIRST)
        self._api = child("api", [*python, "portal_api"], STANDS_BACK)
        self._after_calls = child("after_calls", [*python, "launch.after_calls"], GIVES_WAY)
        self._asterisks = [self._asterisk]
        if self._fax_folders is not None:
            self._asterisks.append(child("fax_asterisk", asterisk_command(tool, self._fax_folders)))
        self._services = [self._controller, self._api, self._after_calls]
        self._children = [*self._asterisks, *self._services]

    async def run(self, stop: asyncio.Event) -> None:
        self._ready_file.unlink(missing_ok=True)
        self._settings.heartbeat_file.unlink(missing_ok=True)
        check_ports(self._settings)
        began = time.monotonic()
        print(f"Denwaban starts in {self._settings.var} ...", flush=True)
        write_configuration(self._settings, self._folders)
        if self._fax_folders is not None:
            write_fax_configuration(self._settings, self._fax_folders)
        minding: list[asyncio.Task[None]] = [asyncio.create_task(one.run()) for one in self._asterisks]
        try:
            await self._seed()
            minding += [asyncio.create_task(one.run()) for one in self._services]
            minding.append(asyncio.create_task(self._turn_logs_over()))
            if await self._until_ready(stop):
                self._ready = True
                self._tell()
                self._announce(time.monotonic() - began)
                minding.append(
                    asyncio.create_task(release_callers(self._settings, self._controller.kill_hanging))
                )
                await stop.wait()
        finally:
            self._ready = False
            self._ready_file.unlink(missing_ok=True)
            print("Denwaban stops ...", flush=True)
            # Asterisk first: it says good-bye to every caller, and the control plane keeps what was said.
            await asyncio.gather(self._api.stop(5), *(one.stop(10) for one in self._asterisks))
            await self._controller.stop(10)
            await self._after_calls.stop(10)
            for task in minding:
                task.cancel()
            await asyncio.gather(*minding, return_exceptions=True)

    async def _seed(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "launch.seed", stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        _, said = await process.communicate()
        if process.returncode:
            raise CannotStart(f"the database cannot be prepared:\n{said.decode(errors='replace')[-2000:]}")

    async def _until_ready(self, stop: asyncio.Event) -> bool:
        """True when a call would be answered and the API answers, False when told to stop.

        Raises CannotStart.
        """
        reason = "nothing answers yet"
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stop.wait()
                    return False
            with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
                _, said = await ask(f"{self._settings.api_url}/readyz")
                if said["ready"]:
                    return True
                reason = "; ".join(f"{p['part']}: {p['reason']}" for p in said["parts"] if not p["ready"])
        outputs = "\n".join(
            f"--- {one.name}:\n{last_lines(self._settings.var / 'log' / f'{one.name}.out')}"
            for one in self._children
        )
        raise CannotStart(f"not ready after {READY_LIMIT_S:.0f} s: {reason}\n{outputs}")

    def _tell(self) -> None:
        """Write ready.json; again whenever a process got a new id."""
        if not self._ready:
            return
        settings = self._settings
        demo: dict[str, Any] = json.loads(settings.demo_file.read_text()) if settings.embedded else {}
        told = {
            "api": settings.api_url,
            "openapi": f"{settings.api_url}/openapi.json",
            **demo,
            "sip": {"host": settings.bind, "port": settings.sip_port},
            "trunk": {"accepts_from": ",".join(settings.trunk_accept), "sends_to": settings.trunk_uri},
            "pids": {one.name: one.pid for one in self._children},
        }
        draft = self._ready_file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(told, ensure_ascii=False, indent=1))
        draft.rename(self._ready_file)

    def _announce(self, seconds: float) -> None:
        settings = self._settings
        lines = [
            f"Denwaban is ready ({seconds:.1f} s).",
            f"  API        {settings.api_url}/docs",
            f"  SIP        {settings.bind}:{settings.sip_port} (UDP, TCP)",
            f"  everything {self._ready_file}",
            f"  logs       {settings.var / 'log'}",
        ]
        if not settings.vosk_model.is_dir():
            lines.append("  no model   messages have no text; `make model` fetches one (48 MB)")
        if settings.embedded:
            lines.append("  try it     make demo      (Ctrl-C stops)")
        print("\n".join(lines), flush=True)

    async def _turn_logs_over(self) -> None:
        """Asterisk's log by size: it cannot do that by itself below a gigabyte."""
        while True:
            await asyncio.sleep(MINDING_S)
            for folders in filter(None, (self._folders, self._fax_folders)):
                current = folders.state / "log" / "asterisk.log"
                if current.exists() and current.stat().st_size > LOG_LIMIT_BYTES:
                    await _logger_rotate(folders)
                for old in sorted(current.parent.glob("asterisk.log.*"))[LOGS_KEPT:]:
                    old.unlink(missing_ok=True)
            for output in (self._settings.var / "log").glob("*.out"):
                if output.stat().st_size > LOG_LIMIT_BYTES:
                    # What the processes say beside their logs; they append, so it may be cut.
                    os.truncate(output, 0)


async def _logger_rotate(folders: AsteriskFolders) -> None:
    command = [*find_asterisk().command, "-C", str(folders.etc / "asterisk.conf")]
    process = await asyncio.create_subprocess_exec(
        *command, "-rx", "logger rotate", stdout=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    if await process.wait():
        log.warning("Asterisk's log could not be turned over")
