"""From the spool into the store: a message exists once its audio was parsed and its row committed.

The order makes every crash harmless: the file gets its lasting name (a second name of the same bytes),
then the row is committed, then the spool's names go. Until the last step the spool still holds all, and
whoever comes next finds the row and only tidies up.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pbx.asterisk.supervisor import Supervisor
from pbx.routing.limits import SHORTEST_MESSAGE_S
from pbx.spool.sound import NotARecording, Sound, join, read_wav, write_wav
from store.journal import CallJournal
from store.media import Media
from store.models import CallerKind, EndedBy, MessageOutcome, MessageSource

log = logging.getLogger(__name__)

TIDY_S = 0.25
"""How long calls are gathered before the spool is tidied after them."""


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


async def keep_recording(
    taken: Taken,
    media: Media,
    journal: CallJournal,
    tidying: "Tidying",
    over: asyncio.Event | None = None,
) -> bool:
    """Take a recording into the store; True when it is a message.

    Returns once the row is under way; the spool is tidied when it is committed, however long the database
    takes, and the call is `over`: until then the file tells the dialplan that the caller has spoken. Raises
    OSError when the media folder cannot be written: the spool then still holds everything.
    """
    found = await asyncio.to_thread(_examine, taken, media)
    if found.outcome is MessageOutcome.KEPT:
        ended_by = EndedBy.ERROR if found.cut_short else taken.ended_by
        journal.note(taken.call_id, "message_kept", duration_s=found.duration_s, ended_by=ended_by.value)
        committed = journal.keep_message(
            {
                "account_id": taken.account_id,
                "number_id": taken.number_id,
                "call_id": taken.call_id,
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
    else:
        journal.note(taken.call_id, found.outcome.value, reason=found.reason)
        committed = journal.settle_without_message(taken.call_id, found.outcome)
    tidying.add(Kept(taken.call_id, taken.files, found.unreadable), committed, over)
    return found.outcome is MessageOutcome.KEPT


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


@dataclass(frozen=True)
class Kept:
    """What the spool holds of a call no longer needed there."""

    call_id: str
    files: tuple[Path, ...]
    unreadable: tuple[Path, ...]


class Tidying:
    """Tidies the spool, for several calls in one go: a thread for each would cost more than the work."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._due: list[Kept] = []
        self.calls: set[str] = set()
        """Whose files are no longer needed, and still there."""

    def add(self, kept: Kept, committed: Awaitable[None], over: asyncio.Event | None) -> None:
        """After the commit and the end of the call the spool has done its part."""
        self.calls.add(kept.call_id)
        self._supervisor.start(f"tidy {kept.call_id}", self._when_done(kept, committed, over))

    async def _when_done(self, kept: Kept, committed: Awaitable[None], over: asyncio.Event | None) -> None:
        try:
            await committed
        except BaseException:
            self.calls.discard(kept.call_id)
            raise
        if over is not None:
            await over.wait()
        self._due.append(kept)
        if len(self._due) == 1:
            await asyncio.sleep(TIDY_S)
            await self._tidy()

    async def _tidy(self) -> None:
        due, self._due = self._due, []
        try:
            await asyncio.to_thread(_tidy_all, due)
        finally:
            self.calls.difference_update(kept.call_id for kept in due)


def _tidy_all(due: list[Kept]) -> None:
    for kept in due:
        try:
            tidy_spool(kept.call_id, kept.files, kept.unreadable)
        except OSError as problem:
            # Whoever sweeps the spool comes back to it.
            log.error("the spool was not tidied: %s", problem, extra={"action": "spool_not_tidied"})


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
