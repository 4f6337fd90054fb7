"""Taking in what was recorded while nobody was looking: by the dialplan, by a controller that died, before
Asterisk died, while the database or the disk was away. Once, through the same way as every message.

The spool is the truth: a recording or a slip there, whose channel is no more and whose call nobody here
is working on, wants to be taken in.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from pbx.dialplan.names import BLOCKED
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.routing.caller import identify_caller
from pbx.routing.ended_by import infer_ended_by
from pbx.spool.called import close_called
from pbx.spool.keep import Keeping, Taken, tidy_spool
from pbx.spool.slip import Slip, parse_slip
from pbx.spool.sound import HEADER_BYTES, NotARecording, read_wav
from store.arrivals import look_up
from store.database import Database
from store.journal import CallJournal
from store.models import Call, EndedBy, JournalEntry, MessageOutcome, MessageSource, RusurepoSetting, now

log = logging.getLogger(__name__)

SWEEP_S = 2.0
LONGEST_ID = 32
RESULTS = {"ANSWER": "answered", "BUSY": "busy", "CANCEL": "hung_up", BLOCKED: "blocked"}
SETTLE_S = 0.2
"""After the dialplan hands in a slip its channel lives on for a moment."""


@dataclass(frozen=True)
class _Known:
    """What is known of a call whose recording lies in the spool."""

    taken: Taken
    ended_at: datetime | None = None
    """As the call's row says."""
    outcome: MessageOutcome | None = None
    said: bool = False
    """The recording came to an end of its own, whatever the call did then."""


class Adoption:
    """Sweeps the spool, when told and every few seconds."""

    def __init__(
        self,
        spool: Path,
        database: Database,
        journal: CallJournal,
        keeping: Keeping,
        busy: Callable[[], set[str]],
        channels: Callable[[], Awaitable[set[str]]],
    ) -> None:
        """`busy`: ids of calls this process works on; `channels`: ids of all of Asterisk's channels."""
        self._spool, self._database = spool, database
        self._journal, self._keeping = journal, keeping
        self._busy, self._channels = busy, channels
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Something lies in the spool; look soon."""
        self._asked.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._asked.wait()
                    await asyncio.sleep(SETTLE_S)
            except TimeoutError:
                pass
            self._asked.clear()
            try:
                await self.sweep()
            except (
                AsteriskAway,
                AsteriskRefused,
                SQLAlchemyError,
                OSError,
                TimeoutError,
            ) as problem:
                log.warning("the spool waits: %s", problem, extra={"action": "spool_waits"})

    async def sweep(self) -> None:
        """Take in everything that is due."""
        found = await asyncio.to_thread(self._look)
        due = found.keys() - self._busy()
        if not due:
            return
        due -= await self._channels()
        async with asyncio.timeout(SWEEP_S):
            await self._journal.flushed()
        for call_id in sorted(due - self._busy()):
            try:
                await self._adopt(call_id, found[call_id])
            except OSError as problem:
                # One file that cannot be had must not keep the others waiting.
                log.error("a recording waits: %s", problem, extra={"action": "recording_waits"})

    def _look(self) -> dict[str, list[Path]]:
        """Call id -> its files, slip included. A recording's further files are named `<call>-2.wav`."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self._spool.glob("*")):
            if path.suffix == ".slip":
                found.setdefault(path.stem, []).append(path)
            elif path.suffix == ".wav":
                found.setdefault(_call_of(path.stem), []).append(path)
        return found

    async def _adopt(self, call_id: str, paths: list[Path]) -> None:
        files = tuple(path for path in paths if path.suffix == ".wav")
        slip = await asyncio.to_thread(_read_slip, self._spool / f"{call_id}.slip")
        if slip is not None and slip.direction:
            if await close_called(self._database, self._journal, call_id, slip):
                await asyncio.to_thread(tidy_spool, call_id, tuple(paths), ())
            else:
                await asyncio.to_thread(_set_aside, self._spool / "unclaimed", paths)
            return
        known = await self._from_row(call_id, files, slip) or await self._from_slip(call_id, files, slip)
        if known is None:
            log.error("a recording belongs to no number of ours", extra={"action": "unclaimed"})
            await asyncio.to_thread(_set_aside, self._spool / "unclaimed", paths)
            return
        if slip and slip.fax:
            self._journal.note(call_id, "fax_ended", status=slip.fax)
        # What was being recorded when a fax was heard is its tones: no message.
        wanted = known.said or not (slip and slip.fax)
        if known.outcome or not (wanted and any(path.stat().st_size > HEADER_BYTES for path in files)):
            self._close(known, slip, _result_of(known.outcome, slip))
            unreadable = files if known.outcome is MessageOutcome.UNREADABLE else ()
            every = (*files, self._spool / f"{call_id}.slip")
            await asyncio.to_thread(tidy_spool, call_id, every, unreadable)
            return
        kept = await self._keeping.keep(known.taken)
        # Noted once it is done: on a full disk it is tried every few seconds.
        self._journal.note(call_id, "adopted", source=known.taken.source.value)
        self._close(known, slip, "message" if kept else "no_message")

    def _close(self, known: _Known, slip: Slip | None, result: str) -> None:
        """Close the call's record; the slip knows best when it was."""
        call_id = known.taken.call_id
        if known.ended_at is not None:
            if known.outcome is None:
                # Whoever closed it did not know of the recording, or of the slip.
                self._journal.change_call(call_id, result=result)
            return
        ended_at = (slip and slip.ended_at) or now()
        columns: dict[str, object] = {"ended_at": ended_at, "result": result}
        if slip and slip.answered_at:
            columns["answered_at"] = slip.answered_at
        self._journal.note(call_id, "ended", result=result)
        self._journal.change_call(call_id, **columns)

    async def _from_row(self, call_id: str, files: tuple[Path, ...], slip: Slip | None) -> _Known | None:
        found = await self._database.transaction(partial(_row_of, call_id=call_id))
        if found is None:
            return None
        call, rule_id, ended_by = found
        said = ended_by or (slip and slip.ended_by)
        taken = Taken(
            call_id=call_id,
            account_id=call.account_id,
            number_id=call.number_id,
            caller=call.caller,
            caller_kind=call.caller_kind,
            started_at=call.started_at,
            ended_by=said or await _infer(files, slip),
            source=_source(slip),
            files=files,
            rule_id=_rule_of(slip) or rule_id,
        )
        return _Known(taken, call.ended_at, call.message_outcome, ended_by is not None or _said(slip))

    async def _from_slip(self, call_id: str, files: tuple[Path, ...], slip: Slip | None) -> _Known | None:
        """A call that never had a row: write one."""
        if slip is None:
            return None
        arrival = await self._database.transaction(partial(look_up, e164=slip.number))
        if arrival is None:
            return None
        caller = identify_caller(slip.caller, slip.caller_name, slip.presentation)
        taken = Taken(
            call_id=call_id,
            account_id=arrival.account_id,
            number_id=arrival.number_id,
            caller=caller.number,
            caller_kind=caller.kind,
            started_at=slip.started_at or now(),
            ended_by=slip.ended_by or await _infer(files, slip),
            source=_source(slip),
            files=files,
            rule_id=_rule_of(slip) or (arrival.rule.id if arrival.rule else None),
        )
        self._journal.open_call(
            id=call_id,
            node=call_id.partition("-")[0],
            account_id=arrival.account_id,
            number_id=arrival.number_id,
            dialled=arrival.e164,
            caller=caller.number,
            caller_kind=caller.kind,
            started_at=taken.started_at,
        )
        self._journal.note(call_id, "arrived", source=taken.source.value, at=taken.started_at.isoformat())
        return _Known(taken, said=_said(slip))


def _row_of(connection: Connection, call_id: str) -> tuple[Row[Any], str | None, EndedBy | None] | None:
    """A call of ours: its row, its number's rule, and why its recording ended where that is known."""
    rule_id = select(RusurepoSetting.rule_id).where(RusurepoSetting.number_id == Call.number_id)
    columns = (
        Call.account_id,
        Call.number_id,
        Call.caller,
        Call.caller_kind,
        Call.started_at,
        Call.ended_at,
        Call.message_outcome,
        rule_id.scalar_subquery().label("rule_id"),
    )
    ours = (Call.id == call_id, Call.account_id.is_not(None), Call.number_id.is_not(None))
    call = connection.execute(select(*columns).where(*ours)).one_or_none()
    if call is None:
        return None
    ended = select(JournalEntry.details).where(
        JournalEntry.call_id == call_id, JournalEntry.event == "recording_ended"
    )
    details = connection.execute(ended).scalars().first()
    return call, call.rule_id, EndedBy(details["ended_by"]) if details else None


def _said(slip: Slip | None) -> bool:
    """The dialplan's recording was ended by the caller or by its limits, not by a fax."""
    return slip is not None and slip.ended_by in {EndedBy.HASH, EndedBy.LIMIT, EndedBy.SILENCE}


def _rule_of(slip: Slip | None) -> str | None:
    """The rule that took the call, where the slip says so."""
    return slip.rule[:LONGEST_ID] if slip and slip.rule else None


def _call_of(stem: str) -> str:
    """`node-1763.12-2` is the second file of `node-1763.12`."""
    head, _, tail = stem.rpartition("-")
    return head if "." in head and tail.isdecimal() and len(tail) < 3 else stem


def _source(slip: Slip | None) -> MessageSource:
    return MessageSource.DIALPLAN if slip and slip.source == "dialplan" else MessageSource.CONTROL_PLANE


def _result_of(outcome: MessageOutcome | None, slip: Slip | None) -> str:
    """How a call came out whose recording was settled before, or that left none."""
    if outcome:
        return "message" if outcome is MessageOutcome.KEPT else "no_message"
    if slip is not None and slip.fax:
        return "fax" if slip.fax in {"SUCCESS", "GIVEN"} else "fax_failed"
    if slip is None or not slip.dial:
        return "hung_up"
    return RESULTS.get(slip.dial, "no_answer")


async def _infer(files: tuple[Path, ...], slip: Slip | None) -> EndedBy:
    return await asyncio.to_thread(_inferred, files, slip is not None and slip.caller_stayed)


def _inferred(files: tuple[Path, ...], caller_stayed: bool) -> EndedBy:
    try:
        sounds = [read_wav(path.read_bytes()) for path in files if path.stat().st_size]
    except (NotARecording, OSError):
        return EndedBy.ERROR
    return infer_ended_by(sum(sound.duration_s for sound in sounds), caller_stayed)


def _read_slip(path: Path) -> Slip | None:
    try:
        return parse_slip(path.read_text(errors="replace"))
    except FileNotFoundError:
        return None


def _set_aside(folder: Path, paths: list[Path]) -> None:
    folder.mkdir(exist_ok=True)
    for path in paths:
        path.rename(folder / path.name)
