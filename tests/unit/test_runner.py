"""What the runner does around the scripts: numbers, fall-backs, take-ups, orphans, and exactly one ending."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pbx.asterisk.call import CAUSE_UNKNOWN_NUMBER
from pbx.errors import StoreAway
from pbx.flows.runner import LONGEST_DIALLED
from pbx.spool.sound import read_wav
from store.arrivals import Arrival, Rule
from store.models import CallerKind, FaxUse, NumberUse
from tests.fakes.exchange import ARRIVAL, Exchange, PlainRunner, virtual_now
from tests.fakes.scripted_caller import CALL_ID, ScriptedCaller
from tests.virtual_time import in_virtual_time

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("virtual_clock")]


@pytest.fixture
def caller(tmp_path: Path) -> ScriptedCaller:
    spool = tmp_path / "spool"
    spool.mkdir()
    return ScriptedCaller(spool)


@pytest.fixture
def exchange(tmp_path: Path, caller: ScriptedCaller) -> Exchange:
    return Exchange(tmp_path, caller)


async def away(_: object, call: object) -> Arrival | None:
    raise StoreAway("no database")


# ---- decisions ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_unknown_number_is_refused(exchange: Exchange, caller: ScriptedCaller) -> None:
    exchange.runner.arrival = None
    assert await exchange.take() == "unknown_number"
    assert not caller.answered
    # However often it is asked for: the last cause is what the caller is told.
    assert set(caller.causes) == {CAUSE_UNKNOWN_NUMBER}
    assert exchange.journal.calls[CALL_ID]["account_id"] is None
    assert exchange.journal.events == ["arrived", "rule_consulted", "ended"]


@in_virtual_time
async def test_a_number_that_is_for_fax_alone_answers_as_one(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    exchange.runner.arrival = Arrival("n", "a", "+81312345678", NumberUse.FAX, None, fax=FaxUse.ONLY)
    await exchange.take()
    assert (caller.context, caller.extension) == ("fax-rx", "s")
    assert exchange.journal.events == ["arrived", "rule_consulted", "handed_to_dialplan"]


@in_virtual_time
async def test_without_rusurepo_the_dialplan_rings_the_devices(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    exchange.runner.arrival = Arrival("n", "a", "+81312345678", NumberUse.VOICE, None)
    await exchange.take()
    assert (caller.context, caller.extension) == ("ring", "60-")
    assert exchange.journal.events == ["arrived", "rule_consulted", "handed_to_dialplan"]
    assert "hang_up" not in caller.commands


@in_virtual_time
async def test_a_caller_gone_before_the_dialplan_has_it_ends_the_call(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    """Nobody else would: without a channel the dialplan writes no slip."""
    exchange.runner.arrival = Arrival("n", "a", "+81312345678", NumberUse.VOICE, None)
    caller.hangs_up(0.001)
    assert await exchange.take() == "hung_up"
    assert exchange.journal.calls[CALL_ID]["ended_at"] is not None
    assert exchange.journal.events[-1] == "ended"


@in_virtual_time
async def test_the_caller_is_who_the_trunk_says(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.number, caller.name = "anonymous", "Coin line/payphone"
    caller.presses("#", 4, "recording")
    await exchange.take()
    row = exchange.journal.calls[CALL_ID]
    assert (row["caller"], row["caller_kind"]) == (None, CallerKind.PAYPHONE)
    assert exchange.journal.messages[0]["caller_kind"] is CallerKind.PAYPHONE


@in_virtual_time
async def test_any_number_of_digits_fits_the_record(exchange: Exchange, caller: ScriptedCaller) -> None:
    exchange.runner.arrival = None
    channel = caller._channel()
    caller.rings()
    exchange.runner.on_event(
        {"type": "StasisStart", "args": ["inbound", "+" + "8" * 200, ""], "channel": channel}
    )
    caller.leave()
    await exchange.take()
    assert len(exchange.journal.calls[CALL_ID]["dialled"]) <= LONGEST_DIALLED


# ---- devices that ring first ------------------------------------------------------------------------

RINGING = replace(ARRIVAL, rule=replace(ARRIVAL.rule or Rule("", "", "", ""), ring_first_s=20))


@pytest.mark.parametrize("rang_s", [0.0, 20.0])
@in_virtual_time
async def test_whom_nobody_answers_leaves_a_message(
    exchange: Exchange, caller: ScriptedCaller, rang_s: float
) -> None:
    """Without any device the call is back before our own command is answered."""
    exchange.runner.arrival = RINGING
    (caller.spool / f"{CALL_ID}.slip").write_text("dial=NOANSWER\n")
    caller.presses("#", 5, "recording")
    caller.on_continue = lambda: caller._later(rang_s, lambda: caller.comes_back("rule"))
    caller.rings()
    await eventually_virtual(lambda: len(exchange.journal.messages) == 1)
    await exchange.finish()
    assert caller.extension == "20-rule"
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    assert exchange.journal.openings == 1
    assert exchange.journal.calls[CALL_ID]["result"] == "message"
    assert exchange.journal.messages[0]["started_at"] == exchange.journal.calls[CALL_ID]["started_at"]
    assert exchange.journal.events[:2] == ["arrived", "rule_consulted"]
    assert exchange.journal.events.count("rule_consulted") == 2
    assert "unanswered" in exchange.journal.events
    assert exchange.spool == []


@in_virtual_time
async def test_a_controller_that_dies_after_the_ringing_is_followed_by_one_that_goes_on(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    exchange.arrival = exchange.runner.arrival = RINGING
    caller.presses("#", 9, "recording").controller_dies(2, "recording")
    caller.on_continue = lambda: caller._later(5, lambda: caller.comes_back("rule"))
    caller.rings()
    await eventually_virtual(lambda: len(exchange.journal.messages) == 1)
    await exchange.finish()
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    assert exchange.journal.openings == 1
    assert exchange.journal.calls[CALL_ID]["result"] == "message"
    assert "taken_up" in exchange.journal.events


@in_virtual_time
async def test_a_call_whose_record_died_with_the_controller_keeps_its_beginning(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    """Killed before the record was committed; the dialplan remembers when the call came."""
    caller.presses("#", 5, "recording")
    caller._in_application = True
    caller.comes_back("rule")
    await eventually_virtual(lambda: len(exchange.journal.messages) == 1)
    await exchange.finish()
    assert exchange.journal.openings == 1
    assert exchange.journal.calls[CALL_ID]["started_at"] == datetime.fromtimestamp(1795392000, UTC)


@in_virtual_time
async def test_a_rule_that_is_gone_after_the_ringing_ends_the_call(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    exchange.runner.arrival = RINGING

    def switch_off() -> None:
        exchange.runner.arrival = replace(RINGING, rule=None)
        caller._later(5, lambda: caller.comes_back("rule"))

    caller.on_continue = switch_off
    caller.rings()
    await eventually_virtual(lambda: caller.gone)
    await exchange.finish()
    assert exchange.journal.calls[CALL_ID]["result"] == "no_answer"


async def eventually_virtual(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110 (many things make it true)
            await asyncio.sleep(0.5)


# ---- what cannot be done here, the dialplan does -----------------------------------------------------


@in_virtual_time
async def test_without_a_database_the_dialplan_takes_the_call(
    exchange: Exchange, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainRunner, "_look_up", away)
    await exchange.take()
    assert caller.context == "control-plane-away"
    assert exchange.runner.calls == {}


@in_virtual_time
async def test_a_mistake_of_ours_hands_the_call_over(
    exchange: Exchange,
    caller: ScriptedCaller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(exchange.runner, "_greeting", broken)
    await exchange.take()
    assert caller.context == "control-plane-away"
    assert "the script of a call failed" in caplog.text


@in_virtual_time
async def test_a_mistake_while_keeping_hands_over_and_leaves_the_recording(
    exchange: Exchange, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(exchange.runner, "_keep", broken)
    caller.presses("#", 8, "recording")
    await exchange.take()
    assert caller.context == "control-plane-away"
    assert exchange.spool == [f"{CALL_ID}.wav"]
    assert exchange.journal.events.count("recording_ended") == 1


@in_virtual_time
async def test_a_recording_that_runs_is_awaited_before_the_dialplan_gets_the_call(
    exchange: Exchange, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control plane dies, and the database with it: a new one knows nothing of the call."""
    caller.presses("#", 30, "recording").controller_dies(10, "recording")

    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    def lose_database() -> None:
        monkeypatch.setattr(PlainRunner, "_look_up", away)
        monkeypatch.setattr(PlainRunner, "_pasts", nothing)

    caller._plans("recording", 9.0, lose_database)
    await exchange.take()
    assert caller.context == "control-plane-away"
    recording = read_wav((caller.spool / f"{CALL_ID}.wav").read_bytes())
    assert recording.duration_s == pytest.approx(30, abs=0.05)
    assert caller.recorded == [CALL_ID]


@in_virtual_time
async def test_a_recording_nobody_remembers_still_ends_at_the_limit(
    exchange: Exchange, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    caller.controller_dies(10, "recording")

    def lose_database() -> None:
        monkeypatch.setattr(PlainRunner, "_look_up", away)
        monkeypatch.setattr(PlainRunner, "_pasts", nothing)
        # As the file grows on a real disk.
        doing = caller._now_doing
        assert doing is not None
        caller._file(doing.name).write_bytes(bytes(44 + 16000 * 12))

    caller._plans("recording", 9.0, lose_database)
    await exchange.take()
    recording = read_wav((caller.spool / f"{CALL_ID}.wav").read_bytes())
    assert recording.duration_s == pytest.approx(50, abs=1.1)
    assert caller.recorded == [CALL_ID]


@in_virtual_time
async def test_when_even_the_hand_over_is_refused_the_call_ends(
    exchange: Exchange, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainRunner, "_look_up", away)
    caller.refused = {"continue"}
    assert await exchange.take() == "failed"
    assert caller.gone


# ---- synchronising -----------------------------------------------------------------------------------


@in_virtual_time
async def test_a_channel_is_started_once_though_event_and_list_name_it(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.presses("#", 5, "recording")
    caller.rings()
    await exchange.runner.synchronise()
    exchange.runner.on_event({"type": "StasisStart", "args": [], "channel": caller._channel()})
    assert len(exchange.runner.calls) == 1
    assert await exchange.take() == "message"
    assert exchange.journal.events.count("arrived") == 1
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]


@in_virtual_time
async def test_orphans_are_closed_unless_the_spool_has_them(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.gone = True
    for call_id in ("test-1.1", "test-1.2", "test-1.3"):
        exchange.journal.open_call(id=call_id, started_at=virtual_now())
    (caller.spool / "test-1.2.wav").write_bytes(b"x")
    (caller.spool / "test-1.3.slip").write_bytes(b"x")
    await exchange.runner.synchronise()
    closed = [call_id for call_id, row in exchange.journal.calls.items() if row.get("ended_at")]
    assert closed == ["test-1.1"]
    assert exchange.journal.calls["test-1.1"]["result"] == "ended_unseen"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ApplicationReplaced", "application": "denwaban"},
        {"type": "PlaybackFinished", "playback": {"id": "x", "target_uri": "bridge:1", "state": "done"}},
        {"type": "RecordingFinished", "recording": {"name": "x", "target_uri": "channel:other"}},
        {"type": "ChannelDestroyed", "channel": {"id": "other"}},
        {"type": "StasisEnd", "channel": {"id": CALL_ID}},
    ],
    ids=lambda event: str(event["type"]),
)
@in_virtual_time
async def test_events_of_others_are_passed_over(exchange: Exchange, event: dict[str, Any]) -> None:
    exchange.runner.on_event(event)
    assert exchange.runner.calls == {}


@in_virtual_time
async def test_being_stopped_leaves_the_call_to_whoever_starts_next(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.rings()
    await asyncio.sleep(8)
    await exchange.supervisor.drain(0)
    assert "ended" not in exchange.journal.events
    assert not caller.gone
    assert ARRIVAL.number_id == exchange.journal.calls[CALL_ID]["number_id"]


# ---- a database that is slow -------------------------------------------------------------------------


@in_virtual_time
async def test_a_call_whose_row_is_not_written_gets_a_slip(
    exchange: Exchange, caller: ScriptedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**_: object) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(exchange.journal, "open_call", never)
    caller.controller_dies(5, "recording").hangs_up(6, "recording")
    await exchange.take()
    assert exchange.spool == [f"{CALL_ID}.slip", f"{CALL_ID}.wav"]
    slip = (caller.spool / f"{CALL_ID}.slip").read_text()
    assert "number=+81312345678\n" in slip
    assert "caller=+819012345678\n" in slip
    assert "source=control_plane\n" in slip
