"""The control plane around a scripted caller: the real runner, flows, spool and media folder, no database."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from pbx.asterisk.call import Call, Milestone
from pbx.asterisk.supervisor import Supervisor
from pbx.flows.runner import Parts, Runner
from pbx.spool.keep import Keeping
from store.arrivals import Arrival, Rule
from store.database import Database
from store.journal import CallJournal, _Deed
from store.media import Media
from store.models import MessageOutcome, NumberUse
from tests.fakes.scripted_caller import CALL_ID, ScriptedCaller

START, END, TONE = "a" * 64, "b" * 64, "tone"
START_S, END_S, TONE_S = 5.0, 2.0, 0.5
ARRIVAL = Arrival("number", "account", "+81312345678", NumberUse.VOICE, Rule("rule", "昼休み", START, END))
BEGINNING = datetime(2026, 11, 23, tzinfo=UTC)


def virtual_now() -> datetime:
    """The wall's clock, going as the loop's."""
    return BEGINNING + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Entry:
    event: str
    details: dict[str, Any]
    at: datetime


class MemoryJournal(CallJournal):
    """Commits everything at once, to lists; the store's own rule of one message per call included."""

    def __init__(self) -> None:
        super().__init__(cast(Database, None))
        self.entries: list[Entry] = []
        self.calls: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self.openings = 0

    @property
    def events(self) -> list[str]:
        return [entry.event for entry in self.entries]

    def entry(self, event: str) -> Entry:
        """The only entry of this kind."""
        (found,) = [entry for entry in self.entries if entry.event == event]
        return found

    def _take(self, deed: _Deed) -> None:
        for statement, values in deed.steps:
            self._execute(cast(Any, statement).table.name, values)
        if deed.committed is not None:
            deed.committed.set_result(None)

    def _execute(self, table: str, values: dict[str, Any]) -> None:
        if table == "call_journal":
            self.entries.append(Entry(values["event"], values["details"], values["at"]))
        elif table == "voice_messages":
            assert values["call_id"] not in [message["call_id"] for message in self.messages]
            self.messages.append(values)
        elif table == "jobs":
            self.jobs.append(values)
        elif "which" in values:
            self._change(values)
        else:
            self.openings += 1
            self.calls[values["id"]] = dict(values)

    def _change(self, values: dict[str, Any]) -> None:
        changes = {name.removeprefix("new_"): value for name, value in values.items() if name != "which"}
        row = self.calls.setdefault(values["which"], {})
        if row.get("message_outcome") is not None:
            changes.pop("message_outcome", None)
        row.update(changes)


async def shown_nowhere(call_id: str, name: str) -> None:
    """These calls ring no telephone."""


class PlainRunner(Runner):
    """The runner, asking memory instead of a database."""

    arrival: Arrival | None = ARRIVAL
    memory: MemoryJournal

    async def _show(self, call: Call, arrival: Arrival) -> None:
        """These calls ring no telephone."""

    async def _look_up(self, call: Call) -> Arrival | None:
        return self.arrival

    async def _pasts(self, call_ids: Iterable[str]) -> dict[str, dict[str, Milestone]]:
        past: dict[str, Milestone] = {}
        for entry in self.memory.entries:
            past.setdefault(entry.event, Milestone(entry.at, entry.details))
        return {CALL_ID: past}

    async def _open_calls(self) -> set[str]:
        return {call_id for call_id, row in self.memory.calls.items() if row.get("ended_at") is None}


@dataclass
class Exchange:
    """One switch, one call."""

    folder: Path
    caller: ScriptedCaller
    arrival: Arrival | None = ARRIVAL
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    lives: int = 0
    _restarting: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.media = Media(self.folder / "media")
        self.caller.lengths |= {START: START_S, END: END_S, TONE: TONE_S}
        self.caller.on_kill = self._kill
        self._begin_life()

    def _begin_life(self) -> None:
        self.lives += 1
        self.supervisor = Supervisor()
        self.runner = PlainRunner(
            Parts(
                ari=self.caller,
                database=cast(Database, None),
                journal=self.journal,
                media=self.media,
                supervisor=self.supervisor,
                keeping=Keeping(self.media, self.journal, self.supervisor),
                spool=self.caller.spool,
                sounds=Path("sounds"),
                show=shown_nowhere,
                node="test",
            )
        )
        self.runner.arrival, self.runner.memory = self.arrival, self.journal
        self.caller.on_event = self.runner.on_event
        self.caller.on_connected = self.runner.synchronise

    def _kill(self) -> None:
        self._restarting = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        """The controller is killed; another one is there two seconds later."""
        self.caller.on_event = lambda event: None
        await self.supervisor.drain(0)
        self._begin_life()
        self.caller._lose(2.0)

    async def take(self, limit_s: float = 300.0) -> str:
        """The whole call, until nothing is left to do; how it came out."""
        self.caller.rings()
        return await self.finish(limit_s)

    async def finish(self, limit_s: float = 300.0) -> str:
        """Go on until nothing is left to do; how the call came out."""
        async with asyncio.timeout(limit_s):
            while self._still_busy():  # noqa: ASYNC110 (it has many ends, none of which would wake us)
                await asyncio.sleep(0.5)
        return str(self.journal.calls.get(CALL_ID, {}).get("result"))

    def _still_busy(self) -> bool:
        restarting = self._restarting is not None and not self._restarting.done()
        return restarting or not self.caller.settled or bool(self.runner.calls) or len(self.supervisor) > 0

    @property
    def outcome(self) -> MessageOutcome | None:
        found: MessageOutcome | None = self.journal.calls[CALL_ID].get("message_outcome")
        return found

    @property
    def spool(self) -> list[str]:
        return sorted(path.name for path in self.caller.spool.iterdir())

    def message(self) -> bytes:
        """The audio file of the only message."""
        (message,) = self.journal.messages
        return self.media.path(message["media"]).read_bytes()
