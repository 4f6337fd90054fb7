"""A call and its verbs. A verb returns what came of it, or raises HungUp; nothing else ends a script.

Every verb keeps one contract: the id is ours, what will come is expected before it is asked for, a lost
connection is waited out and the question put again unless it was heard, and the expectation is always
taken back.

A call that a dead controller left behind is taken up by running its script again. Its verbs look first
at what was done before: the journal of its earlier life and what Asterisk is still doing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pbx.asterisk.ari import Ari, Json
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp
from pbx.routing.limits import MESSAGE_BACKSTOP_S, SILENCE_S
from store.models import CallerKind, EndedBy

RECONNECT_S = 60.0
"""How long a verb waits for a lost connection before the call is given up."""

LONGEST_PROMPT_S = 600.0
STOP_S = 5.0
HASH = "#"

CAUSE_NORMAL = 16
CAUSE_UNKNOWN_NUMBER = 1
CAUSE_UNFIT = 58
"""Q.850: bearer capability not available."""


class Journal(Protocol):
    """Where the milestones of calls go; never blocks, never fails."""

    def note(self, call_id: str, event: str, **details: Any) -> None: ...
    def change_call(self, call_id: str, **columns: Any) -> None: ...


class Played(StrEnum):
    FINISHED = "finished"
    SKIPPED = "skipped"
    FAILED = "failed"
    EARLIER = "earlier"
    """It was played by a controller that is no more."""


@dataclass(frozen=True)
class Recording:
    """What the caller said: files in the spool, in order, and why it ended."""

    files: tuple[Path, ...]
    ended_by: EndedBy
    started_at: datetime


@dataclass
class Call:
    """One caller's channel. `id` is its unique id, the same in Asterisk, spool, store and API."""

    id: str
    ari: Ari
    journal: Journal
    spool: Path
    dialled: str
    caller: str | None
    caller_kind: CallerKind
    started_at: datetime
    answered_at: datetime | None = None
    past: dict[str, datetime] = field(default_factory=dict)
    """Milestones of an earlier life: event -> when. Empty for a call that is new."""
    hangup_requested: bool = False
    handed_over: bool = False
    """The dialplan has the channel now; what becomes of the call stands in its slip."""
    recording: Recording | None = None
    _gone: bool = False
    _digits: list[str] = field(default_factory=list)
    _expected: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    _on_digit: Callable[[str], None] | None = None

    # ---- what Asterisk tells ---------------------------------------------------------------------

    def heard(self, event: Json) -> None:
        """Take in an event of this channel, its playbacks or its recordings."""
        match event["type"]:
            case "PlaybackFinished":
                self._settle(f"playback:{event['playback']['id']}", event["playback"])
            case "RecordingFinished" | "RecordingFailed":
                self._settle(f"recording:{event['recording']['name']}", event["recording"])
            case "ChannelDtmfReceived":
                self._digits.append(event["digit"])
                if self._on_digit is not None:
                    self._on_digit(event["digit"])
            case "ChannelHangupRequest":
                self.hangup_requested = True
            case "StasisEnd" | "ChannelDestroyed":
                self.gone()

    def gone(self) -> None:
        """The channel has left us; whatever is still expected will not come."""
        self._gone = True
        for waiting in self._expected.values():
            if not waiting.done():
                waiting.set_exception(HungUp("the channel is gone"))

    @property
    def is_gone(self) -> bool:
        return self._gone

    async def catch_up(self) -> None:
        """After a lost connection: settle what ended unheard."""
        for key, waiting in list(self._expected.items()):
            kind, _, name = key.partition(":")
            look = self.ari.playback_exists if kind == "playback" else self.ari.recording_exists
            if not waiting.done() and not await look(name) and not waiting.done():
                waiting.set_result({"state": "done", "unheard": True})

    def _settle(self, key: str, outcome: Json) -> None:
        waiting = self._expected.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)

    def _expect(self, key: str) -> "asyncio.Future[Json]":
        if self._gone:
            raise HungUp("the channel is gone")
        waiting: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._expected[key] = waiting
        return waiting

    def _forget(self, key: str) -> None:
        waiting = self._expected.pop(key, None)
        if waiting is not None and waiting.done() and not waiting.cancelled():
            waiting.exception()

    # ---- verbs -----------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Pick up. Raises HungUp."""
        if self.answered_at is None:
            await self._surely(lambda: self.ari.answer(self.id), self._never)
            self.answered_at = datetime.now(UTC)
            self.journal.note(self.id, "answered")

    async def play(self, step: str, *sounds: Path, skip_on: str = "") -> Played:
        """Play `sounds` (names without suffix) one after the other; `skip_on` is a digit that ends it.

        `step` names this place in the script and stands in the journal. A sound that cannot be played is
        no error: Played.FAILED. Raises HungUp.
        """
        playback = f"{self.id}.{step}"
        key = f"playback:{playback}"
        began, over = f"{step}_started", f"{step}_ended"
        if over in self.past:
            return Played.EARLIER
        finished = self._expect(key)
        skipped = asyncio.Event()

        def on_digit(digit: str) -> None:
            if digit == skip_on:
                skipped.set()

        self._on_digit = on_digit
        try:
            if not (self.past and await self.ari.playback_exists(playback)):
                if began in self.past:
                    return self._played(over, Played.EARLIER)
                media = ",".join(f"sound:{sound}" for sound in sounds)
                await self._surely(
                    lambda: self.ari.play(self.id, playback, media),
                    lambda: self.ari.playback_exists(playback),
                )
                self.journal.note(self.id, began)
            skipping = asyncio.ensure_future(skipped.wait())
            try:
                either: set[asyncio.Future[Any]] = {finished, skipping}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=LONGEST_PROMPT_S)
            finally:
                skipping.cancel()
            if not finished.done():
                await self._surely(lambda: self.ari.stop_playback(playback), self._never)
                async with asyncio.timeout(STOP_S):
                    await finished
                return self._played(over, Played.SKIPPED)
            failed = (await finished).get("state") == "failed"
            return self._played(over, Played.FAILED if failed else Played.FINISHED)
        except TimeoutError:
            return self._played(over, Played.FAILED)
        except AsteriskRefused:
            return self._played(over, Played.FAILED)
        finally:
            self._on_digit = None
            self._forget(key)

    def _played(self, event: str, how: Played) -> Played:
        self.journal.note(self.id, event, how=how.value)
        return how

    async def record(self, limit_s: float) -> Recording:
        """Record the caller until `#`, `limit_s`, hang-up or a long silence. Never raises HungUp.

        Asterisk ends a recording after four seconds without any packet, as on trunks that send nothing
        while the caller is silent; then the next file takes up where it stopped.
        """
        began = self.past.get("recording_started") or datetime.now(UTC)
        taken_s = (datetime.now(UTC) - began).total_seconds()
        deadline = asyncio.get_running_loop().time() + limit_s - taken_s
        files: list[Path] = []
        ended_by: EndedBy | None = None
        barren = 0
        while ended_by is None:
            name = self.id if not files else f"{self.id}-{len(files) + 1}"
            path = self.spool / f"{name}.wav"
            files.append(path)
            ended_by = await self._record_one(name, path, deadline)
            barren = barren + 1 if not _holds_sound(path) else 0
            if ended_by is None and barren >= 2:
                ended_by = EndedBy.SILENCE
        self.recording = Recording(tuple(files), ended_by, began)
        self.journal.note(self.id, "recording_ended", ended_by=ended_by.value, files=len(files))
        return self.recording

    async def _record_one(self, name: str, path: Path, deadline: float) -> EndedBy | None:
        """One file; None when Asterisk stopped only because no packets came."""
        key = f"recording:{name}"
        self._digits.clear()
        try:
            finished = self._expect(key)
            if not (self.past and await self.ari.recording_exists(name)):
                if self.past and _there(path):
                    return EndedBy.LIMIT if _seconds_left(deadline) <= 0 else EndedBy.HASH
                await self._surely(
                    lambda: self.ari.record(self.id, name, MESSAGE_BACKSTOP_S, SILENCE_S),
                    lambda: self._recorded(name, path),
                )
                self.journal.note(self.id, "recording_started", file=path.name)
            await asyncio.wait({finished}, timeout=max(_seconds_left(deadline), 0))
            if not finished.done():
                await self._surely(lambda: self.ari.stop_recording(name), self._never)
                async with asyncio.timeout(STOP_S):
                    await finished
                return EndedBy.LIMIT
            return self._why(await finished, deadline)
        except HungUp:
            return EndedBy.HANGUP
        except (AsteriskAway, AsteriskRefused, TimeoutError) as problem:
            self.journal.note(self.id, "recording_failed", reason=str(problem))
            return EndedBy.ERROR
        finally:
            self._forget(key)

    def _why(self, outcome: Json, deadline: float) -> EndedBy | None:
        """Asterisk does not say why a recording ended (the digit and the hang-up come before its end)."""
        if HASH in self._digits:
            return EndedBy.HASH
        if self.hangup_requested or self._gone:
            return EndedBy.HANGUP
        if outcome.get("state") == "failed":
            return EndedBy.ERROR
        if outcome.get("silence_duration", 0) >= SILENCE_S:
            return EndedBy.SILENCE
        if _seconds_left(deadline) <= 0:
            return EndedBy.LIMIT
        return EndedBy.HASH if outcome.get("unheard") else None

    async def _recorded(self, name: str, path: Path) -> bool:
        return _there(path) or await self.ari.recording_exists(name)

    async def hang_up(self, cause: int = CAUSE_NORMAL) -> None:
        """End the channel; that it has ended already is no error."""
        if not self._gone and not self.handed_over:
            await self._surely(lambda: self.ari.hang_up(self.id, cause), self._never)

    async def hand_to_dialplan(self, context: str) -> None:
        """Let the dialplan go on with the call at `context`. Raises HungUp."""
        self.handed_over = True
        await self._surely(lambda: self.ari.continue_in_dialplan(self.id, context), self._never)

    # ---- asking again after a lost connection ----------------------------------------------------

    async def _surely(
        self, ask: Callable[[], Awaitable[None]], was_heard: Callable[[], Awaitable[bool]]
    ) -> None:
        """Ask; if the connection was lost meanwhile, wait for it and ask again unless it was heard."""
        try:
            await ask()
        except AsteriskAway:
            await self.ari.until_connected(RECONNECT_S)
            if self._gone:
                raise HungUp("the channel is gone") from None
            if not await was_heard():
                await ask()

    @staticmethod
    async def _never() -> bool:
        return False


def _seconds_left(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()


def _there(path: Path) -> bool:
    return path.exists()


def _holds_sound(path: Path) -> bool:
    """More than a WAV header."""
    try:
        return path.stat().st_size > 44
    except OSError:
        return False
