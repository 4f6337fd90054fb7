"""The service's side of the processes that listen: one that has the model, and a recogniser per place.

The model's folder is watched: a model that appears, changes or goes is noticed within seconds.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

from transcribe.asking import LENGTH, PID, READY, REQUEST
from transcribe.engine import ModelRefused, Word

log = logging.getLogger(__name__)

NO_MODEL = "文字起こし待ち: no model; set DENWABAN_VOSK_MODEL, or fetch one with `make model`"
WATCH_S = 1.0
RETRY_S = 60.0
LOAD_LIMIT_S = 300.0
CONNECT_LIMIT_S = 20.0
SPARE_S = 30.0
TIMES_AS_LONG = 10.0
"""A recogniser may take so many times as long as the sound is, and `SPARE_S` more; then it hangs."""

MOST_FILES = 300
STDERR_LIMIT = 64 * 1024

Fingerprint = tuple[tuple[str, int, int, int], ...]


class NoModel(Exception):
    """There is no model that listens now."""


class RecogniserFailed(Exception):
    """A recogniser crashed, hung or refused what it was given."""


def fingerprint(folder: Path) -> Fingerprint | None:
    """What tells a changed model from the same; None where there is none. Follows symbolic links."""
    found = []
    real = folder.resolve()
    for path, _, names in os.walk(real):
        for name in sorted(names):
            with suppress(OSError):
                about = (Path(path) / name).stat()
                found.append((f"{path}/{name}", about.st_size, about.st_mtime_ns, about.st_ino))
        if len(found) >= MOST_FILES:
            break
    return tuple(sorted(found)) if real.is_dir() else None


class Listening:
    """The process that has the model."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._said: deque[str] = deque(maxlen=20)
        self._hearing = asyncio.create_task(self._hear(), name="what libvosk says")

    @classmethod
    async def start(cls, engine: str, folder: Path, limit_s: float = LOAD_LIMIT_S) -> Self:
        """Load the model in `folder`. Raises ModelRefused, with what the engine says of it."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "transcribe.listening", engine, str(folder), str(os.getpid())),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Each recogniser is one thread: more of them would only fight for the same processors.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                limit=STDERR_LIMIT,
            )
        listening = cls(process, ours)
        try:
            await listening._until_ready(folder, limit_s)
        except BaseException:
            await listening.stop()
            raise
        return listening

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def connect(self) -> "Recogniser":
        """A recogniser of its own. Raises NoModel; then this process is of no use any more."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except OSError as gone:
            ours.close()
            self._kill()
            raise NoModel(f"the process with the model is gone: {gone.strerror}") from None
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                (pid,) = PID.unpack(await reader.readexactly(PID.size))
        except BaseException as trouble:
            writer.close()
            if isinstance(trouble, TimeoutError | asyncio.IncompleteReadError | OSError):
                self._kill()
                raise NoModel("the process with the model does not answer") from None
            raise
        return Recogniser(pid, reader, writer)

    async def stop(self) -> None:
        """End it and all its recognisers at once."""
        self._control.close()
        self._kill()
        await self._process.wait()
        await self._hearing

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _until_ready(self, folder: Path, limit_s: float) -> None:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                said = (await self._process.stdout.readline()).decode(errors="replace").strip()
        except TimeoutError:
            raise ModelRefused(f"not loaded within {limit_s:.0f} s") from None
        if said == READY.decode():
            return
        code = await self._process.wait()
        await self._hearing
        errors = [line for line in self._said if line.startswith(("ERROR", "ASSERTION_FAILED"))]
        reasons = [said, f"ended with signal {-code}" if code < 0 else "", *errors[-2:]]
        if not said and not errors:
            reasons += list(self._said)[-1:]
        # Where the model lies is nobody's business who may only ask how we are.
        raise ModelRefused("; ".join(filter(None, reasons)).replace(f"{folder}/", "").strip()[:400])

    async def _hear(self) -> None:
        """Keep the last lines of standard error; they need not be UTF-8."""
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:
                continue  # A line too long for us; what follows may do.
            if not line:
                return
            self._said.append(line.decode(errors="replace").strip()[:300])


class Recogniser:
    """A process that listens to one message at a time."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader, self._writer = reader, writer

    async def listen(self, pcm: bytes, rate_hz: int, limit_s: float) -> list[Word]:
        """Raises RecogniserFailed; then, and when cancelled, it is of no use any more: `kill` it."""
        try:
            async with asyncio.timeout(limit_s):
                self._writer.write(REQUEST.pack(rate_hz, len(pcm)))
                self._writer.write(pcm)
                await self._writer.drain()
                (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                answer = await self._reader.readexactly(length)
        except TimeoutError:
            raise RecogniserFailed(f"did not answer within {limit_s:.0f} s") from None
        except (OSError, asyncio.IncompleteReadError):
            raise RecogniserFailed("the recogniser died") from None
        return [Word(**said) for said in json.loads(answer)]

    def kill(self) -> None:
        # While our end is open and theirs is not, nobody else can have the id; a zombie keeps it too.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._writer.close()


class Recognisers:
    """All that listens on this node. `run` minds the model and its process until it is cancelled."""

    def __init__(
        self, engine: str, folder: Path, count: int, spare_s: float = SPARE_S, watch_s: float = WATCH_S
    ) -> None:
        self.engine = engine
        self.model = ""
        """The name of the loaded model; empty while there is none."""

        self.problem = ""
        """Why nothing can be recognised; empty while it can, and before the first look."""

        self._folder = folder
        self._count = count
        self._spare_s = spare_s
        self._watch_s = watch_s
        self._places = asyncio.Semaphore(count)
        self._listening: Listening | None = None
        self._idle: list[Recogniser] = []

    @property
    def ready(self) -> bool:
        return self._listening is not None and self._listening.alive

    @property
    def pid(self) -> int | None:
        """Of the process that has the model."""
        return self._listening.pid if self._listening else None

    async def run(self) -> None:
        seen: Fingerprint | str | None = "nothing yet"
        try:
            while True:
                found = await asyncio.to_thread(fingerprint, self._folder)
                died = self._listening is not None and not self._listening.alive
                if died:
                    log.warning("the process with the model died", extra={"action": "model_died"})
                if found != seen or died:
                    seen = found
                    await self._change(found)
                if self.problem and found is not None:
                    seen = await self._until_changed(found)
                await asyncio.sleep(self._watch_s)
        finally:
            await self._leave()

    async def recognise(self, pcm: bytes, rate_hz: int) -> list[Word]:
        """Raises NoModel, RecogniserFailed."""
        limit_s = self._spare_s + TIMES_AS_LONG * len(pcm) / (2 * rate_hz)
        async with self._places:
            listening = self._listening
            if listening is None:
                raise NoModel(self.problem or "the model is being loaded")
            recogniser = self._idle.pop() if self._idle else await listening.connect()
            try:
                words = await recogniser.listen(pcm, rate_hz, limit_s)
            except BaseException as trouble:
                recogniser.kill()
                if isinstance(trouble, RecogniserFailed) and self._listening is not listening:
                    raise NoModel("the model was changed meanwhile") from None
                raise
            if self._listening is listening:
                self._idle.append(recogniser)
            else:
                recogniser.kill()
            return words

    async def _change(self, found: Fingerprint | None) -> None:
        await self._leave()
        if found is None:
            self.problem = NO_MODEL
            return
        self.problem = ""
        try:
            folder = await asyncio.to_thread(self._folder.resolve)
            self._listening = await Listening.start(self.engine, folder)
        except (ModelRefused, OSError) as refused:
            self.problem = f"文字起こし待ち: the model cannot be loaded: {refused}"
            log.error("%s", self.problem, extra={"action": "model_refused"})
            return
        self.model = folder.name
        log.info("listening with %s", self.model, extra={"action": "model_loaded"})

    async def _until_changed(self, found: Fingerprint) -> str | Fingerprint:
        """After a model was refused: wait until its files change, or long enough for another try."""
        for _ in range(round(RETRY_S / self._watch_s)):
            await asyncio.sleep(self._watch_s)
            if await asyncio.to_thread(fingerprint, self._folder) != found:
                break
        return "to be tried again"

    async def _leave(self) -> None:
        listening, self._listening, self.model = self._listening, None, ""
        idle, self._idle = self._idle, []
        for recogniser in idle:
            recogniser.kill()
        if listening is not None:
            await listening.stop()
