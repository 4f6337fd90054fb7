"""Recordings of calls on their way from Asterisk to the store: once, whoever died meanwhile.

The dialplan records without us; the spool holds its files and a slip for each call. Whatever is there and
belongs to no living channel is taken in. The order makes every crash harmless: the file gets its lasting
name, the row is committed, the spool is emptied. Whoever finds the row already only empties the spool.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.recordings.slip import CallSlip, parse_call_slip
from pbx.recordings.sound import BYTES_PER_SECOND, whole_bytes, write_stereo_wav
from pbx.routing.caller import identify_caller
from store.arrivals import Caller
from store.database import Database
from store.e164 import NotAPhoneNumber, parse_e164
from store.media import Media
from store.models import CallerKind, PhoneNumber, Prompt, Recording, new_id, now
from store.recordings import Milestone, keep_recording, note_by

log = logging.getLogger(__name__)

SWEEP_S = 2.0
QUIET_S = 5.0
"""Without a noted end a recording counts as left behind when nothing was written for so long."""

SHORTEST_S = 0.1
"""Less is the moment between connecting and hanging up."""

LEEWAY_S = 2.0
SLIPS_REMEMBERED = 1000
LOW_BYTES = 1000 * 1000 * 1000
"""From here on the log says that the disk runs short; 1 GB holds nine hours."""


@dataclass
class Found:
    """What the spool holds of one call."""

    call_id: str
    slip_path: Path
    files: list[Path] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        return [*self.files, *([self.slip_path] if self.slip_path.exists() else [])]


@dataclass(frozen=True)
class _Known:
    """What the store knows of a call that was recorded."""

    account_id: str
    number_id: str
    kept: bool
    """Its recording is there already."""

    prompt: Row[str, str | None, float] | None
    """Of the prompt that was to be announced: its SHA-256, text and length; None where it is gone."""


class RecordingAdoption:
    """Sweeps the spool of calls every few seconds."""

    def __init__(
        self,
        spool: Path,
        database: Database,
        media: Media,
        channels: Callable[[], Awaitable[set[str]]],
        quiet_s: float = QUIET_S,
    ) -> None:
        """`channels` gives the unique ids of all of Asterisk's channels."""
        self._spool, self._database, self._media = spool, database, media
        self._channels, self._quiet_s = channels, quiet_s
        self._short_of_room = False
        self.problem = ""
        """Why recordings wait in the spool; empty where none does."""

    async def run(self) -> None:
        while True:
            try:
                await self.sweep()
                self.problem = ""
            except (AsteriskAway, AsteriskRefused, SQLAlchemyError, OSError, TimeoutError) as problem:
                self.problem = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}"
                log.warning("recordings wait: %s", self.problem, extra={"action": "recordings_wait"})
            await asyncio.to_thread(self._watch_the_disk)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Take in everything that is due. Raises what keeps all of it waiting."""
        due = await asyncio.to_thread(self._due)
        if not due:
            return
        living = await self._channels()
        waits: OSError | None = None
        for found, slip in due:
            if living & {found.call_id, slip.outside}:
                continue
            try:
                await self._adopt(found, slip)
            except OSError as problem:
                # One that cannot be had must not keep the others waiting.
                waits = problem
        if waits:
            raise waits

    def _due(self) -> list[tuple[Found, CallSlip]]:
        """What seems to be over, the slip read."""
        due = []
        for found in look(self._spool):
            slip = read_slip(found.slip_path)
            if slip.over or self._is_quiet(found):
                due.append((found, slip))
        return due

    def _is_quiet(self, found: Found) -> bool:
        try:
            return time.time() - max(path.stat().st_mtime for path in found.paths) > self._quiet_s
        except (FileNotFoundError, ValueError):
            return False

    async def _adopt(self, found: Found, slip: CallSlip) -> None:
        seconds = await asyncio.to_thread(_seconds, found.files)
        known = await self._database.transaction(
            partial(_look_up, e164=slip.number, call_id=found.call_id, prompt_id=slip.prompt)
        )
        if known is None:
            await asyncio.to_thread(_set_aside, self._spool / "unclaimed", found, seconds)
            return
        if not known.kept:
            announced = _announcement(slip, known.prompt)
            milestones = milestones_of(slip, announced)
            if seconds < SHORTEST_S:
                said = partial(note_by, call_id=found.call_id, milestones=milestones)
                await self._database.transaction(said)
            else:
                await self._keep(found, slip, known, announced, milestones)
        await asyncio.to_thread(_tidy, found)

    async def _keep(
        self,
        found: Found,
        slip: CallSlip,
        known: _Known,
        announced: dict[str, Any],
        milestones: list[Milestone],
    ) -> None:
        said = other_party(slip)
        began = slip.when("begun")
        if began is None:
            began = await asyncio.to_thread(_reckoned_begin, found.files)
        name = f"recordings/{began:%Y/%m/%d}/{found.call_id}.wav"
        duration_s, sha256 = await asyncio.to_thread(self._write, name, found.files)
        sections = slip.sections()
        ends = [one.until for one in sections if one.until]
        ended = ends[-1] if ends else began + timedelta(seconds=duration_s)
        recorded_s = sum((one.until - one.since).total_seconds() for one in sections if one.until)
        whole = slip.over and duration_s >= recorded_s * 0.95 - LEEWAY_S
        recording = {
            "id": new_id(),
            "account_id": known.account_id,
            "number_id": known.number_id,
            "call_id": found.call_id,
            "direction": slip.direction if slip.direction == "outbound" else "inbound",
            "other_party": said.number,
            "other_party_kind": said.kind,
            "started_at": began,
            "ended_at": ended,
            "duration_s": round(duration_s, 3),
            "sections": [_written(one.since, one.until or ended) for one in sections],
            "complete": whole,
            "media": name,
            "sha256": sha256,
            "created_at": now(),
            **announced,
        }
        told = {"recording_id": recording["id"], "duration_s": recording["duration_s"], "complete": whole}
        kept = Milestone(now(), "recording_kept", told)
        await self._database.transaction(
            partial(keep_recording, recording=recording, milestones=[*milestones, kept])
        )
        if not whole:
            log.warning("a recording is not complete", extra={"action": "recording_incomplete"})

    def _write(self, name: str, files: list[Path]) -> tuple[float, str]:
        made: list[tuple[float, str]] = []
        self._media.write(name, lambda draft: made.append(write_stereo_wav(draft, files)))
        return made[0]

    def _watch_the_disk(self) -> None:
        try:
            free = shutil.disk_usage(self._media.folder).free
        except OSError:
            return
        short = free < LOW_BYTES
        if short and not self._short_of_room:
            hours = free / BYTES_PER_SECOND / 3600
            log.warning("room for %.1f hours of recordings is left", hours, extra={"action": "disk_short"})
        self._short_of_room = short


def _look_up(connection: Connection, e164: str, call_id: str, prompt_id: str) -> _Known | None:
    """None for what belongs to no number of ours."""
    owner = connection.execute(
        select(PhoneNumber.account_id, PhoneNumber.id).where(PhoneNumber.e164 == e164)
    ).one_or_none()
    if owner is None:
        return None
    kept = connection.execute(select(Recording.id).where(Recording.call_id == call_id)).first()
    spoken = select(Prompt.sha256, Prompt.text, Prompt.duration_s).where(Prompt.id == prompt_id)
    prompt = connection.execute(spoken).one_or_none() if prompt_id else None
    return _Known(owner.account_id, owner.id, kept is not None, prompt)


def _announcement(slip: CallSlip, prompt: Row[str, str | None, float] | None) -> dict[str, Any]:
    """The columns that say what the other party heard; all empty where nothing was to be heard."""
    ended = slip.when("announced")
    if not slip.prompt or not (ended or slip.when("announcing") or slip.when("broken")):
        return {}
    lasted = timedelta(seconds=prompt.duration_s if prompt else 0)
    return {
        "announcement_prompt_id": slip.prompt,
        "announcement_sha256": prompt.sha256 if prompt else None,
        "announcement_text": prompt.text if prompt else None,
        # Where Dial() plays it only its end is noted, in the instant after it.
        "announcement_started_at": slip.when("announcing") or (ended and ended - lasted),
        "announcement_ended_at": ended or slip.when("broken") or slip.when("ended"),
        "announcement_played_to_end": ended is not None,
    }


def look(spool: Path) -> list[Found]:
    """Everything in the spool, by call; a call's files in order: `<call>-1.raw`, `<call>-2.raw`, …"""
    found: dict[str, Found] = {}
    numbered: list[tuple[int, str, Path]] = []
    for path in spool.iterdir():
        call_id, _, number = path.stem.rpartition("-")
        if path.suffix == ".slip":
            found.setdefault(path.stem, Found(path.stem, path))
        elif path.suffix == ".raw" and number.isdecimal():
            numbered.append((int(number), call_id, path))
    for _, call_id, path in sorted(numbered):
        found.setdefault(call_id, Found(call_id, spool / f"{call_id}.slip")).files.append(path)
    return list(found.values())


def read_slip(path: Path) -> CallSlip:
    try:
        stat = path.stat()
        return _read_slip(path, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        return CallSlip()


@lru_cache(SLIPS_REMEMBERED)
def _read_slip(path: Path, _size: int, _mtime_ns: int) -> CallSlip:
    # Every call's is looked at each second; hardly ever has it grown.
    return parse_call_slip(path.read_text(errors="replace"))


def other_party(slip: CallSlip) -> Caller:
    """Who is on the line outside."""
    if slip.direction != "outbound":
        return identify_caller(slip.other, slip.other_name, slip.presentation)
    try:
        return Caller(parse_e164(slip.other), CallerKind.NUMBER)
    except NotAPhoneNumber:
        return Caller(slip.other or None, CallerKind.NUMBER if slip.other else CallerKind.UNAVAILABLE)


def milestones_of(slip: CallSlip, announced: dict[str, Any]) -> list[Milestone]:
    """What the journal of the call says of its recording, in order."""
    found = []
    evidence = {
        "prompt_id": announced.get("announcement_prompt_id"),
        "sha256": announced.get("announcement_sha256"),
        "played_to_end": announced.get("announcement_played_to_end"),
    }
    recording = False
    for event in slip.events:
        if event.name == "announced":
            found.append(Milestone(event.at, "recording_announced", evidence))
        elif event.name == "unplayable":
            found.append(Milestone(event.at, "recording_not_announced", {}))
        elif event.name == "begun":
            found.append(Milestone(event.at, "recording_resumed" if recording else "recording_begun", {}))
            recording = True
        elif event.name in ("paused", "stopped"):
            found.append(Milestone(event.at, f"recording_{event.name}", {}))
    if evidence["played_to_end"] is False:
        at = announced["announcement_ended_at"] or announced["announcement_started_at"]
        found.append(Milestone(at, "recording_announcement_broken_off", evidence))
    return found


def _written(since: datetime, until: datetime) -> dict[str, str]:
    return {"from": since.isoformat(), "to": until.isoformat()}


def _seconds(files: list[Path]) -> float:
    return sum(whole_bytes(path) for path in files) / BYTES_PER_SECOND


def _reckoned_begin(files: list[Path]) -> datetime:
    last = max(path.stat().st_mtime for path in files)
    return datetime.fromtimestamp(last - _seconds(files), UTC)


def _tidy(found: Found) -> None:
    # The slip last: what is left after a crash still says whose it is.
    for path in [*found.files, found.slip_path]:
        path.unlink(missing_ok=True)


def _set_aside(folder: Path, found: Found, seconds: float) -> None:
    """A recording of no number of ours is kept where a person can find it; empty files go."""
    if seconds < SHORTEST_S:
        _tidy(found)
        return
    log.error("a recording belongs to no number of ours", extra={"action": "unclaimed"})
    folder.mkdir(exist_ok=True)
    for path in found.paths:
        path.rename(folder / path.name)
