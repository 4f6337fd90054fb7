"""A call and its verbs. A verb returns what came of it, or raises HungUp; nothing else ends a script.

Every verb keeps one contract: the id is ours, what will come is expected before it is asked for, a lost
connection is waited out and the question put again unless it was heard, and the expectation is always
taken back.

A call that a dead controller left behind is taken up by running its script again. Its verbs look first
at what was done before: the journal of its earlier life and what Asterisk is still doing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pbx.asterisk.ari import Ari, Json
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp
from pbx.routing.limits import MESSAGE_BACKSTOP_S, SILENCE_S
from pbx.spool.sound import BYTES_PER_SECOND, HEADER_BYTES, NotARecording, read_wav
from store.models import CallerKind, EndedBy, now

T = TypeVar("T")

RECONNECT_S = 60.0
"""How long a verb waits for a lost connection before the call is given up."""

AGAIN_S = 0.2
"""A verb may notice a lost connection before the session does: it asks again no sooner."""

LONGEST_PROMPT_S = 600.0
STOP_S = 5.0
LEAVING_S = 1.0
"""A channel that is taken from us ends what it does first and leaves a moment later."""

LOOK_S = 0.05
FAX_HEARD = "FAXEXTEN"
"""Variable that Asterisk sets when it has heard a fax: where the channel was."""

ANSWER = "answer"
HASH = "#"
HASH_S = 1.0
"""Asterisk ends a recording at `#` by itself, unless the recording was only about to begin."""

WRITTEN_EVERY_S = 2.1
"""Asterisk writes a recording down every 32 KiB."""

WRITTEN_LOOK_S = 0.6
NO_PACKETS_S = 3.0
"""Asterisk needs four seconds to end a recording for want of packets; sooner is something else."""

TRIMMED_S = SILENCE_S - 0.2
TRIMMED_GIVE_OR_TAKE_S = 0.3
"""Asterisk cuts off the silence that made it end a recording, but for 0.2 s (main/app.c). This alone tells
such an end: the event's `silence_duration` counts every pause but the last."""

CAUSE_NORMAL = 16
CAUSE_UNKNOWN_NUMBER = 1
CAUSE_BUSY = 17
CAUSE_REJECTED = 21
CAUSE_UNFIT = 20
"""Q.850: subscriber absent, which a SIP caller gets as 480."""


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


@dataclass(frozen=True)
class Milestone:
    """A line of the journal."""

    at: datetime
    details: dict[str, Any] = field(default_factory=dict)


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
    rang_for: str | None = None
    """The rule that had the devices rung first, in vain; None for a call that comes in."""

    device: str | None = None
    """User name of the device that calls; None for a call that comes in."""

    past: dict[str, Milestone] = field(default_factory=dict)
    """Milestones of an earlier life: event -> its first time. Empty for a call that is new."""
    hangup_requested: bool = False
    handed_over: bool = False
    """The dialplan has the channel now; what becomes of the call stands in its slip."""
    listens_for_fax: bool = False
    """The number takes faxes too: Asterisk takes the channel to the dialplan when it hears one."""
    became_fax: bool = False
    recording: Recording | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once we have no more to do with the call."""
    _hung_up_for: int | None = None
    """The cause with which we have ended the channel."""

    _gone: bool = False
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _digits: list[str] = field(default_factory=list)
    _pressed: asyncio.Future[None] | None = None
    _expected: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    _answers: dict[str, BaseException | None] = field(default_factory=dict)
    """What came of asking for several things in one go; each verb takes its own."""
    _asked: set[str] = field(default_factory=set)
    """What of the expected Asterisk is known to have begun."""
    _following: tuple[str, ...] = ()
    """The prompts that Asterisk plays by itself once the caller is recorded."""
    _withdrawn: set[str] = field(default_factory=set)
    """Prompts that were taken back: asked for once more, they are others to Asterisk."""

    # ---- what Asterisk tells ---------------------------------------------------------------------

    def heard(self, event: Json) -> None:
        """Take in an event of this channel, its playbacks or its recordings."""
        match event["type"]:
            case "PlaybackFinished":
                if self._settle(f"playback:{event['playback']['id']}", event["playback"]):
                    # A digit belongs to what went on when it was pressed.
                    self._digits.clear()
            case "RecordingFinished" | "RecordingFailed":
                self._settle(f"recording:{event['recording']['name']}", event["recording"])
            case "ChannelDtmfReceived":
                self._digits.append(event["digit"])
                if self._pressed is not None and not self._pressed.done():
                    self._pressed.set_result(None)
            case "ChannelHangupRequest":
                self.hangup_requested = True
            case "ChannelToneDetected":
                self.journal.note(self.id, "fax_heard")
            case "StasisEnd":
                self.gone(elsewhere=not (self.hangup_requested or self._hung_up_for))

    def gone(self, elsewhere: bool = False) -> None:
        """The channel has left us; whatever is still expected will not come.

        `elsewhere`: it has not ended. Whoever took it from us has given it to the dialplan.
        """
        self.became_fax |= elsewhere and self.listens_for_fax and not self.handed_over
        self.handed_over |= elsewhere
        self._gone = True
        self._left.set()
        for waiting in self._expected.values():
            if not waiting.done():
                waiting.set_exception(HungUp("the channel is gone"))

    async def catch_up(self) -> None:
        """After a lost connection: settle what ended unheard.

        What Asterisk may never have been asked for is left to the verb, which asks again.
        """
        for key in list(self._asked):
            waiting = self._expected.get(key)
            if waiting is None or waiting.done():
                continue
            if not await self._goes_on(key) and not waiting.done():
                waiting.set_result({"state": "done", "unheard": True})
                if key.startswith("playback:"):
                    self._digits.clear()

    async def _goes_on(self, key: str) -> bool:
        kind, _, name = key.partition(":")
        look = self.ari.playback_exists if kind == "playback" else self.ari.recording_exists
        return await look(name)

    def _settle(self, key: str, outcome: Json) -> bool:
        """False where nobody expects it."""
        waiting = self._expected.get(key)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(outcome)
        return True

    def _expect(self, key: str) -> "asyncio.Future[Json]":
        if self._gone:
            raise HungUp("the channel is gone")
        if key not in self._expected:
            waiting: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
            # A script that ended early waits for it no more.
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._expected[key] = waiting
        return self._expected[key]

    def _forget(self, key: str) -> None:
        self._asked.discard(key)
        self._expected.pop(key, None)

    # ---- verbs -----------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Pick up. Raises HungUp."""
        if self.answered_at is None:
            await self._surely(self._unless_asked(ANSWER, lambda: self.ari.answer(self.id)))
            self._picked_up()

    def _picked_up(self) -> None:
        if self.answered_at is None:
            self.answered_at = now()
            self.journal.note(self.id, "answered")

    async def play(self, step: str, *sounds: Path, skip_on: str = "") -> Played:
        """Play `sounds` (names without suffix) one after the other; `skip_on` is a digit that ends it.

        `step` names this place in the script and stands in the journal. A sound that cannot be played is
        no error: Played.FAILED. Raises HungUp.
        """
        await self.queue_prompt(step, *sounds)
        return await self.heard_out(step, skip_on)

    async def queue_prompt(self, step: str, *sounds: Path) -> None:
        """Have `sounds` played after all that was queued before. Raises HungUp."""
        if f"{step}_ended" in self.past:
            return
        playback, key = self._playback(step)
        if key in self._asked:
            return
        finished = self._expect(key)
        try:
            if not await self._still(self.ari.playback_exists, playback):
                if f"{step}_queued" in self.past:
                    if not finished.done():
                        finished.set_result({"state": Played.EARLIER})
                    return
                media = ",".join(f"sound:{sound}" for sound in sounds)
                await self._surely(
                    self._unless_asked(key, lambda: self.ari.play(self.id, playback, media)),
                    lambda: self.ari.playback_exists(playback),
                )
                self.journal.note(self.id, f"{step}_queued")
            self._asked.add(key)
        except AsteriskRefused:
            if not finished.done():
                finished.set_result({"state": Played.FAILED})

    async def heard_out(self, step: str, skip_on: str = "") -> Played:
        """Wait for a queued prompt to end, and end it where the caller presses `skip_on`. Raises HungUp."""
        if f"{step}_ended" in self.past:
            return Played.EARLIER
        playback, key = self._playback(step)
        finished = self._expect(key)
        try:
            await self._until(finished, skip_on, LONGEST_PROMPT_S)
            skipped = not finished.done()
            if skipped:
                await self._surely(lambda: self.ari.stop_playback(playback))
                async with asyncio.timeout(STOP_S):
                    await finished
            state = (await finished).get("state")
            if self.hangup_requested:
                # Asterisk ends the playback first and tells of the channel's end a moment later.
                raise HungUp("the caller hung up")
            if state == Played.FAILED and await self._is_taken():
                raise HungUp("the call became a fax")
            return self._played(step, _how(state, skipped))
        except (TimeoutError, AsteriskRefused):
            self._digits.clear()
            return self._played(step, Played.FAILED)
        finally:
            self._forget(key)

    def _playback(self, step: str) -> tuple[str, str]:
        """Our id of a step's playback, and the key under which its end is expected."""
        again = step in self._withdrawn or f"{step}_withdrawn" in self.past
        playback = f"{self.id}.{step}{'-2' if again else ''}"
        return playback, f"playback:{playback}"

    def _played(self, step: str, how: Played) -> Played:
        self.journal.note(self.id, f"{step}_ended", how=how.value)
        return how

    async def line_up(self, before: dict[str, Path], after: dict[str, Path]) -> None:
        """Pick up, have `before` (step -> sound) played in this order, the caller recorded, `after` played.

        All is asked for in one go: there is no moment in which a prompt plays and no recording will follow,
        and whoever presses `#` waits for nobody but Asterisk. What was lost on the way is asked for again in
        its turn, so that the order holds; and what a dead controller may have asked for is looked up first.
        Raises HungUp.
        """
        self._following = tuple(step for step in after if f"{step}_withdrawn" not in self.past)
        if not self.past and await self._all_asked_at_once(before, after):
            self._picked_up()
            self.journal.note(self.id, "lined_up", steps=[*before, "recording", *after])
            return
        await self.answer()
        lost = self.past or any(isinstance(answer, AsteriskAway) for answer in self._answers.values())
        if "lined_up" in self.past:
            for step in self.past["lined_up"].details["steps"]:
                if f"{step}_withdrawn" not in self.past:
                    self.past.setdefault(f"{step}_queued", Milestone(now()))
        elif lost and await self._recording_was_asked_for():
            # It was asked for after the prompts: so were they, whatever the journal had time to say.
            for step in before:
                self.past.setdefault(f"{step}_queued", Milestone(now()))
        for step, sound in before.items():
            await self.queue_prompt(step, sound)
        await self.queue_recording()

    async def _recording_was_asked_for(self) -> bool:
        return self._file(self.id).exists() or await self._patiently(
            lambda: self.ari.recording_exists(self.id)
        )

    async def _all_asked_at_once(self, before: dict[str, Path], after: dict[str, Path]) -> bool:
        """Ask for everything; True when all went well, else each verb finds the answer that is its own."""
        asking: dict[str, Awaitable[None]] = {}

        def ask_for(prompts: dict[str, Path]) -> None:
            for step, sound in prompts.items():
                playback, key = self._playback(step)
                self._expect(key)
                asking[key] = self.ari.play(self.id, playback, f"sound:{sound}")

        key = f"recording:{self.id}"
        with self.ari.in_one_go(self.id):
            if self.answered_at is None:
                asking[ANSWER] = self.ari.answer(self.id)
            ask_for(before)
            self._expect(key)
            asking[key] = self.ari.record(self.id, self.id, MESSAGE_BACKSTOP_S, SILENCE_S)
            ask_for(after)
        answers = await asyncio.gather(*asking.values(), return_exceptions=True)
        if not any(answers):
            self._asked.update(asking.keys() - {ANSWER})
            return True
        self._answers.update(zip(asking, answers, strict=True))
        return False

    def _unless_asked(self, key: str, ask: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`ask`; where it was asked before, together with others, the answer to that comes first."""

        async def once() -> None:
            if key not in self._answers:
                await ask()
            elif (answer := self._answers.pop(key)) is not None:
                raise answer

        return once

    async def queue_recording(self) -> None:
        """Have the caller recorded after all that was queued before, whatever becomes of us meanwhile.

        Raises HungUp.
        """
        if "recording_ended" not in self.past:
            self._expect(f"recording:{self.id}")
            with suppress(AsteriskRefused):
                await self._begin_recording(self.id)

    async def recorded(self, limit_s: float) -> Recording:
        """Wait for the queued recording's end: `#`, `limit_s`, hang-up or a long silence.

        Asterisk ends a recording after four seconds without any packet, as on trunks that send nothing
        while the caller is silent; then the next file takes up where it stopped. Raises HungUp only where
        the caller left before there was anything to record.
        """
        if "recording_ended" in self.past:
            return self._recorded_earlier(self.past["recording_ended"])
        began = self._recording_began()
        deadline = _clock() + limit_s - (now() - began).total_seconds()
        if "recording_started" not in self.past:
            self.journal.note(self.id, "recording_started")
        files: list[Path] = []
        ended_by: EndedBy | None = None
        barren = 0
        while ended_by is None:
            name, following = self._file_name(len(files) + 1), self._file_name(len(files) + 2)
            files.append(self._file(name))
            since = _clock() if files[1:] else deadline - limit_s
            if files[1:] and HASH in self._digits:
                ended_by = EndedBy.HASH
                break
            ended_by = await self._record_one(name, following, since, deadline)
            if ended_by is None:
                await self._withdraw_following()
                barren = 0 if _holds_a_voice(files[-1]) else barren + 1
                if barren >= 2:
                    # Without a packet it took its four seconds; faster means that nothing can be written.
                    ended_by = EndedBy.SILENCE if _clock() - since >= NO_PACKETS_S else EndedBy.ERROR
        self.recording = Recording(tuple(files), ended_by, began)
        self.journal.note(self.id, "recording_ended", ended_by=ended_by.value, files=len(files))
        return self.recording

    def _recorded_earlier(self, ended: Milestone) -> Recording:
        """What a controller that is no more has recorded to its end; the spool may hold it no longer."""
        names = [self._file_name(number + 1) for number in range(int(ended.details["files"]))]
        files = tuple(self._file(name) for name in names)
        ended_by = EndedBy(ended.details["ended_by"])
        self.recording = Recording(files, ended_by, self._recording_began())
        return self.recording

    def _recording_began(self) -> datetime:
        """When the first file was begun. Where the journal does not tell, the file's length does: it may
        have been begun while the connection was lost."""
        if "recording_started" in self.past:
            return self.past["recording_started"].at
        return now() - timedelta(seconds=_length_s(self._file(self.id)))

    def _file_name(self, number: int) -> str:
        return self.id if number == 1 else f"{self.id}-{number}"

    def _file(self, name: str) -> Path:
        return self.spool / f"{name}.wav"

    async def _record_one(self, name: str, following: str, since: float, deadline: float) -> EndedBy | None:
        """One file; None when Asterisk stopped only because no packets came."""
        key = f"recording:{name}"
        try:
            finished = self._expect(key)
            if key not in self._asked and not await self._begin_recording(name):
                return self._why_unseen(following, deadline)
            await self._until_recorded(name, finished, deadline)
            if not finished.done() and HASH in self._digits:
                await asyncio.wait({finished}, timeout=HASH_S)
            if not finished.done():
                await self._surely(lambda: self.ari.stop_recording(name))
                async with asyncio.timeout(STOP_S):
                    await finished
                return EndedBy.HASH if HASH in self._digits else EndedBy.LIMIT
            trimmed = _clock() - since - _length_s(self._file(name))
            why = self._why(await finished, trimmed, deadline)
            if why in {None, EndedBy.HANGUP} and await self._is_taken():
                raise HungUp("the call became a fax")
            return why
        except HungUp:
            if not self._file(self.id).exists() or await self._is_taken():
                raise
            return EndedBy.HANGUP
        except (AsteriskAway, AsteriskRefused, TimeoutError) as problem:
            self.journal.note(self.id, "recording_failed", reason=str(problem))
            return EndedBy.ERROR
        finally:
            self._forget(key)

    async def _until_recorded(self, name: str, finished: "asyncio.Future[Json]", deadline: float) -> None:
        """Until it is finished, `#` was pressed or the time is over.

        Where no packets come, Asterisk would take that for the end, and say good-bye to a caller who only
        makes a pause: what follows is taken back before it does.
        """
        grown, length, pause_s = _clock(), 0.0, WRITTEN_EVERY_S + WRITTEN_LOOK_S
        while self._following:
            await self._until(finished, HASH, min(pause_s, max(_seconds_left(deadline), 0)))
            if finished.done() or HASH in self._digits or _seconds_left(deadline) <= 0:
                return
            pause_s = WRITTEN_LOOK_S
            if (written := _length_s(self._file(name))) != length:
                grown, length = _clock(), written
            elif _clock() - grown > WRITTEN_EVERY_S:
                await self._withdraw_following()
        await self._until(finished, HASH, max(_seconds_left(deadline), 0))

    async def _withdraw_following(self) -> None:
        """Take back what Asterisk would play after the recording; the script asks for it again.

        Best effort: no message depends on it.
        """
        following, self._following = self._following, ()
        for step in following:
            playback, key = self._playback(step)
            with suppress(AsteriskAway, AsteriskRefused, HungUp):
                await self._surely(partial(self.ari.stop_playback, playback))
            self._forget(key)
            self._answers.pop(key, None)
            self._withdrawn.add(step)
            self.past.pop(f"{step}_queued", None)
            self.journal.note(self.id, f"{step}_withdrawn")

    async def _is_taken(self) -> bool:
        """Whether this became a fax. No message is made then of what was recorded."""
        if self.listens_for_fax and not self.hangup_requested:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVING_S):
                    await self._let_leave()
                    await self._left.wait()
        return self.became_fax

    async def _let_leave(self) -> None:
        """Give up what was lined up, where a fax was heard.

        A recording would hold the channel for four seconds where no packet comes, as after an offer of T.38,
        which nobody waits for that long.
        """
        with suppress(AsteriskAway, AsteriskRefused, HungUp):
            while not self._left.is_set() and await self.ari.variable(self.id, FAX_HEARD):
                with suppress(AsteriskRefused):
                    await self.ari.stop_recording(self.id)
                await asyncio.sleep(LOOK_S)

    async def _begin_recording(self, name: str) -> bool:
        """False when it began and ended while nobody was looking."""
        path, key = self._file(name), f"recording:{name}"

        async def was_heard() -> bool:
            return path.exists() or await self.ari.recording_exists(name)

        asked_again = False
        if not await self._still(self.ari.recording_exists, name):
            if self.past and path.exists():
                return False
            asked_again = await self._surely(
                self._unless_asked(
                    key, lambda: self.ari.record(self.id, name, MESSAGE_BACKSTOP_S, SILENCE_S)
                ),
                was_heard,
            )
            self.journal.note(self.id, "recording_queued", file=path.name)
        self._asked.add(key)
        if asked_again:
            await self._patiently(self.catch_up)
        return True

    def _why_unseen(self, following: str, deadline: float) -> EndedBy | None:
        """Why a file ended while nobody was looking."""
        if self._file(following).exists():
            return None
        return EndedBy.LIMIT if _seconds_left(deadline) <= 0 else EndedBy.HASH

    def _why(self, outcome: Json, trimmed_s: float, deadline: float) -> EndedBy | None:
        """Asterisk does not say why a recording ended (the digit and the hang-up come before its end)."""
        if HASH in self._digits:
            return EndedBy.HASH
        if self.hangup_requested or self._gone:
            return EndedBy.HANGUP
        if outcome.get("state") == "failed":
            return EndedBy.ERROR
        if abs(trimmed_s - TRIMMED_S) <= TRIMMED_GIVE_OR_TAKE_S and not outcome.get("unheard"):
            return EndedBy.SILENCE
        if _seconds_left(deadline) <= 0:
            return EndedBy.LIMIT
        return EndedBy.HASH if outcome.get("unheard") else None

    async def ended(self) -> bool:
        """Wait for the end; False when it goes on without us, as a fax or wherever it went."""
        await self.over.wait()
        return not self.handed_over

    async def hang_up(self, cause: int = CAUSE_NORMAL) -> None:
        """End the channel; that it has ended already is no error. Asked again, the first cause remains."""
        if not self._gone and not self.handed_over:
            # Asterisk takes a moment; a second cause that comes meanwhile would be what the caller is told.
            ended_for = self._hung_up_for = self._hung_up_for or cause
            await self._surely(lambda: self.ari.hang_up(self.id, ended_for))

    async def hand_to_dialplan(self, context: str, extension: str = "s") -> None:
        """Let the dialplan go on with the call at `context`. Raises HungUp."""

        async def hand_over() -> None:
            try:
                await self.ari.continue_in_dialplan(self.id, context, extension)
            except AsteriskAway:
                # It may have been heard: then the slip tells how the call ends, not we.
                self.handed_over = True
                raise

        await self._withdraw_following()
        await self._patiently(hand_over)
        self.handed_over = True

    # ---- waiting, and asking again after a lost connection ----------------------------------------

    async def _until(self, finished: "asyncio.Future[Json]", digit: str, timeout_s: float) -> None:
        """Until it is finished, the caller pressed `digit` or the time is over, whichever comes first."""
        deadline = _clock() + timeout_s
        while not finished.done() and digit not in self._digits and _seconds_left(deadline) > 0:
            await self._woken(finished, _seconds_left(deadline))

    async def _woken(self, finished: "asyncio.Future[Json]", timeout_s: float) -> None:
        """Until it is finished, any digit is pressed or the time is over."""
        loop = asyncio.get_running_loop()
        woken = self._pressed = loop.create_future()

        def wake(*_: object) -> None:
            if not woken.done():
                woken.set_result(None)

        finished.add_done_callback(wake)
        alarm = loop.call_later(timeout_s, wake)
        try:
            await woken
        finally:
            alarm.cancel()
            finished.remove_done_callback(wake)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, again and again where the connection is lost. Raises AsteriskAway after a minute."""
        give_up = _clock() + RECONNECT_S
        while True:
            try:
                return await work()
            except AsteriskAway:
                if _seconds_left(give_up) <= AGAIN_S:
                    raise
                await asyncio.sleep(AGAIN_S)
                await self.ari.until_connected(_seconds_left(give_up))
                if self._gone:
                    raise HungUp("the channel is gone") from None

    async def _still(self, exists: Callable[[str], Awaitable[bool]], name: str) -> bool:
        """Whether Asterisk still does what a controller that is no more has asked for."""
        return bool(self.past) and await self._patiently(lambda: exists(name))

    async def _surely(
        self, ask: Callable[[], Awaitable[None]], was_heard: Callable[[], Awaitable[bool]] | None = None
    ) -> bool:
        """Ask, and where the connection is lost meanwhile ask again unless it `was_heard`.

        True when it was lost: what was asked for may have ended since.
        """
        tries = 0

        async def once() -> None:
            nonlocal tries
            tries += 1
            if tries == 1 or was_heard is None or not await was_heard():
                await ask()

        await self._patiently(once)
        return tries > 1


def _how(state: object, skipped: bool) -> Played:
    """How a prompt went, from what Asterisk says of its end."""
    if state in {Played.FAILED, Played.EARLIER}:
        return Played(str(state))
    return Played.SKIPPED if skipped else Played.FINISHED


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _seconds_left(deadline: float) -> float:
    return deadline - _clock()


def _length_s(path: Path) -> float:
    """How much a recording holds, be it finished or not."""
    try:
        return max(path.stat().st_size - HEADER_BYTES, 0) / BYTES_PER_SECOND
    except OSError:
        return 0.0


def _holds_a_voice(path: Path) -> bool:
    try:
        return read_wav(path.read_bytes()).holds_a_voice()
    except (OSError, NotARecording):
        return False
