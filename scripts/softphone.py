"""A real telephone for a program to hold: baresip, played by its control socket.

It registers where it is given a password, calls and is called over UDP with PCMU, speaks what a WAV file
holds, presses keys as RFC 4733 events, and keeps what it heard. Loopback only.
"""

import asyncio
import json
import socket
import wave
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

Event = dict[str, Any]

START_TIMEOUT_S = 10.0
LISTENING_S = 120.0
MODULES = ("g711", "aufile", "aubridge", "sndfile", "ctrl_tcp")
APPLICATION_MODULES = ("account", "menu")


class PhoneFailed(Exception):
    """The telephone did not do as told."""


def encode_frame(message: Mapping[str, str]) -> bytes:
    """A command as baresip's control socket reads it: a netstring of JSON."""
    body = json.dumps(message).encode()
    return b"%d:%b," % (len(body), body)


async def read_frame(reader: asyncio.StreamReader) -> Event | None:
    """The next event or answer, or None at the end of the stream."""
    try:
        length = await reader.readuntil(b":")
        body = await reader.readexactly(int(length[:-1]) + 1)
    except asyncio.IncompleteReadError:
        return None
    event: Event = json.loads(body[:-1])
    return event


def configuration(modules: Path, folder: Path, control_port: int) -> str:
    """The text of baresip's `config`: no sound card, silence to begin with, all it hears kept in `folder`."""
    lines = [
        "sip_listen 127.0.0.1:0",
        "net_af ipv4",
        f"audio_source aufile,{folder / 'silence.wav'}",
        # A player that plays to nobody; without one nothing is decoded.
        "audio_player aubridge,nowhere",
        "audio_alert aubridge,nowhere",
        *(f"{side}_srate 8000\n{side}_channels 1" for side in ("ausrc", "auplay")),
        "jitter_buffer_type fixed",
        "jitter_buffer_delay 2-10",
        f"snd_path {folder / 'heard'}",
        f"ctrl_tcp_listen 127.0.0.1:{control_port}",
        f"module_path {modules}",
        *(f"module {name}.so" for name in MODULES),
        *(f"module_app {name}.so" for name in APPLICATION_MODULES),
    ]
    return "\n".join(lines) + "\n"


def append_silence(speech: Path, target: Path, seconds: float) -> float:
    """Copy `speech` with silence after it; returns how long the speech alone is. 8 kHz, 16 bit, mono."""
    with wave.open(str(speech), "rb") as source:
        if source.getparams()[:3] != (1, 2, 8000):
            raise PhoneFailed(f"{speech}: must be mono, 16 bit, 8 kHz")
        frames = source.readframes(source.getnframes())
    with wave.open(str(target), "wb") as written:
        written.setparams((1, 2, 8000, 0, "NONE", ""))
        written.writeframes(frames + bytes(2 * int(seconds * 8000)))
    return len(frames) / 2 / 8000


class Softphone:
    """One telephone. All waits end with PhoneFailed at their time-out."""

    def __init__(self, folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._folder = folder
        self._reader = reader
        self._writer = writer
        self._happened: list[Event] = []

    @property
    def heard(self) -> Path | None:
        """The WAV file of what came from the far end in the latest call, once that is over."""
        files = (self._folder / "heard").glob("*-dec.wav")
        return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)

    async def call(self, number: str, host: str, port: int) -> None:
        """Dial and return once the far end has answered."""
        await self._tell("dial", f"sip:{number}@{host}:{port}")
        await self.wait_for("CALL_ESTABLISHED", timeout_s=30)

    async def answer(self) -> None:
        """Take the call that rings; returns once it is connected."""
        await self._tell("accept", "")
        await self.wait_for("CALL_ESTABLISHED", timeout_s=5)

    async def hang_up(self) -> None:
        """End the call; returns once it is over."""
        await self._tell("hangup", "")
        await self.wait_for("CALL_CLOSED", timeout_s=5)

    async def speak(self, speech: Path) -> None:
        """Speak to the end of the file, then stay silent on the line."""
        target = self._folder / "speech.wav"
        # baresip hangs up when its source ends, so it must not end.
        length_s = append_silence(speech, target, LISTENING_S)
        await self._tell("ausrc", f"aufile,{target}")
        await asyncio.sleep(length_s)

    async def press(self, key: str) -> None:
        """Press and release one key."""
        await self._tell("sndcode", key)

    async def wait_for(self, kind: str, timeout_s: float) -> Event:
        """Wait for the next event of this kind since what was waited for last."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    while self._happened:
                        event = self._happened.pop(0)
                        if event.get("type") == kind:
                            return event
                        if event.get("type") == "CALL_CLOSED":
                            raise PhoneFailed(f"the call ended: {event.get('param')}")
                    await self._next()
        except TimeoutError:
            raise PhoneFailed(f"no {kind} within {timeout_s:.0f} s") from None

    async def _tell(self, command: str, parameters: str) -> None:
        self._writer.write(encode_frame({"command": command, "params": parameters, "token": command}))
        await self._writer.drain()
        answer: Event = {}
        try:
            async with asyncio.timeout(5):
                while answer.get("token") != command:
                    answer = await self._next()
        except TimeoutError:
            raise PhoneFailed(f"no answer to {command}") from None
        if not answer.get("ok"):
            raise PhoneFailed(f"{command} {parameters}: {answer.get('data')}")

    async def _next(self) -> Event:
        event = await read_frame(self._reader)
        if event is None:
            raise PhoneFailed("baresip has gone")
        if event.get("event"):
            self._happened.append(event)
        return event


@asynccontextmanager
async def softphone(
    tool: Mapping[str, Any], folder: Path, caller: str, domain: str, password: str | None = None
) -> AsyncIterator[Softphone]:
    """Start a telephone whose number is `caller`; `tool` is baresip's entry in tools.json.

    With a password it registers at `domain` (`host:port`) as the user `caller`.
    """
    (folder / "heard").mkdir(parents=True)
    with wave.open(str(folder / "silence.wav"), "wb") as silence:
        silence.setparams((1, 2, 8000, 0, "NONE", ""))
        silence.writeframes(bytes(2 * 8000 * int(LISTENING_S)))
    control_port = _free_port()
    (folder / "config").write_text(configuration(Path(tool["module_folder"]), folder, control_port))
    registers = f"auth_pass={password};regint=300" if password else "regint=0"
    account = f"<sip:{caller}@{domain}>;{registers};audio_codecs=PCMU/8000/1;dtmfmode=rtpevent\n"
    (folder / "accounts").write_text(account)
    (folder / "contacts").touch()
    with (folder / "baresip.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(tool), "-f", str(folder), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        reader, writer = await _connected(control_port, process, folder)
        try:
            yield Softphone(folder, reader, writer)
        finally:
            writer.close()
    finally:
        # Asked to stop, it hangs up and completes the file of what it heard.
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _connected(
    port: int, process: asyncio.subprocess.Process, folder: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                said = (folder / "baresip.log").read_text(errors="replace")[-2000:]
                raise PhoneFailed(f"baresip does not start: {said}") from None
            await asyncio.sleep(0.05)


def _command(tool: Mapping[str, Any]) -> Sequence[str]:
    command: list[str] = tool["command"]
    return command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
