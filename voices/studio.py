"""The studio: makes prompts in child processes, and minds these.

One synthesiser serves all requests in turn; it is started when it is needed and ended when nobody has
asked for a while. Each upload gets a process of its own.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from voices.errors import REASONS, Broken, Busy, Refused, Unavailable, VoicesError
from voices.limits import (
    IDLE_S,
    LONGEST_QUEUE,
    PREPARING_LIMIT_S,
    SYNTHESIS_LIMIT_S,
    WAITING_LIMIT_S,
)
from voices.patterns import Pattern

log = logging.getLogger(__name__)

CHECKOUT = Path(__file__).resolve().parent.parent
LARGEST_ANSWER_BYTES = 4_000_000
KILLING_LIMIT_S = 5.0


class Studio:
    """Speaks texts and prepares files, one of each at a time. Times in seconds."""

    def __init__(
        self,
        synthesis_limit_s: float = SYNTHESIS_LIMIT_S,
        preparing_limit_s: float = PREPARING_LIMIT_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.synthesis_limit_s, self.preparing_limit_s = synthesis_limit_s, preparing_limit_s
        self.idle_s = idle_s
        self._speaking, self._preparing = _Turns(), _Turns()
        self._synthesiser: Process | None = None
        self._ending: asyncio.TimerHandle | None = None

    @property
    def synthesiser_pid(self) -> int | None:
        """The process that is kept ready, if one is."""
        alive = self._synthesiser is not None and self._synthesiser.returncode is None
        return self._synthesiser.pid if alive and self._synthesiser else None

    async def speak(self, text: str, pattern: Pattern) -> bytes:
        """`text` as a WAV ready to play. Raises Refused, Unavailable."""
        async with self._speaking.mine():
            process = await self._ready_synthesiser()
            line = json.dumps({"text": text, "voice": pattern.id}).encode() + b"\n"
            try:
                wav = await _answer(process, line, self.synthesis_limit_s)
            except Refused:
                self._end_when_idle()
                raise
            except BaseException:
                # What it says later would be taken for the answer to the next request.
                self._synthesiser = None
                await _kill(process)
                raise
            self._end_when_idle()
            return wav

    async def prepare(self, file: IO[bytes]) -> bytes:
        """The sound in `file` (a real one, of any content) as a WAV ready to play.

        Raises Refused, Unavailable. A file that makes its process die or hang is a damaged one.
        """
        async with self._preparing.mine():
            process = await _start("prepare", file)
            try:
                return await _answer(process, None, self.preparing_limit_s)
            except Broken:
                raise Refused("damaged_audio") from None
            finally:
                await _kill(process)

    async def close(self) -> None:
        """End the synthesiser."""
        if self._ending:
            self._ending.cancel()
        if self._synthesiser:
            await _kill(self._synthesiser)
            self._synthesiser = None

    async def _ready_synthesiser(self) -> Process:
        if self._ending:
            self._ending.cancel()
        if self._synthesiser is None or self._synthesiser.returncode is not None:
            self._synthesiser = await _start("speak", PIPE)
        return self._synthesiser

    def _end_when_idle(self) -> None:
        self._ending = asyncio.get_running_loop().call_later(self.idle_s, self._end)

    def _end(self) -> None:
        """Its input ends, and so does it."""
        process, self._synthesiser = self._synthesiser, None
        if process and process.stdin:
            process.stdin.close()


class _Turns:
    """One at a time, a few waiting, none for long."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def mine(self) -> AsyncIterator[None]:
        """Raises Busy."""
        if self._waiting >= LONGEST_QUEUE:
            raise Busy("too many wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAITING_LIMIT_S):
                await self._lock.acquire()
        except TimeoutError:
            raise Busy("waited too long") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()


async def _start(task: str, stdin: IO[bytes] | int) -> Process:
    # It gets none of our secrets: what it reads may be made to take it over.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voices", task),
            stdin=stdin,
            stdout=PIPE,
            stderr=DEVNULL,
            env=environment,
            cwd=CHECKOUT,
            start_new_session=True,
        )
    except OSError as trouble:
        log.warning("the voices' process cannot be started: %s", trouble)
        raise Unavailable("cannot be started") from None


async def _answer(process: Process, line: bytes | None, limit_s: float) -> bytes:
    """Ask, where there is a line to ask with, and read the answer. Raises Refused, Unavailable."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            if line and process.stdin:
                process.stdin.write(line)
                await process.stdin.drain()
            said = json.loads(await process.stdout.readline())
            if said.get("refused") in REASONS:
                raise Refused(said["refused"])
            if "unavailable" in said:
                log.warning("the voices' process cannot work: %s", said["unavailable"])
                raise Unavailable(said["unavailable"])
            return await process.stdout.readexactly(min(said["bytes"], LARGEST_ANSWER_BYTES))
    except VoicesError:
        raise
    except (TimeoutError, OSError, EOFError, ValueError, KeyError) as trouble:
        log.warning("the voices' process failed: %s", type(trouble).__name__)
        raise Broken(type(trouble).__name__) from None


async def _kill(process: Process) -> None:
    """With all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # An answer that nobody reads any more may keep the pipe, and so the end, from being noticed.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), KILLING_LIMIT_S)
