"""From the spool into the store: a message exists once its audio was parsed and its row committed.

The order makes every crash harmless: the file gets its lasting name (a second name of the same bytes),
then the row is committed, then the spool's names go. Until the last step the spool still holds all, and
whoever comes next finds the row and only tidies up.
"""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pbx.asterisk.supervisor import Supervisor
from pbx.routing.limits import SHORTEST_MESSAGE_S
from pbx.spool.sound import NotARecording, Sound, join, read_wav, write_wav
from pbx.spool.together import Together
from store.journal import CallJournal
from store.media import Media
from store.models import CallerKind, EndedBy, MessageOutcome, MessageSource

EXAMINE_S = 0.1
TIDY_S = 0.25
"""How long recordings are gathered before they are looked at, and the spool is tidied after them."""


@dataclass(frozen=True)
class Taken:
    """A recording and everything its message will say."""

    call_id: str
    account_id: str
    number_id: str
    caller: str | None
    caller_kind: CallerKind
    started_at: datetime
    ended_by: EndedBy
    source: MessageSource
    files: tuple[Path, ...]
    rule_id: str | None = None
    """The 留守レポ rule that took the call."""


@dataclass(frozen=True)
class _Found:
    outcome: MessageOutcome
    media: str = ""
    sha256: str = ""
    duration_s: float = 0.0
    cut_short: bool = False
    """The file was never finished: Asterisk died while it recorded."""
    reason: str = ""
    unreadable: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Settled:
    """What the spool holds of a call and is no longer needed there."""

    call_id: str
    files: tuple[Path, ...]
    unreadable: tuple[Path, ...]


Ended = Callable[[], Awaitable[bool]]
"""Waits for the end of a call; False when that is the dialplan's, which then leaves a slip to sweep."""


class Keeping:
    """Takes recordings into the store, and tidies the spool after them."""

    def __init__(self, media: Media, journal: CallJournal, supervisor: Supervisor) -> None:
        self._journal, self._supervisor = journal, supervisor
        self._examining: Together[Taken, _Found] = Together(lambda taken: _examine(taken, media), EXAMINE_S)
        self._tidying = Together(_tidy, TIDY_S)
        self.settled: set[str] = set()
        """Calls whose files are no longer needed, and still there."""

    async def keep(self, taken: Taken, ended: Ended | None = None) -> bool:
        """Take a recording into the store; True when it is a message.

        Returns once the row is under way; the spool is tidied when it is committed, however long the
        database takes, and the call has `ended`: until then the file tells the dialplan that the caller has
        spoken. Raises OSError when the media folder cannot be written: the spool then still holds everything.
        """
        found = await self._examining.do(taken)
        committed = self._settle(taken, found)
        self._supervisor.start(f"tidy {taken.call_id}", self._tidy_after(taken, found, committed, ended))
        return found.outcome is MessageOutcome.KEPT

    def _settle(self, taken: Taken, found: _Found) -> Awaitable[None]:
        if found.outcome is not MessageOutcome.KEPT:
            self._journal.note(taken.call_id, found.outcome.value, reason=found.reason)
            return self._journal.settle_without_message(taken.call_id, found.outcome)
        ended_by = EndedBy.ERROR if found.cut_short else taken.ended_by
        self._journal.note(
            taken.call_id, "message_kept", duration_s=found.duration_s, ended_by=ended_by.value
        )
        return self._journal.keep_message(
            {
                "account_id": taken.account_id,
                "number_id": taken.number_id,
                "call_id": taken.call_id,
                "rule_id": taken.rule_id,
                "caller": taken.caller,
                "caller_kind": taken.caller_kind,
                "started_at": taken.started_at,
                "duration_s": found.duration_s,
                "ended_by": ended_by,
                "source": taken.source,
                "media": found.media,
                "sha256": found.sha256,
            }
        )

    async def _tidy_after(
        self, taken: Taken, found: _Found, committed: Awaitable[None], ended: Ended | None
    ) -> None:
        self.settled.add(taken.call_id)
        try:
            await committed
            if ended is not None and not await ended():
                return
            await self._tidying.do(_Settled(taken.call_id, taken.files, found.unreadable))
        finally:
            # Whatever is still there, whoever sweeps the spool comes back to it.
            self.settled.discard(taken.call_id)


def _examine(taken: Taken, media: Media) -> _Found:
    """Parse the files and give the sound its lasting name."""
    contents = _contents(taken.files)
    if not contents:
        return _Found(MessageOutcome.NOTHING_SAID, reason="nothing was recorded")
    sounds, bad, reason = _read(contents)
    if not sounds:
        return _Found(MessageOutcome.UNREADABLE, reason=reason, unreadable=bad)
    sound = join(list(sounds.values()))
    if sound.duration_s < SHORTEST_MESSAGE_S:
        reason = f"{sound.duration_s:.2f} s are too short"
        return _Found(MessageOutcome.NOTHING_SAID, reason=reason, unreadable=bad)
    if not sound.holds_a_voice():
        return _Found(MessageOutcome.NOTHING_SAID, reason="only silence", unreadable=bad)
    name = f"messages/{taken.started_at:%Y/%m/%d}/{taken.call_id}.wav"
    digest = _store(sound, {path: contents[path] for path in sounds}, media, name)
    cut_short = bool(bad) or not all(sound.header_right for sound in sounds.values())
    return _Found(
        MessageOutcome.KEPT, name, digest, round(sound.duration_s, 3), cut_short, reason, unreadable=bad
    )


def _contents(files: tuple[Path, ...]) -> dict[Path, bytes]:
    """The files that are there and hold something."""
    contents = {}
    for path in files:
        with suppress(FileNotFoundError):
            contents[path] = path.read_bytes()
    return {path: content for path, content in contents.items() if content}


def _read(contents: dict[Path, bytes]) -> tuple[dict[Path, Sound], tuple[Path, ...], str]:
    """What can be read, what cannot, and why. One bad file does not cost the others."""
    sounds: dict[Path, Sound] = {}
    bad: list[Path] = []
    reason = ""
    for path, content in contents.items():
        try:
            sounds[path] = read_wav(content)
        except NotARecording as problem:
            bad.append(path)
            reason = str(problem)
    return sounds, tuple(bad), reason


def _store(sound: Sound, contents: dict[Path, bytes], media: Media, name: str) -> str:
    """Store the sound. A file that is whole gets a second name, which needs no room on a full disk."""
    if sound.header_right and len(contents) == 1:
        ((path, content),) = contents.items()
        media.take(path, name)
        return hashlib.sha256(content).hexdigest()
    whole = write_wav(sound.pcm)
    media.put(whole, name)
    return hashlib.sha256(whole).hexdigest()


def _tidy(settled: _Settled) -> None:
    tidy_spool(settled.call_id, settled.files, settled.unreadable)


def tidy_spool(call_id: str, files: tuple[Path, ...], unreadable: tuple[Path, ...]) -> None:
    """Remove a call's recordings and slip from the spool.

    What could not be read is set aside in its `unreadable/`, never deleted.
    """
    for path in files:
        if path in unreadable and path.exists():
            aside = path.parent / "unreadable"
            aside.mkdir(exist_ok=True)
            path.rename(aside / path.name)
        path.unlink(missing_ok=True)
    if files:
        (files[0].parent / f"{call_id}.slip").unlink(missing_ok=True)
