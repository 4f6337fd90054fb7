"""A child process that is minded: started again when it dies, stopped when we stop."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
AUTOGROUP = Path("/proc/self/autogroup")
"""sched(7), "The autogroup feature"."""

STEADY_S = 10.0
"""A child that lived so long is started again at once; one that dies sooner waits longer each time."""

LONGEST_WAIT_S = 4.0

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """So that a killed launcher leaves no process behind that holds ports and files."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One process and its lives."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        log_file: Path,
        on_start: Callable[[], None],
        niceness: int = 0,
    ) -> None:
        self.name = name
        self.process: asyncio.subprocess.Process | None = None
        self.starts = 0
        self._command, self._environment, self._log_file = command, dict(environment), log_file
        self._on_start = on_start
        self._niceness = niceness
        self._stopping = False
        self._began = 0.0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    async def run(self) -> None:
        """Start it, and again whenever it dies, until `stop`."""
        wait_s = 0.0
        while not self._stopping:
            await asyncio.sleep(wait_s)
            if self._stopping:
                return
            self._began = asyncio.get_running_loop().time()
            code = await self._one_life()
            lived = asyncio.get_running_loop().time() - self._began
            if not self._stopping:
                log.warning("%s ended with %s after %.1f s", self.name, code, lived)
                wait_s = 0.0 if lived > STEADY_S else min(max(wait_s * 2, 0.25), LONGEST_WAIT_S)

    async def _one_life(self) -> int:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                preexec_fn=self._begin,
                # Ctrl-C at the terminal is for us; we stop the children in order.
                start_new_session=True,
            )
        self.starts += 1
        self._on_start()
        return await self.process.wait()

    def _begin(self) -> None:
        _die_with_parent()
        # Precedence is for root to give; without it all is as usual.
        with contextlib.suppress(PermissionError):
            os.nice(self._niceness)
        # Where Linux shares the processors among sessions, this session's niceness is the one that counts.
        with contextlib.suppress(OSError):
            AUTOGROUP.write_text(str(self._niceness))

    def kill_hanging(self) -> None:
        """End a life that shows none; the next begins at once. One that has just begun is left alone."""
        if self.pid is not None and asyncio.get_running_loop().time() - self._began > STEADY_S:
            log.warning("%s hangs: killed", self.name)
            os.kill(self.pid, signal.SIGKILL)

    async def stop(self, limit_s: float) -> None:
        """Ask it to end, then make it end."""
        self._stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(limit_s):
                await self.process.wait()
        except TimeoutError:
            log.warning("%s does not stop: killed", self.name)
            self.process.kill()
            await self.process.wait()


def last_lines(path: Path, count: int = 15) -> str:
    """What a log says last, for a person who must know why something did not start."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
