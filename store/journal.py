"""The journal of calls: what happened is noted at once and committed in groups.

Notes are taken without waiting and written by one task, all that came within a moment in one transaction:
a busy switch makes some twenty transactions a second, however many calls there are. While the database is
away notes are kept and written when it is back; what must not be lost with the process has its own trace
in the spool.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, insert, select, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from store import events
from store.database import Database
from store.deliveries import REPORT_MESSAGE
from store.models import Call, Event, Job, JournalEntry, MessageOutcome, VoiceMessage, new_id, now
from store.signals import SIGNAL_DEVICES, lamp_lane

log = logging.getLogger(__name__)

GATHER_S = 0.4
"""How long notes are gathered before they are committed together."""

RETRY_S = 0.5
REPORT_AFTER = timedelta(seconds=60)
"""How long the report of a message waits for its text."""

_ENTRY = insert(JournalEntry)
_CALL = insert(Call)
_MESSAGE = insert(VoiceMessage)
_JOB = insert(Job)
_CALLS: Any = Call.__table__
_OUTCOME: Executable = (
    update(_CALLS)
    .where(_CALLS.c.id == bindparam("which"), _CALLS.c.message_outcome.is_(None))
    .values(message_outcome=bindparam("new_message_outcome"))
)
_EVENTS: Any = Event.__table__
_EVENT: Executable = insert(_EVENTS).from_select(
    ["account_id", "at", "kind", "subject_id", "data"],
    select(
        _CALLS.c.account_id,
        bindparam("at", type_=_EVENTS.c.at.type),
        bindparam("kind", type_=_EVENTS.c.kind.type),
        bindparam("subject", type_=_EVENTS.c.subject_id.type),
        bindparam("told", type_=_EVENTS.c.data.type),
    ).where(_CALLS.c.id == bindparam("which"), _CALLS.c.account_id.is_not(None)),
)
_CHANGES: dict[tuple[str, ...], Executable] = {}


@dataclass(eq=False)
class _Deed:
    """One or more statements that belong together, and whoever waits for their commit."""

    steps: list[tuple[Executable, dict[str, Any]]]
    committed: "asyncio.Future[None] | None" = field(default=None)


class CallJournal:
    """Notes of calls on their way to the database. `run` writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deeds: list[_Deed] = []
        self._something = asyncio.Event()
        self.problem = ""
        """Why the database cannot be written at the moment; empty when it can."""

    @property
    def waiting(self) -> int:
        """How many deeds are not committed yet."""
        return len(self._deeds)

    def note(self, call_id: str, event: str, **details: Any) -> None:
        """A milestone; `details` must be JSON."""
        entry = {"call_id": call_id, "at": now(), "event": event, "details": details}
        self._take(_Deed([(_ENTRY, entry)]))

    def open_call(self, **columns: Any) -> "asyncio.Future[None]":
        """A call arrived. The future is done when its row is committed."""
        started = _event(columns["id"], "call.started", columns["id"])
        return self._awaited([(_CALL, columns), started])

    def change_call(self, call_id: str, **columns: Any) -> None:
        steps = [_change(call_id, columns)]
        if columns.get("ended_at"):
            steps.append(_event(call_id, "call.ended", call_id, result=columns.get("result")))
        self._take(_Deed(steps))

    def keep_message(self, message: dict[str, Any]) -> "asyncio.Future[None]":
        """A message, its call's outcome and the jobs that follow from it, in one transaction.

        It is reported in a minute at the latest: sooner when its transcription says so.
        """
        message = {"id": new_id(), "created_at": now(), **message}
        at = now()
        jobs = (
            (SIGNAL_DEVICES, message["number_id"], at, lamp_lane(message["number_id"])),
            ("transcribe", message["id"], at, None),
            (REPORT_MESSAGE, message["id"], at + REPORT_AFTER, None),
        )
        account_id = message["account_id"]
        return self._awaited(
            [
                (_MESSAGE, message),
                *((_JOB, _job(account_id, *job)) for job in jobs),
                _settle(message["call_id"], MessageOutcome.KEPT),
                _event(message["call_id"], "message.kept", message["id"], number_id=message["number_id"]),
            ]
        )

    def settle_without_message(self, call_id: str, outcome: MessageOutcome) -> "asyncio.Future[None]":
        """There was a recording, and no message came of it. An outcome that is set already stays."""
        return self._awaited([_settle(call_id, outcome)])

    async def flushed(self) -> None:
        """Wait until everything noted so far is committed."""
        if self._deeds:
            await self._awaited([])

    def _awaited(self, steps: list[tuple[Executable, dict[str, Any]]]) -> "asyncio.Future[None]":
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever does not wait must not be told "exception was never retrieved".
        committed.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._take(_Deed(steps, committed))
        return committed

    def _take(self, deed: _Deed) -> None:
        self._deeds.append(deed)
        self._something.set()

    async def run(self) -> None:
        """Write what is noted, for ever. Cancelling it leaves nothing half written."""
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER_S)
            deeds = list(self._deeds)
            try:
                await self._write(deeds)
            except Exception as problem:
                # Whatever it is: this task must outlive it, and nothing is lost by waiting.
                self.problem = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}"
                log.warning(
                    "the journal cannot be written: %s", self.problem, extra={"action": "journal_away"}
                )
                await asyncio.sleep(RETRY_S)
                continue
            self.problem = ""
            if not self._deeds:
                self._something.clear()

    async def _write(self, deeds: list[_Deed]) -> None:
        try:
            await self._write_together(deeds)
            del self._deeds[: len(deeds)]
        except Exception as problem:
            if not _is_refusal(problem):
                raise
            # One of them cannot be written (its number was deleted meanwhile); it must not stop the rest.
            for deed in deeds:
                try:
                    await self._write_together([deed])
                except Exception as refused:
                    if not _is_refusal(refused):
                        raise
                    log.exception("a note was refused by the database", extra={"action": "note_refused"})
                    if deed.committed is not None and not deed.committed.done():
                        deed.committed.set_exception(refused)
                self._deeds.remove(deed)

    async def _write_together(self, deeds: list[_Deed]) -> None:
        steps = [step for deed in deeds for step in deed.steps]
        await self._database.transaction(lambda connection: _execute(connection, steps))
        for deed in deeds:
            if deed.committed is not None and not deed.committed.done():
                deed.committed.set_result(None)


def _execute(connection: Connection, steps: list[tuple[Executable, dict[str, Any]]]) -> None:
    """Run the steps, those of one kind together; calls come first, for the rest refer to them.

    Of several rows in one statement only the columns that the first has are written: rows with others go
    into a statement of their own.
    """
    kinds = sorted(steps, key=lambda step: _ORDER.get(id(step[0]), 9))
    if kinds and kinds[-1][0] is _EVENT:
        events.take_turn(connection)
    for _, group in groupby(kinds, key=lambda step: (id(step[0]), step[1].keys())):
        same = list(group)
        connection.execute(same[0][0], [values for _, values in same])


_ORDER = {id(_CALL): 0, id(_MESSAGE): 1, id(_JOB): 2, id(_ENTRY): 3, id(_OUTCOME): 4, id(_EVENT): 10}


def _is_refusal(problem: Exception) -> bool:
    """Whether what was to be written is at fault, and not the state of the database.

    SQLSTATE 22 is bad data (a text too long for its column), 23 a broken constraint.
    """
    if isinstance(problem, DBAPIError):
        code = str(getattr(problem.orig, "sqlstate", None) or "")
        of_data = isinstance(problem, IntegrityError | DataError) or code[:2] in {"22", "23"}
        return of_data and not problem.connection_invalidated
    return isinstance(problem, StatementError | ValueError | TypeError)


def _job(account_id: str, kind: str, subject_id: str, run_at: datetime, lane: str | None) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "kind": kind,
        "subject_id": subject_id,
        "payload": {},
        "run_at": run_at,
        "lane": lane,
    }


def _settle(call_id: str, outcome: MessageOutcome) -> tuple[Executable, dict[str, Any]]:
    return _OUTCOME, {"which": call_id, "new_message_outcome": outcome}


def _event(call_id: str, kind: str, subject_id: str, **data: Any) -> tuple[Executable, dict[str, Any]]:
    """For who follows the account of the call; nothing where the call belongs to none."""
    return _EVENT, {"which": call_id, "at": now(), "kind": kind, "subject": subject_id, "told": data}


def _change(call_id: str, columns: dict[str, Any]) -> tuple[Executable, dict[str, Any]]:
    names = tuple(sorted(columns))
    if names not in _CHANGES:
        # A Core statement: the ORM's bulk update would want the row's own key name.
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        _CHANGES[names] = update(_CALLS).where(_CALLS.c.id == bindparam("which")).values(values)
    return _CHANGES[names], {"which": call_id, **{f"new_{name}": value for name, value in columns.items()}}
