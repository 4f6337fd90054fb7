"""Linphone's console client (`linphonec`), played by what a person types into it and reads off it."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

PROMPT = "linphonec> "


class LinphoneFailed(Exception):
    """It did not do as told."""


class Linphone:
    """One telephone. All waits end with LinphoneFailed at their time-out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said = ""
        self._place = 0
        """Up to where what it said was waited for."""

    async def types(self, line: str) -> None:
        """Type a line; returns once it asks for the next, since it takes two at once for one."""
        prompts = self._said.count(PROMPT)
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        await self._until(lambda: self._said.count(PROMPT) > prompts, 10, f"an end of {line!r}")

    async def says(self, pattern: str, timeout_s: float = 10.0) -> re.Match[str]:
        """Wait until it has said this since what was waited for last."""
        wanted = re.compile(pattern)
        await self._until(lambda: wanted.search(self._said, self._place) is not None, timeout_s, pattern)
        found = wanted.search(self._said, self._place)
        assert found
        self._place = found.end()
        return found

    async def _until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        assert self._process.stdout
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    more = await self._process.stdout.read(4096)
                    if not more:
                        raise LinphoneFailed(f"it has gone, before {what}: {self._said[-2000:]}")
                    self._said += more.decode(errors="replace")
        except TimeoutError:
            raise LinphoneFailed(f"not within {timeout_s} s: {what}: {self._said[-2000:]}") from None

    async def is_registered(self) -> None:
        """Wait for it."""
        for _ in range(50):
            await self.types("proxy list")
            with suppress(LinphoneFailed):
                await self.says("registered: yes", 0.2)
                return
        raise LinphoneFailed("it does not register")

    async def call(self, number: str) -> int:
        """Dial; gives what it calls the call."""
        await self.types(f"call {number}")
        return int((await self.says(r"Call (\d+) to .* in progress"))[1])

    async def connected(self) -> None:
        await self.says(r"Call \d+ with .* connected")
        # Before that it neither plays nor records.
        await self.says("Media streams established")

    async def ended(self) -> None:
        await self.says(r"Call \d+ with .* ended")

    async def rings(self) -> int:
        """Wait for a call; gives what it calls it."""
        return int((await self.says(r"Receiving new incoming call from .* assigned id (\d+)"))[1])

    async def answer(self) -> None:
        await self.types("answer")
        await self.connected()

    async def hold(self) -> None:
        """Put the current call on hold: it does not dial else."""
        await self.types("pause")
        await self.says("paused")

    async def connect(self, held: int, asked: int) -> None:
        """Transfer the party of one call to whom another talks with."""
        await self.types(f"transfer {held} --to-call {asked}")

    async def hang_up(self) -> None:
        await self.types("terminate")
        await self.ended()


def settings(link: str) -> str:
    """Its file of settings: nothing but where to fetch them, ports of its own, and no IPv6."""
    return f"""\
[misc]
config-uri={link}
[sip]
sip_port=-1
sip_tcp_port=0
sip_tls_port=0
use_ipv6=0
[rtp]
audio_rtp_port=-1
"""


@asynccontextmanager
async def linphone(tool: Mapping[str, Any], folder: Path, link: str) -> AsyncIterator[Linphone]:
    """Start one that is set up by a provisioning link; `tool` is its entry in tools.json."""
    (folder / ".local" / "share" / "linphone").mkdir(parents=True)
    (folder / "linphonerc").write_text(settings(link))
    process = await asyncio.create_subprocess_exec(
        *tool["command"],
        *("-c", str(folder / "linphonerc")),
        # It looks for its grammars below where it is started.
        cwd=tool["data_folder"],
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    telephone = Linphone(process)
    try:
        await telephone.says(PROMPT)
        # There is no sound card; files take its place.
        await telephone.types("soundcard use files")
        await telephone.says("Using wav files")
        yield telephone
        await telephone.types("unregister")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
