"""The connection to Asterisk is lost, or the control plane dies, at every step of a 留守レポ call.

Asterisk goes on by itself meanwhile. Whatever happens, the caller is played and recorded once, every moment
of the message is in the store once, and the call ends once.
"""

from pathlib import Path

import pytest

from pbx.spool.sound import read_wav
from store.models import EndedBy, MessageOutcome
from tests.fakes.exchange import Exchange
from tests.fakes.scripted_caller import CALL_ID, ScriptedCaller, said_at
from tests.virtual_time import in_virtual_time

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("virtual_clock")]
JOBS = ["signal_devices", "transcribe", "report_message"]


@pytest.fixture
def caller(tmp_path: Path) -> ScriptedCaller:
    spool = tmp_path / "spool"
    spool.mkdir()
    return ScriptedCaller(spool)


@pytest.fixture
def exchange(tmp_path: Path, caller: ScriptedCaller) -> Exchange:
    return Exchange(tmp_path, caller)


def assert_one_whole_message(exchange: Exchange, seconds: float, abs: float = 0.05) -> None:
    (message,) = exchange.journal.messages
    assert message["duration_s"] == pytest.approx(seconds, abs=abs)
    assert exchange.outcome is MessageOutcome.KEPT
    spoken = [at for at in said_at(read_wav(exchange.message()).pcm) if at]
    assert spoken == sorted(set(spoken))
    assert [job["kind"] for job in exchange.journal.jobs] == JOBS
    assert exchange.journal.openings == 1
    assert exchange.journal.events.count("ended") == 1
    assert exchange.journal.events.count("recording_ended") == 1
    # After a death in the end prompt the file is the sweep's: only the database knows that it was kept.
    assert set(exchange.spool) <= ({f"{CALL_ID}.wav"} if exchange.lives > 1 else set())


# Of the commands 1 to 6 (answer, play, play, record, play, hang up) each is the one that is lost.
@pytest.mark.parametrize("for_s", [0.1, 3.0, 20.0])
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
@pytest.mark.parametrize("command", range(1, 7))
@in_virtual_time
async def test_the_connection_is_lost_with_every_command(
    exchange: Exchange, caller: ScriptedCaller, command: int, heard: bool, for_s: float
) -> None:
    caller.presses("#", 30, "recording").cut_at_command(command, heard, for_s)
    assert await exchange.take() == "message"
    # A recording that was asked for and heard goes on while we are away.
    assert_one_whole_message(exchange, 30, abs=0.3)
    assert caller.recorded == [CALL_ID]
    # A prompt that was heard and over before we were back Asterisk does not know any more.
    forgotten = heard and command in (2, 3, 5) and for_s > 2.0
    assert sorted(set(caller.heard)) == ["end_prompt", "start_prompt", "tone"]
    assert len(caller.heard) == 3 or forgotten


@pytest.mark.parametrize("since", ["start_prompt", "recording", "end_prompt"])
@pytest.mark.parametrize("at", [0.5, 1.9, 4.0])
@pytest.mark.parametrize("for_s", [0.05, 1.0, 15.0])
@in_virtual_time
async def test_the_connection_is_lost_while_waiting(
    exchange: Exchange, caller: ScriptedCaller, since: str, at: float, for_s: float
) -> None:
    caller.presses("#", 30, "recording").loses_connection(at, for_s, since)
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 30)
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.HASH


@in_virtual_time
async def test_a_hash_while_nobody_listens_ends_the_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.presses("#", 10, "recording").loses_connection(8, 5, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 10)
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.HASH


@in_virtual_time
async def test_a_recording_that_began_and_ended_while_its_answer_was_lost(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.presses("#", 5, "recording").cut_at_command(4, heard=True, for_s=20)
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 5)
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.HASH
    assert caller.ended_at is not None
    assert caller.ended_at < 32


@in_virtual_time
async def test_a_hang_up_while_nobody_listens_keeps_the_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.hangs_up(10, "recording").loses_connection(8, 5, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 10)
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.HANGUP


@in_virtual_time
async def test_the_limit_passes_while_nobody_listens(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.loses_connection(45, 30, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 51, abs=1)
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.LIMIT


@in_virtual_time
async def test_a_connection_lost_in_the_tone_does_not_lengthen_the_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    """The recording began while nobody was looking; fifty seconds are counted from then."""
    caller.loses_connection(0.1, 20, "tone")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 50, abs=0.1)
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.LIMIT


@in_virtual_time
async def test_a_hash_that_skipped_the_prompt_does_not_end_the_message_after_a_lost_connection(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    # The fifth command stops the prompt; that it stopped nobody hears.
    caller.presses("#", 1, "start_prompt").cut_at_command(5, heard=True, for_s=0.2)
    caller.presses("#", 9, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 9)
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]


@in_virtual_time
async def test_the_connection_flaps(exchange: Exchange, caller: ScriptedCaller) -> None:
    for command in range(1, 12):
        caller.cut_at_command(command, heard=False, for_s=0.3)
    caller.presses("#", 10, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 10)
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]


@in_virtual_time
async def test_an_asterisk_away_for_long_costs_the_call_and_not_the_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.presses("#", 10, "recording").loses_connection(10.0, 200, "recording").hangs_up(30)
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 10)


# ---- the control plane dies and another takes the call up ----------------------------------------------


DEATHS = [
    ("call", 0.001),
    ("start_prompt", 0.0),
    ("start_prompt", 0.01),
    ("start_prompt", 2.0),
    ("start_prompt", 4.5),
    ("start_prompt", 4.999),
    ("tone", 0.0),
    ("tone", 0.3),
    ("recording", 0.0),
    ("recording", 0.01),
    ("recording", 10.0),
    ("recording", 29.0),
    ("recording", 30.0),
    ("end_prompt", 0.0),
    ("end_prompt", 1.0),
    ("end_prompt", 1.999),
    ("end_prompt", 2.0),
]


@pytest.mark.parametrize(("since", "at"), DEATHS)
@in_virtual_time
async def test_the_control_plane_dies_at_every_step(
    exchange: Exchange, caller: ScriptedCaller, since: str, at: float
) -> None:
    caller.presses("#", 30, "recording").controller_dies(at, since)
    assert await exchange.take() == "message"
    assert exchange.lives == 2
    assert_one_whole_message(exchange, 30, abs=0.1)
    assert caller.recorded == [CALL_ID]
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.HASH


@in_virtual_time
async def test_a_taken_up_recording_still_has_fifty_seconds_in_all(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.controller_dies(20, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 50, abs=0.1)
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.LIMIT


@in_virtual_time
async def test_death_in_the_second_file_keeps_both(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.sends_nothing(10, 15).presses("#", 30, "recording").controller_dies(20, "recording")
    assert await exchange.take() == "message"
    assert caller.recorded == [CALL_ID, f"{CALL_ID}-2"]
    assert_one_whole_message(exchange, 25)


@in_virtual_time
async def test_the_second_file_does_not_lengthen_a_taken_up_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.sends_nothing(10, 15).controller_dies(20, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 45, abs=0.1)


@in_virtual_time
async def test_the_caller_leaves_while_nobody_looks_and_the_spool_keeps_the_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.hangs_up(20, "recording").controller_dies(19, "recording")
    await exchange.take()
    assert exchange.spool == [f"{CALL_ID}.wav"]
    assert exchange.journal.events.count("ended") == 0  # The spool's sweep closes it.


@in_virtual_time
async def test_why_it_ended_is_remembered_beyond_a_death(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.is_silent(12, 99).controller_dies(0.5, "end_prompt")
    assert await exchange.take() == "message"
    assert exchange.journal.entry("recording_ended").details["ended_by"] == "silence"
    assert exchange.journal.messages[0]["ended_by"] is EndedBy.SILENCE


@in_virtual_time
async def test_a_death_between_skipped_prompt_and_tone_still_gives_the_tone(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.presses("#", 1, "start_prompt").controller_dies(0.05, "tone").presses("#", 9, "recording")
    assert await exchange.take() == "message"
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]


@in_virtual_time
async def test_two_deaths(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.presses("#", 30, "recording")
    caller.controller_dies(3, "start_prompt").controller_dies(12, "recording").controller_dies(
        0.5, "end_prompt"
    )
    assert await exchange.take() == "message"
    assert exchange.lives == 4
    assert_one_whole_message(exchange, 30)


@pytest.mark.parametrize("lost_at", [12.0, 13.99])
@in_virtual_time
async def test_a_good_bye_that_cannot_be_taken_back_costs_no_message(
    exchange: Exchange, caller: ScriptedCaller, lost_at: float
) -> None:
    """The caller makes a pause, the connection is lost, and the caller is gone when it is back."""
    caller.refused = {"stop_playback"}
    caller.sends_nothing(10, 60).loses_connection(lost_at, 3, "recording").hangs_up(14.5, "recording")
    assert await exchange.take() == "message"
    assert_one_whole_message(exchange, 10)
