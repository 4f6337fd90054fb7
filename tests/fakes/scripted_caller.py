"""Asterisk with one caller on the line who does as a script says; the main double of the tests.

    caller = ScriptedCaller(spool).presses("#", 3, since="recording").hangs_up(40)

It behaves as Asterisk 22 was measured to: a digit is told before the recording it ends; a hang-up before
what it ends, and the channel's end last; a recording's end has no reason; four seconds without a packet end
one; a prompt that is not there is told as failed; a full disk is told by nobody. Recordings are real WAV
files in the spool. Every 20 ms of speech carry the time they were said, so that a test sees what is in a
file, and whether it is there twice.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from pbx.asterisk.ari import Json
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp
from pbx.spool.sound import write_wav

T = TypeVar("T")

CALL_ID = "test-1795392000.1"
FRAME_S = 0.02
FRAME_SAMPLES = 160
QUIET = bytes(FRAME_SAMPLES * 2)
NO_PACKETS_S = 4.0
WRITTEN_EVERY_S = 2.048
ANSWER_S = 0.002
"""How long Asterisk takes to answer a command."""


def speech(at_s: float) -> bytes:
    """The 20 ms that the caller says at `at_s` of the call."""
    return struct.pack("<h", 1000 + round(at_s / FRAME_S)) * FRAME_SAMPLES


def said_at(pcm: bytes) -> list[float]:
    """When the frames of a recording were said; silence counts as 0."""
    frames = struct.iter_unpack(f"<h{FRAME_SAMPLES - 1}h", pcm)
    return [round((first - 1000) * FRAME_S, 2) if first else 0.0 for first, *_ in frames]


@dataclass
class _Deed:
    since: str
    at_s: float
    do: Callable[[], None]


@dataclass
class _Stretch:
    """A time in which the caller does not speak; resolved once what it counts from begins."""

    kind: str
    since: str
    first_s: float
    last_s: float
    begin: float | None = None

    def covers(self, at: float) -> bool:
        return self.begin is not None and self.begin + self.first_s <= at < self.begin + self.last_s


@dataclass
class _Activity:
    """A playback or a recording: what a channel does one after the other."""

    kind: str
    name: str
    length_s: float = 0.0
    fails: bool = False
    sounds: tuple[str, ...] = ()
    silence_s: int = 0
    began: float = 0.0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def step(self) -> str:
        """How a script names it: `start_prompt`, `recording`, `recording-2`."""
        if self.kind == "recording":
            return "recording" + self.name.removeprefix(CALL_ID)
        return self.name.removeprefix(f"{CALL_ID}.")


class ScriptedCaller:
    """An `Ari` with one channel, `CALL_ID`, and whoever is at its other end."""

    def __init__(self, spool: Path, pace: float = 1.0) -> None:
        """`pace`: how many seconds of the caller go by in one of the loop's."""
        self.spool = spool
        self.pace = pace
        self.on_event: Callable[[Json], None] = lambda event: None
        self.on_connected: Callable[[], Awaitable[None]] = _nothing
        self.on_kill: Callable[[], None] = lambda: None
        self.lengths: dict[str, float] = {}
        """How long sounds are, by the end of their name."""
        self.missing: set[str] = set()
        self.refused: set[str] = set()
        """Commands that Asterisk answers with 500."""
        self.dying_s = 0.01
        """From the hang-up to the channel's end."""
        self.disk_bytes: int | None = None
        """How much audio the disk takes until it is full."""
        self.number, self.name, self.presentation = "09012345678", "", "allowed_not_screened"

        self.commands: list[str] = []
        self.causes: list[int] = []
        """With which it was to be hung up, each time that was asked for."""

        self.heard: list[str] = []
        """What the caller was played, in order: the steps of the script."""
        self.recorded: list[str] = []
        self.context = self.extension = ""
        """Where the dialplan went on with the call."""
        self._app_data = "denwaban,inbound,+81312345678,"
        self.on_continue: Callable[[], object] = lambda: None
        self.answered = False
        self.gone = False
        self.ended_at: float | None = None
        self._in_application = False
        self._up = True
        self._connected = asyncio.Event()
        self._connected.set()
        self._socket = asyncio.Lock()
        self._cuts: dict[int, tuple[bool, float]] = {}
        self._deeds: list[_Deed] = []
        self._stretches: list[_Stretch] = []
        self._queue: deque[_Activity] = deque()
        self._now_doing: _Activity | None = None
        self._busy: set[asyncio.Task[None]] = set()

    # ---- the script ------------------------------------------------------------------------------

    def presses(self, digit: str, at: float, since: str = "call") -> "ScriptedCaller":
        return self._plans(since, at, partial(self._press, digit))

    def hangs_up(self, at: float, since: str = "call") -> "ScriptedCaller":
        return self._plans(since, at, self.leave)

    def is_silent(self, first: float, last: float, since: str = "recording") -> "ScriptedCaller":
        """Sends silence."""
        self._stretches.append(_Stretch("silent", since, first, last))
        return self

    def sends_nothing(self, first: float, last: float, since: str = "recording") -> "ScriptedCaller":
        """Sends no packet at all."""
        self._stretches.append(_Stretch("nothing", since, first, last))
        return self

    def sends_fax(self, at: float, since: str = "call") -> "ScriptedCaller":
        """CNG is heard: Asterisk ends what goes on, and the channel goes on in the dialplan."""
        return self._plans(since, at, self._go_to_fax)

    def loses_connection(self, at: float, for_s: float, since: str = "call") -> "ScriptedCaller":
        """The control plane's connection, not the caller's."""
        return self._plans(since, at, partial(self._lose, for_s))

    def cut_at_command(self, number: int, heard: bool, for_s: float) -> "ScriptedCaller":
        """The connection is lost with the n-th command, which Asterisk has `heard` or not."""
        self._cuts[number] = (heard, for_s)
        return self

    def controller_dies(self, at: float, since: str = "call") -> "ScriptedCaller":
        return self._plans(since, at, lambda: self.on_kill())

    def asterisk_dies(self, at: float, for_s: float, since: str = "call") -> "ScriptedCaller":
        return self._plans(since, at, partial(self._die, for_s))

    def _plans(self, since: str, at: float, do: Callable[[], None]) -> "ScriptedCaller":
        self._deeds.append(_Deed(since, at, do))
        return self

    # ---- the caller ------------------------------------------------------------------------------

    def rings(self) -> None:
        """The call comes in."""
        self._in_application = True
        self._began("call")
        self._app_data = f"denwaban,inbound,+81312345678,{self.presentation}"
        _, *arguments = self._app_data.split(",")
        self._emit({"type": "StasisStart", "args": arguments, "channel": self._channel()})

    def comes_back(self, rule_id: str) -> None:
        """The dialplan had the devices rung in vain, and gives the call back."""
        self.context = ""
        self._in_application = True
        self._app_data = f"denwaban,unanswered,+81312345678,{self.presentation},{rule_id},1795392000"
        _, *arguments = self._app_data.split(",")
        self._emit({"type": "StasisStart", "args": arguments, "channel": self._channel()})

    @property
    def settled(self) -> bool:
        """Nothing goes on by itself any more."""
        return not self._busy and (self.gone or bool(self.context))

    def leave(self) -> None:
        """The caller hangs up."""
        if not self.gone:
            self._emit({"type": "ChannelHangupRequest", "channel": self._channel()})
            self._end(self.dying_s)

    def _go_to_fax(self) -> None:
        if self.gone or not self._in_application:
            return
        while self._now_doing is not None or self._queue:
            if self._now_doing is None:
                # Nothing that was queued is begun any more, but each is told to have failed.
                self._now_doing = self._queue.popleft()
            if self._now_doing.kind == "recording":
                self._file(self._now_doing.name).touch()
                self._finish_recording()
            else:
                self._finish_playback("failed")
        self._in_application, self.context = False, "fax-rx"
        self._later(self.dying_s, lambda: self._emit({"type": "StasisEnd", "channel": self._channel()}))

    def _press(self, digit: str) -> None:
        if self.gone or not self.answered:
            return
        self._emit({"type": "ChannelDtmfReceived", "digit": digit, "channel": self._channel()})
        if digit == "#" and self._now_doing and self._now_doing.kind == "recording":
            self._finish_recording()

    def _clock(self) -> float:
        return asyncio.get_running_loop().time() * self.pace

    def _later(self, seconds: float, do: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds / self.pace, do)

    def _began(self, what: str) -> None:
        for stretch in self._stretches:
            if stretch.since == what:
                stretch.begin = self._clock()
        for deed in self._deeds:
            if deed.since == what:
                self._later(deed.at_s, deed.do)

    # ---- what Asterisk does ----------------------------------------------------------------------

    def _emit(self, event: Json) -> None:
        """An event nobody listens to is lost for good."""
        if self._up:
            asyncio.get_running_loop().call_soon(lambda: self.on_event(event))

    def _channel(self) -> Json:
        return {
            "id": CALL_ID,
            "state": "Up" if self.answered else "Ring",
            "caller": {"number": self.number, "name": self.name},
            "dialplan": {"app_data": self._app_data},
        }

    def _end(self, dying_s: float) -> None:
        """The channel ends: what it does, then itself."""
        self.gone = True
        self.ended_at = self._clock()
        self._queue.clear()
        if self._now_doing is not None and self._now_doing.kind == "recording":
            self._finish_recording()
        elif self._now_doing is not None:
            self._finish_playback("done")
        self._in_application = False
        self._later(dying_s, lambda: self._emit({"type": "StasisEnd", "channel": self._channel()}))
        self._later(dying_s, lambda: self._emit({"type": "ChannelDestroyed", "channel": self._channel()}))

    def _do_next(self) -> None:
        if self._now_doing is not None or not self._queue or self.gone:
            return
        doing = self._now_doing = self._queue.popleft()
        doing.began = self._clock()
        self._began(doing.step)
        if doing.kind == "playback":
            self.heard.append(doing.step)
            ended = "failed" if doing.fails else "done"
            doing.timers.append(self._later(doing.length_s, lambda: self._finish_playback(ended)))
        else:
            self.recorded.append(doing.name)
            self._file(doing.name).write_bytes(b"" if self.disk_bytes == 0 else _unfinished(b""))
            seconds, trims = self._recording_s(doing)
            doing.timers.append(self._later(seconds, lambda: self._finish_recording(trims)))
            self._write_again(doing)

    def _recording_s(self, doing: _Activity) -> tuple[float, bool]:
        """How long it goes on when nobody does anything, and whether silence ends it."""
        limits = [(doing.length_s + 0.5, False)]
        for kind, limit in (("nothing", NO_PACKETS_S), ("silent", doing.silence_s + FRAME_S)):
            limits += [
                (max(stretch.begin + stretch.first_s - doing.began, 0) + limit, kind == "silent")
                for stretch in self._stretches
                if stretch.kind == kind
                and stretch.begin is not None
                and stretch.begin + stretch.last_s > max(stretch.begin + stretch.first_s, doing.began) + limit
            ]
        if self.disk_bytes is not None:
            limits.append((self.disk_bytes / 16000, False))
        return min(limits)

    def _write_again(self, doing: _Activity) -> None:
        doing.timers.append(self._later(WRITTEN_EVERY_S, lambda: self._write_again(doing)))
        if self._clock() > doing.began:
            self._write_on()

    def _write_on(self) -> None:
        """The file of a recording grows as it goes on."""
        doing = self._now_doing
        if doing is not None and doing.kind == "recording" and self.disk_bytes is None:
            self._file(doing.name).write_bytes(_unfinished(self._audio(doing.began)))

    def _stop_doing(self) -> _Activity:
        doing = self._now_doing
        assert doing is not None
        self._now_doing = None
        for timer in doing.timers:
            timer.cancel()
        asyncio.get_running_loop().call_soon(self._do_next)
        return doing

    def _finish_playback(self, state: str) -> None:
        doing = self._stop_doing()
        playback = {"id": doing.name, "state": state, "target_uri": f"channel:{CALL_ID}"}
        self._emit({"type": "PlaybackFinished", "playback": playback})

    def _finish_recording(self, trims: bool = False) -> None:
        """As main/app.c: silence that ends a recording is cut off but for 0.2 s."""
        doing = self._stop_doing()
        audio = self._audio(doing.began)
        if trims:
            audio = audio[: len(audio) - round((doing.silence_s + FRAME_S - 0.2) * 16000)]
        whole = self.disk_bytes is None
        self._file(doing.name).write_bytes(write_wav(audio) if whole else _cut(audio, self.disk_bytes or 0))
        recording = {
            "name": doing.name,
            "format": "wav",
            "state": "done",
            "duration": len(audio) // 16000,
            "talking_duration": len(audio) // 16000,
            "silence_duration": 0,
            "target_uri": f"channel:{CALL_ID}",
        }
        self._emit({"type": "RecordingFinished", "recording": recording})

    def _audio(self, began: float) -> bytes:
        """What came in since `began`."""
        frames = []
        for number in range(round(began / FRAME_S), round(self._clock() / FRAME_S)):
            at = number * FRAME_S
            kinds = {stretch.kind for stretch in self._stretches if stretch.covers(at + 1e-6)}
            if "nothing" not in kinds:
                frames.append(QUIET if "silent" in kinds else speech(at))
        return b"".join(frames)

    def _file(self, name: str) -> Path:
        return self.spool / f"{name}.wav"

    # ---- the connection --------------------------------------------------------------------------

    def _lose(self, for_s: float) -> None:
        self._up = False
        self._connected.clear()
        self._later(for_s, self._connect)

    def _connect(self) -> None:
        self._up = True
        task = asyncio.ensure_future(self._synchronise())
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _synchronise(self) -> None:
        try:
            await self.on_connected()
        except AsteriskAway:
            return
        self._connected.set()

    def _die(self, for_s: float) -> None:
        """Asterisk is killed: what was recorded stays as it is, nobody is told anything."""
        if self._now_doing is not None:
            doing = self._stop_doing()
            if doing.kind == "recording":
                self._file(doing.name).write_bytes(_unfinished(self._audio(doing.began)))
        self._queue.clear()
        self.gone, self._in_application = True, False
        self.ended_at = self._clock()
        self._lose(for_s)

    async def _ask(self, command: str, do: Callable[[], T]) -> T:
        if not self._up:
            raise AsteriskAway("not connected")
        self._write_on()
        self.commands.append(command)
        heard, for_s = self._cuts.get(len(self.commands), (True, 0.0))
        # One websocket: what is asked first is done first.
        async with self._socket:
            await asyncio.sleep(ANSWER_S / self.pace)
        if not self._up:
            raise AsteriskAway("the connection was lost")
        if for_s and not heard:
            self._lose(for_s)
            raise AsteriskAway("the connection was lost")
        if command in self.refused:
            raise AsteriskRefused(500, "Internal Server Error")
        done = do()
        if for_s:
            self._lose(for_s)
            raise AsteriskAway("the connection was lost")
        return done

    async def until_connected(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            raise AsteriskAway("not connected") from None

    # ---- commands --------------------------------------------------------------------------------

    def _on_channel(self) -> None:
        if self.gone or not self._in_application:
            raise HungUp("Asterisk answered 404: Channel not found")

    def in_one_go(self, channel: str) -> AbstractContextManager[None]:
        return nullcontext()

    async def answer(self, channel: str) -> None:
        def do() -> None:
            self._on_channel()
            self.answered = True

        await self._ask("answer", do)

    async def play(self, channel: str, playback: str, media: str) -> None:
        sounds = tuple(part.removeprefix("sound:").rpartition("/")[2] for part in media.split(","))

        def do() -> None:
            self._on_channel()
            there = [sound for sound in sounds if sound not in self.missing]
            length = sum(self.lengths.get(sound, 2.0) for sound in there)
            self._queue.append(_Activity("playback", playback, length, len(there) < len(sounds), sounds))
            self._do_next()

        await self._ask("play", do)

    async def stop_playback(self, playback: str) -> None:
        def do() -> None:
            if self._now_doing is not None and self._now_doing.name == playback:
                self._finish_playback("done")
            for waiting in [one for one in self._queue if one.name == playback]:
                self._queue.remove(waiting)

        await self._ask("stop_playback", do)

    async def playback_exists(self, playback: str) -> bool:
        return await self._ask("playback_exists", lambda: self._exists(playback))

    async def record(self, channel: str, recording: str, limit_s: int, silence_s: int) -> None:
        def do() -> None:
            self._on_channel()
            if self._exists(recording) or self._file(recording).exists():
                raise HungUp("Asterisk answered 409: Recording already exists")
            self._queue.append(_Activity("recording", recording, limit_s, silence_s=silence_s))
            self._do_next()

        await self._ask("record", do)

    async def stop_recording(self, recording: str) -> None:
        def do() -> None:
            if self._now_doing is not None and self._now_doing.name == recording:
                self._finish_recording()

        await self._ask("stop_recording", do)

    async def recording_exists(self, recording: str) -> bool:
        return await self._ask("recording_exists", lambda: self._exists(recording))

    def _exists(self, name: str) -> bool:
        doing = [self._now_doing] if self._now_doing else []
        return any(one.name == name for one in (*doing, *self._queue))

    async def variable(self, channel: str, name: str) -> str:
        assert name == "FAXEXTEN"
        return await self._ask("variable", lambda: "s" if self.context == "fax-rx" else "")

    async def hang_up(self, channel: str, cause: int) -> None:
        def do() -> None:
            if not self.gone:
                self._end(0.0)

        self.causes.append(cause)
        await self._ask("hang_up", do)

    async def continue_in_dialplan(self, channel: str, context: str, extension: str) -> None:
        def do() -> None:
            self._on_channel()
            self._queue.clear()
            if self._now_doing is not None and self._now_doing.kind == "recording":
                self._finish_recording()
            elif self._now_doing is not None:
                self._finish_playback("done")
            self.context, self.extension = context, extension
            self._in_application = False
            self._emit({"type": "StasisEnd", "channel": self._channel()})
            self.on_continue()

        await self._ask("continue", do)
        # Its events are told on another way, and may be faster than the answer.
        await asyncio.sleep(ANSWER_S / self.pace)

    async def channels(self) -> list[Json]:
        return await self._ask("channels", lambda: [] if self.gone else [self._channel()])

    async def our_channel_ids(self) -> set[str]:
        return await self._ask("our_channel_ids", lambda: {CALL_ID} if self._in_application else set())


async def _nothing() -> None:
    pass


def _unfinished(audio: bytes) -> bytes:
    """A file whose header was not brought up to date: Asterisk died, or the disk was full."""
    whole = write_wav(audio)
    return whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:]


def _cut(audio: bytes, room: int) -> bytes:
    return _unfinished(audio)[: 44 + room] if room else b""
