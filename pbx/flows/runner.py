"""Gives every call a script and every script an ending.

It hears of calls from the ARI session, runs one task for each, and closes it once, whatever came out:
an outcome, a hang-up, a database that is away, or a mistake of ours. What it cannot do itself it hands to
the dialplan, which can.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ari import Ari, Json, calls_of
from pbx.asterisk.call import CAUSE_NORMAL, Call, Milestone, Recording
from pbx.asterisk.supervisor import Supervisor
from pbx.dialplan.names import (
    CONTEXT_AWAY,
    CONTEXT_DEVICE_AWAY,
    METER_CHANNEL,
    STASIS_OUTBOUND,
    STASIS_UNANSWERED,
)
from pbx.errors import AsteriskAway, AsteriskRefused, HungUp, StoreAway
from pbx.flows.inbound import Outcome, Surroundings, inbound
from pbx.flows.outbound import Placing, outbound, place, record_of
from pbx.flows.rusurepo import Greeting
from pbx.routing.caller import identify_caller
from pbx.routing.inbound import shown_name
from pbx.routing.limits import MESSAGE_S
from pbx.spool.keep import Keeping, Taken
from pbx.spool.slip import Slip, format_slip
from settings.logs import call_id as logged_call_id
from store import credit
from store.arrivals import Arrival, Caller, Rule, look_up
from store.database import Database
from store.journal import CallJournal
from store.media import Media
from store.models import Call as CallRow
from store.models import CallerKind, FaxUse, JournalEntry, MessageSource, now
from store.phonebook_names import name_of
from store.prompts import media_name

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_UP_LIMIT_S = 1.0
"""A caller waits no longer for the database; then the dialplan takes the call."""

SLIP_AFTER_S = 1.0
TONE = "tone"
LONGEST_DIALLED = 40
"""Somebody may dial any number of digits; the record of the call has room for these."""


@dataclass(frozen=True)
class Parts:
    """What the runner works with."""

    ari: Ari
    database: Database
    journal: CallJournal
    media: Media
    supervisor: Supervisor
    keeping: Keeping
    spool: Path
    sounds: Path
    show: Callable[[str, str], Awaitable[None]]
    """Have the telephones that will ring for a call (its id) show a name, best effort."""

    node: str


class Runner:
    """Every call of this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.calls: dict[str, Call] = {}

    # ---- events ----------------------------------------------------------------------------------

    def on_event(self, event: Json) -> None:
        """Take in one ARI event."""
        if event["type"] == "StasisStart":
            if event["channel"]["id"].startswith(METER_CHANNEL):
                return
            self._start(event["channel"], event["args"], {})
            return
        call = self.calls.get(_channel_of(event))
        if call is not None:
            call.heard(event)

    async def synchronise(self) -> None:
        """After (re)connecting: end what has ended unheard, take up what a dead controller left."""
        known = list(self.calls.values())
        channels = {channel["id"]: channel for channel in await self._parts.ari.channels()}
        ours = await self._parts.ari.our_channel_ids() & channels.keys()
        for call in known:
            if call.id not in ours:
                call.gone(elsewhere=call.id in channels)
            else:
                await call.catch_up()
        for left in [channel for channel in ours if channel.startswith(METER_CHANNEL)]:
            await self._parts.ari.hang_up(left, CAUSE_NORMAL)
            ours.discard(left)
        forsaken = ours - self.calls.keys()
        pasts = await self._pasts(forsaken) if forsaken else {}
        for channel_id in forsaken:
            self._take_up(channels[channel_id], pasts.get(channel_id, {}))
        await self._close_orphans(calls_of(channels.values()) | self.calls.keys())

    def _take_up(self, channel: Json, past: dict[str, Milestone]) -> None:
        """A channel in our application that nobody works on: run its script again from what was done."""
        application, *arguments = str(channel["dialplan"]["app_data"]).split(",")
        log.warning("taking up a call of %s", application, extra={"action": "taken_up"})
        self._start(channel, arguments, {**past, "taken_up": Milestone(now())})

    async def _pasts(self, call_ids: Iterable[str]) -> dict[str, dict[str, Milestone]]:
        """The journals of calls: call -> event -> its first time. Empty while the database is away."""
        pasts: dict[str, dict[str, Milestone]] = {}
        try:
            async with asyncio.timeout(LOOK_UP_LIMIT_S), self._parts.database.session() as session:
                entries = await session.scalars(
                    select(JournalEntry).where(JournalEntry.call_id.in_(call_ids)).order_by(JournalEntry.id)
                )
                for entry in entries:
                    past = pasts.setdefault(entry.call_id, {})
                    past.setdefault(entry.event, Milestone(entry.at, entry.details))
        except (SQLAlchemyError, OSError, TimeoutError):
            return {}
        return pasts

    async def _close_orphans(self, alive: set[str]) -> None:
        """Close the records of calls whose end nobody saw; those the spool still holds are adopted."""
        for orphan in await self._open_calls() - alive:
            if not any(self._parts.spool.glob(f"{orphan}*")):
                self._parts.journal.note(orphan, "ended", result="ended_unseen")
                self._parts.journal.change_call(orphan, ended_at=now(), result="ended_unseen")
                self._parts.supervisor.start(f"release {orphan}", self._release(orphan))

    async def _open_calls(self) -> set[str]:
        """Calls of this node whose record was not closed; none while the database is away."""
        try:
            async with asyncio.timeout(LOOK_UP_LIMIT_S), self._parts.database.session() as session:
                query = select(CallRow.id).where(CallRow.node == self._parts.node, CallRow.ended_at.is_(None))
                return set(await session.scalars(query))
        except (SQLAlchemyError, OSError, TimeoutError):
            return set()

    # ---- one call --------------------------------------------------------------------------------

    def _start(self, channel: Json, arguments: list[str], past: dict[str, Milestone]) -> None:
        kind, dialled, presentation, rule_id, started_at = (*arguments, "", "", "", "", "")[:5]
        known = self.calls.get(channel["id"])
        came_back = kind == STASIS_UNANSWERED and known is not None and known.rang_for is None
        if known is not None and not came_back:
            # It came while we were taking up what a dead controller left, and was among that.
            return
        outgoing = kind == STASIS_OUTBOUND
        caller = (
            Caller(None, CallerKind.NUMBER)
            if outgoing
            else identify_caller(channel["caller"]["number"], channel["caller"]["name"], presentation)
        )
        call = Call(
            id=channel["id"],
            ari=self._parts.ari,
            journal=self._parts.journal,
            spool=self._parts.spool,
            dialled=dialled,
            caller=caller.number,
            caller_kind=caller.kind,
            started_at=past["arrived"].at if "arrived" in past else _when_started(started_at),
            answered_at=_when_answered(past) if channel["state"] == "Up" else None,
            rang_for=rule_id if kind == STASIS_UNANSWERED else None,
            device=presentation if outgoing else None,
            past=past,
        )
        self.calls[call.id] = call
        self._parts.supervisor.start(f"call {call.id}", self._run(call))

    async def _run(self, call: Call) -> None:
        logged_call_id.set(call.id)
        try:
            outcome = await self._script(call)
        except HungUp:
            outcome = Outcome.HUNG_UP
        except Exception:
            log.exception("the script of a call failed", extra={"action": "script_failed"})
            outcome = await self._fall_back(call)
        # A cancelled task does not come here: we are stopping, and whoever starts next takes the call up.
        await self._close(call, outcome)

    async def _script(self, call: Call) -> Outcome | str:
        if call.device is not None:
            return await self._call_out(call, call.device)
        try:
            arrival = await self._look_up(call)
        except StoreAway as away:
            log.warning("the dialplan takes the call: %s", away, extra={"action": "store_away"})
            return await self._fall_back(call)
        if call.rang_for is not None and not call.past:
            await self._remember(call)
        call.listens_for_fax = arrival is not None and arrival.fax is FaxUse.SHARED
        self._open(call, arrival)
        return await inbound(
            call,
            arrival,
            self._greeting,
            lambda call, recording: self._keep(call, recording, arrival),
            Surroundings(self._parts.sounds, self._show),
        )

    async def _show(self, call: Call, arrival: Arrival) -> None:
        question = partial(name_of, account_id=arrival.account_id, e164=call.caller or "")
        try:
            name = await self._asked(question, self._parts.database.reading) if call.caller else None
        except StoreAway:
            name = None
        if shown := shown_name(name, arrival.display_name):
            await self._parts.show(call.id, shown)

    async def _look_up(self, call: Call) -> Arrival | None:
        return await self._asked(
            partial(
                look_up,
                e164=call.dialled,
                caller=Caller(call.caller, call.caller_kind),
                rule_id=call.rang_for,
            ),
            self._parts.database.reading,
        )

    async def _asked(
        self,
        question: Callable[[Connection], T],
        ask: Callable[[Callable[[Connection], T]], Awaitable[T]],
    ) -> T:
        """Ask in one of the database's ways, no longer than a caller waits. Raises StoreAway."""
        try:
            async with asyncio.timeout(LOOK_UP_LIMIT_S):
                return await ask(question)
        except (SQLAlchemyError, OSError, TimeoutError) as problem:
            raise StoreAway(f"{type(problem).__name__}: {problem}") from problem

    async def _call_out(self, call: Call, username: str) -> Outcome | str:
        dialled = call.dialled[:LONGEST_DIALLED]
        question = partial(place, username=username, dialled=dialled, call_id=call.id, at=call.started_at)
        try:
            placing = await self._asked(question, self._parts.database.transaction)
        except StoreAway as away:
            log.warning("the dialplan takes the call: %s", away, extra={"action": "store_away"})
            return await self._fall_back(call)
        self._open_outgoing(call, placing, dialled)
        try:
            return await outbound(call, placing, self._parts.sounds)
        finally:
            if not call.handed_over:
                # Nobody was called, so nothing will be charged.
                self._parts.supervisor.start(f"release {call.id}", self._release(call.id))

    async def _release(self, call_id: str) -> None:
        try:
            await self._asked(partial(credit.release, call_id=call_id), self._parts.database.transaction)
        except StoreAway as away:
            log.warning("what was set aside stays set aside: %s", away, extra={"action": "not_released"})

    def _open_outgoing(self, call: Call, placing: Placing, dialled: str) -> None:
        if "arrived" in call.past:
            call.journal.note(call.id, "taken_up")
            return
        self._parts.journal.open_call(
            id=call.id,
            node=self._parts.node,
            caller_kind=CallerKind.NUMBER,
            started_at=call.started_at,
            **record_of(placing, dialled),
        )
        call.journal.note(call.id, "arrived", dialled=dialled)

    async def _remember(self, call: Call) -> None:
        """A call that rang first has its record, and needs no slip of the ringing."""
        try:
            async with asyncio.timeout(LOOK_UP_LIMIT_S):
                await self._parts.journal.flushed()
        except TimeoutError:
            return
        past = (await self._pasts([call.id])).get(call.id, {})
        if "arrived" in past:
            call.past = {"arrived": past["arrived"]}
            call.started_at = past["arrived"].at
            await asyncio.to_thread((self._parts.spool / f"{call.id}.slip").unlink, missing_ok=True)

    def _open(self, call: Call, arrival: Arrival | None) -> None:
        """Write the call's record. One that was taken up or rang first may have it already."""
        if "arrived" in call.past:
            call.journal.note(call.id, "taken_up" if "taken_up" in call.past else "unanswered")
            return
        opened = self._parts.journal.open_call(
            id=call.id,
            node=self._parts.node,
            account_id=arrival and arrival.account_id,
            number_id=arrival and arrival.number_id,
            dialled=call.dialled[:LONGEST_DIALLED],
            caller=call.caller,
            caller_kind=call.caller_kind,
            started_at=call.started_at,
        )
        call.journal.note(call.id, "arrived", dialled=call.dialled, caller_kind=call.caller_kind.value)
        asyncio.get_running_loop().call_later(SLIP_AFTER_S, self._slip_if_unwritten, call, opened)

    def _slip_if_unwritten(self, call: Call, opened: "asyncio.Future[None]") -> None:
        """While the database is away the call's facts wait beside its recording."""
        if not opened.done() and call.id in self.calls:
            self._parts.supervisor.start(f"slip {call.id}", self._write_slip(call))

    async def _write_slip(self, call: Call) -> None:
        slip = Slip(
            number=call.dialled,
            caller=call.caller or "",
            caller_name="" if call.caller else call.caller_kind.value,
            presentation="allowed" if call.caller else "prohib",
            started_at=call.started_at,
            source=MessageSource.CONTROL_PLANE.value,
        )
        path = self._parts.spool / f"{call.id}.slip"
        await asyncio.to_thread(path.write_text, format_slip(slip))

    def _greeting(self, rule: Rule) -> Greeting:
        def sound(sha256: str) -> Path:
            return self._parts.media.path(media_name(sha256)).with_suffix("")

        return Greeting(sound(rule.start_prompt), self._parts.sounds / TONE, sound(rule.end_prompt))

    async def _keep(self, call: Call, recording: Recording, arrival: Arrival | None) -> bool:
        assert arrival is not None
        if "message_kept" in call.past:
            # If the row was not committed with this note, the spool still holds all, and is swept.
            return True
        taken = Taken(
            call_id=call.id,
            account_id=arrival.account_id,
            number_id=arrival.number_id,
            caller=call.caller,
            caller_kind=call.caller_kind,
            started_at=call.started_at,
            ended_by=recording.ended_by,
            source=MessageSource.CONTROL_PLANE,
            files=recording.files,
            rule_id=rule.id if (rule := arrival.rule or arrival.unanswered_rule) else None,
        )
        try:
            return await self._parts.keeping.keep(taken, call.ended)
        except OSError as problem:
            log.error("the message waits in the spool: %s", problem, extra={"action": "media_away"})
            call.journal.note(call.id, "message_waits", reason=str(problem))
            return True

    # ---- endings ---------------------------------------------------------------------------------

    async def _fall_back(self, call: Call) -> Outcome:
        """Let the dialplan do it, as it does while we are away. A recording that runs is awaited first."""
        try:
            if call.recording is None and (call.spool / f"{call.id}.wav").exists():
                await call.recorded(MESSAGE_S)
            await call.hand_to_dialplan(CONTEXT_DEVICE_AWAY if call.device else CONTEXT_AWAY)
            return Outcome.HANDED_OVER
        except HungUp:
            return Outcome.HUNG_UP
        except Exception:
            log.exception("a call could not be handed to the dialplan", extra={"action": "hand_over_failed"})
            return Outcome.FAILED

    async def _close(self, call: Call, outcome: Outcome | str) -> None:
        try:
            await call.hang_up()
        except (HungUp, AsteriskAway, AsteriskRefused):
            pass
        finally:
            if self.calls.get(call.id) is call:
                # It may have come back from the dialplan already.
                del self.calls[call.id]
        call.over.set()
        if call.handed_over:
            call.journal.note(call.id, "became_fax" if call.became_fax else "handed_to_dialplan")
            if call.became_fax:
                call.journal.change_call(call.id, answered_at=call.answered_at)
            return
        call.journal.note(call.id, "ended", result=str(outcome))
        call.journal.change_call(call.id, answered_at=call.answered_at, ended_at=now(), result=str(outcome))


def _when_started(epoch_s: str) -> datetime:
    """As the dialplan tells of a call that rang first; else now."""
    return datetime.fromtimestamp(int(epoch_s), UTC) if epoch_s.isdecimal() else now()


def _when_answered(past: dict[str, Milestone]) -> datetime:
    return past["answered"].at if "answered" in past else now()


def _channel_of(event: Json) -> str:
    """The channel an event is about: its own, or the target of its playback or recording."""
    if "channel" in event:
        return str(event["channel"]["id"])
    target: str = (event.get("playback") or event.get("recording") or {}).get("target_uri", "")
    return target.removeprefix("channel:")
