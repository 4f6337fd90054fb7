"""留守レポ from the first ring to the last note, with a scripted caller under virtual time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pbx.spool.sound import read_wav
from store.models import EndedBy, FaxUse, MessageOutcome
from tests.fakes.exchange import ARRIVAL, START, START_S, TONE_S, Exchange
from tests.fakes.scripted_caller import CALL_ID, ScriptedCaller, said_at
from tests.virtual_time import in_virtual_time

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("virtual_clock")]

RECORDING_AT = START_S + TONE_S
WHOLE_STORY = [
    "arrived",
    "rule_consulted",
    "answered",
    "lined_up",
    "start_prompt_ended",
    "tone_ended",
    "recording_started",
    "recording_ended",
    "message_kept",
    "end_prompt_ended",
    "ended",
]


@pytest.fixture
def caller(tmp_path: Path) -> ScriptedCaller:
    spool = tmp_path / "spool"
    spool.mkdir()
    return ScriptedCaller(spool)


@pytest.fixture
def exchange(tmp_path: Path, caller: ScriptedCaller) -> Exchange:
    return Exchange(tmp_path, caller)


def story(exchange: Exchange) -> list[str]:
    """The journal without what two tasks may write in either order."""
    return sorted(exchange.journal.events, key=lambda event: event == "message_kept")


def assert_told(exchange: Exchange, expected: list[str]) -> None:
    """The journal says this in this order; `message_kept` runs beside the end prompt."""
    assert story(exchange) == sorted(expected, key=lambda event: event == "message_kept")


def assert_tidy(exchange: Exchange) -> None:
    assert exchange.journal.openings == 1
    assert exchange.journal.events.count("ended") == 1
    assert exchange.journal.calls[CALL_ID]["ended_at"] is not None
    assert exchange.runner.calls == {}
    assert exchange.spool == []


def assert_one_message(exchange: Exchange, ended_by: EndedBy, seconds: float, abs: float = 0.05) -> None:
    """One message, its jobs once each, and every moment in it once."""
    (message,) = exchange.journal.messages
    assert [(job["kind"], job["subject_id"]) for job in exchange.journal.jobs] == [
        ("signal_devices", message["number_id"]),
        ("transcribe", message["id"]),
        ("report_message", message["id"]),
    ]
    assert message["rule_id"] == "rule"
    assert message["ended_by"] is ended_by
    assert message["duration_s"] == pytest.approx(seconds, abs=abs)
    assert exchange.outcome is MessageOutcome.KEPT
    sound = read_wav(exchange.message())
    assert sound.header_right
    assert sound.duration_s == pytest.approx(message["duration_s"], abs=0.001)
    spoken = [at for at in said_at(sound.pcm) if at]
    assert spoken == sorted(set(spoken))


# ---- why a recording ends --------------------------------------------------------------------------


@in_virtual_time
async def test_a_call_from_beginning_to_end(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.presses("#", 12, since="recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 12)
    assert_told(exchange, WHOLE_STORY)
    assert_tidy(exchange)
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    row = exchange.journal.calls[CALL_ID]
    assert row["started_at"] < row["answered_at"] < row["ended_at"]
    assert exchange.journal.entry("rule_consulted").details["decision"] == "take_message"


@in_virtual_time
async def test_fifty_seconds_are_fifty_seconds(exchange: Exchange, caller: ScriptedCaller) -> None:
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.LIMIT, 50.0, abs=0.02)
    assert_told(exchange, WHOLE_STORY)
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]


Script = Callable[[ScriptedCaller], ScriptedCaller]

ENDINGS: list[tuple[str, Script, EndedBy, float]] = [
    ("hash", lambda c: c.presses("#", 3, "recording"), EndedBy.HASH, 3),
    ("other digits do not end it", lambda c: c.presses("1", 3, "recording"), EndedBy.LIMIT, 50),
    ("hang-up", lambda c: c.hangs_up(20, "recording"), EndedBy.HANGUP, 20),
    ("hash, then at once hang-up", lambda c: c.presses("#", 5, "recording").hangs_up(5.001, "recording"),
     EndedBy.HASH, 5),
    ("silence", lambda c: c.is_silent(7, 99), EndedBy.SILENCE, 7.2),
    ("silence after a gap", lambda c: c.sends_nothing(7, 11.5).is_silent(11.5, 99), EndedBy.SILENCE, 7.4),
    ("gaps that add up are no silence",
     lambda c: c.sends_nothing(2, 5).sends_nothing(6, 8).sends_nothing(12, 17).presses("#", 20, "recording"),
     EndedBy.HASH, 10),
    ("a pause for breath is no silence", lambda c: c.is_silent(7, 14).presses("#", 20, "recording"),
     EndedBy.HASH, 20),
    ("no more packets", lambda c: c.sends_nothing(7, 99), EndedBy.SILENCE, 7),
]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "ended_by", "seconds"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
@in_virtual_time
async def test_why_a_recording_ends(
    exchange: Exchange, caller: ScriptedCaller, script: Script, ended_by: EndedBy, seconds: float
) -> None:
    script(caller)
    assert await exchange.take() == "message"
    assert_one_message(exchange, ended_by, seconds)
    assert exchange.journal.entry("recording_ended").details["ended_by"] == ended_by
    assert_tidy(exchange)


@in_virtual_time
async def test_a_refused_recording_is_an_error_and_the_caller_is_thanked(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.refused = {"record"}
    assert await exchange.take() == "no_message"
    assert exchange.journal.entry("recording_ended").details["ended_by"] == "error"
    assert "recording_failed" in exchange.journal.events
    assert exchange.outcome is MessageOutcome.NOTHING_SAID
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    assert_tidy(exchange)


# ---- digits ----------------------------------------------------------------------------------------


@in_virtual_time
async def test_hash_skips_the_start_prompt_and_does_not_end_the_recording(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.presses("#", 1.5, "start_prompt").presses("#", 4, "recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 4)
    assert exchange.journal.entry("start_prompt_ended").details == {"how": "skipped"}
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]
    began = exchange.journal.entry("recording_started").at - exchange.journal.entry("lined_up").at
    assert began.total_seconds() == pytest.approx(1.5 + TONE_S, abs=0.05)


@in_virtual_time
async def test_impatient_hashes_do_not_end_the_recording(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.presses("#", 1.5, "start_prompt").presses("#", 0.2, "tone").presses("#", 9, "recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 9)


@in_virtual_time
async def test_other_digits_do_not_skip_the_prompt(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.presses("5", 1, "start_prompt").presses("*", 2, "start_prompt").presses("#", 4, "recording")
    assert await exchange.take() == "message"
    assert exchange.journal.entry("start_prompt_ended").details == {"how": "finished"}


@in_virtual_time
async def test_a_hash_that_asterisk_did_not_take_ends_the_recording_all_the_same(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    """Pressed in the moment in which the recording was only about to begin."""
    caller._plans("recording", 2.0, lambda: caller._emit(
        {"type": "ChannelDtmfReceived", "digit": "#", "channel": caller._channel()}
    ))  # fmt: skip
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 3)


# ---- what is no message ----------------------------------------------------------------------------


@in_virtual_time
async def test_a_slip_of_the_finger_is_no_message(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.presses("#", 0.9, "recording")
    assert await exchange.take() == "no_message"
    assert exchange.outcome is MessageOutcome.NOTHING_SAID
    assert exchange.journal.messages == []
    assert "nothing_said" in exchange.journal.events
    assert_tidy(exchange)


@in_virtual_time
async def test_only_silence_is_no_message(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.is_silent(1.5, 99, since="recording").is_silent(0, 1.5)
    assert await exchange.take() == "no_message"
    assert exchange.journal.entry("recording_ended").details == {"ended_by": "silence", "files": 1}
    assert exchange.journal.entry("nothing_said").details == {"reason": "only silence"}
    assert_tidy(exchange)


@in_virtual_time
async def test_no_packet_at_all_ends_the_call_soon(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.sends_nothing(0, 999, since="call")
    assert await exchange.take() == "no_message"
    assert exchange.journal.entry("recording_ended").details == {"ended_by": "silence", "files": 2}
    assert caller.ended_at == pytest.approx(RECORDING_AT + 8 + 2, abs=0.2)
    assert_tidy(exchange)


@in_virtual_time
async def test_a_gap_of_five_seconds_loses_nothing(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.sends_nothing(10, 15).presses("#", 25, "recording")
    assert await exchange.take() == "message"
    assert caller.recorded == [CALL_ID, f"{CALL_ID}-2"]
    # Asterisk would have taken the gap for the end.
    assert caller.heard == ["start_prompt", "tone", "end_prompt-2"]
    assert_one_message(exchange, EndedBy.HASH, 20)
    times = said_at(read_wav(exchange.message()).pcm)
    assert times[0] == pytest.approx(RECORDING_AT, abs=0.05)
    assert times[-1] == pytest.approx(RECORDING_AT + 25, abs=0.05)
    assert_tidy(exchange)


@in_virtual_time
async def test_gaps_do_not_stretch_the_limit(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.sends_nothing(10, 15).sends_nothing(30, 36)
    assert await exchange.take() == "message"
    assert len(caller.recorded) == 3
    assert_one_message(exchange, EndedBy.LIMIT, 39)
    lasted = exchange.journal.entry("recording_ended").at
    assert (lasted - exchange.journal.entry("recording_started").at).total_seconds() == pytest.approx(
        50, abs=0.05
    )


@in_virtual_time
async def test_hash_in_a_gap_ends_the_recording(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.sends_nothing(10, 30).presses("#", 12, "recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 10)


# ---- what fails beside -------------------------------------------------------------------------------


@in_virtual_time
async def test_a_missing_start_prompt_costs_nothing(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.missing = {START}
    caller.presses("#", 6, "recording")
    assert await exchange.take() == "message"
    assert exchange.journal.entry("start_prompt_ended").details == {"how": "failed"}
    assert_one_message(exchange, EndedBy.HASH, 6)


@in_virtual_time
async def test_a_refused_prompt_costs_nothing(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.refused = {"play"}
    caller.presses("#", 6, "recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 6)
    assert_tidy(exchange)


@in_virtual_time
async def test_a_refused_hang_up_costs_nothing(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.refused = {"hang_up"}
    caller.presses("#", 6, "recording").hangs_up(30)
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HASH, 6)
    assert_tidy(exchange)


@in_virtual_time
async def test_a_full_disk_cuts_the_message_and_is_told(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.disk_bytes = 32000
    assert await exchange.take() == "message"
    # Every further file has room for two seconds in this double; none is longer.
    (message,) = exchange.journal.messages
    assert message["ended_by"] is EndedBy.ERROR


@in_virtual_time
async def test_a_disk_without_any_room_ends_at_once(exchange: Exchange, caller: ScriptedCaller) -> None:
    caller.disk_bytes = 0
    assert await exchange.take() == "no_message"
    assert exchange.journal.entry("recording_ended").details == {"ended_by": "error", "files": 2}
    # The first good-bye is stopped: another file may have room.
    assert caller.heard == ["start_prompt", "tone", "end_prompt", "end_prompt-2"]


@in_virtual_time
async def test_a_failing_media_folder_leaves_everything_in_the_spool(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    exchange.media.folder.write_text("a file where the folder should be")
    caller.presses("#", 6, "recording")
    assert await exchange.take() == "message"
    assert "message_waits" in exchange.journal.events
    assert exchange.outcome is None
    assert exchange.journal.messages == []
    assert exchange.spool == [f"{CALL_ID}.wav"]
    assert read_wav((caller.spool / f"{CALL_ID}.wav").read_bytes()).duration_s == pytest.approx(6, abs=0.05)
    assert caller.heard == ["start_prompt", "tone", "end_prompt"]


# ---- the caller goes, at every step ------------------------------------------------------------------

QUEUED = WHOLE_STORY[:4]
RECORDED = WHOLE_STORY[:8]
KEPT = [*RECORDED, "message_kept"]
OPTIONAL = {
    "lined_up",
    "start_prompt_queued",
    "tone_queued",
    "recording_queued",
    "start_prompt_ended",
    "tone_ended",
    "end_prompt_ended",
}
"""A caller who goes may cut these off."""

HANGS_UP: list[tuple[str, float, str, str, list[str]]] = [
    ("before the answer", 0, "call", "hung_up", ["arrived", "rule_consulted", "ended"]),
    ("while it is answered", 0.001, "call", "hung_up", ["arrived", "rule_consulted", "ended"]),
    ("start prompt begins", 0, "start_prompt", "hung_up", [*WHOLE_STORY[:3], "ended"]),
    ("in the start prompt", 2.5, "start_prompt", "hung_up", [*QUEUED, "ended"]),
    ("in the tone", 0.2, "tone", "hung_up", [*QUEUED, "ended"]),
    ("recording begins", 0, "recording", "no_message", [*RECORDED, "nothing_said", "ended"]),
    ("nothing said yet", 0.5, "recording", "no_message", [*RECORDED, "nothing_said", "ended"]),
    ("1 s", 1.02, "recording", "message", [*KEPT, "ended"]),
    ("20 s", 20, "recording", "message", [*KEPT, "ended"]),
    ("just before the limit", 49.99, "recording", "message", [*KEPT, "ended"]),
    ("in the end prompt", 1, "end_prompt", "message", [*KEPT, "ended"]),
    ("after the end prompt", 2.001, "end_prompt", "message", [*KEPT, "ended"]),
]  # fmt: skip


@pytest.mark.parametrize("dying_s", [0.0, 0.001, 0.5], ids=["burst", "quick", "slow"])
@pytest.mark.parametrize(
    ("at", "since", "result", "told"), [row[1:] for row in HANGS_UP], ids=[row[0] for row in HANGS_UP]
)
@in_virtual_time
async def test_the_caller_hangs_up_at_every_step(
    exchange: Exchange,
    caller: ScriptedCaller,
    dying_s: float,
    at: float,
    since: str,
    result: str,
    told: list[str],
) -> None:
    caller.dying_s = dying_s
    caller.hangs_up(at, since)
    assert await exchange.take() == result
    assert [event for event in story(exchange) if event not in OPTIONAL] == [
        event for event in sorted(told, key=lambda event: event == "message_kept") if event not in OPTIONAL
    ]
    assert len(exchange.journal.messages) == (result == "message")
    assert caller.context == ""
    assert_tidy(exchange)


# ---- Asterisk goes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("since", ["start_prompt", "recording", "end_prompt"])
@in_virtual_time
async def test_asterisk_dies_at_every_step(exchange: Exchange, caller: ScriptedCaller, since: str) -> None:
    caller.presses("#", 8, "recording").asterisk_dies(1.5, 3.0, since=since)
    result = await exchange.take()
    assert result == {"start_prompt": "hung_up"}.get(since, "message")
    assert_tidy(exchange)


@in_virtual_time
async def test_a_recording_cut_by_asterisks_death_is_an_error_and_all_there(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    caller.asterisk_dies(7, 3.0, since="recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.ERROR, 7)


# ---- a fax is heard ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "at", "told"),
    [
        ("start_prompt", 0.4, []),
        ("tone", 0.2, ["start_prompt_ended"]),
        ("recording", 0.0, ["start_prompt_ended", "tone_ended", "recording_started"]),
        ("recording", 7.0, ["start_prompt_ended", "tone_ended", "recording_started"]),
    ],
)
@pytest.mark.parametrize("leaving_s", [0.0, 0.3])
@in_virtual_time
async def test_a_fax_leaves_no_message(
    exchange: Exchange, caller: ScriptedCaller, since: str, at: float, told: list[str], leaving_s: float
) -> None:
    """Whenever it is heard; its slip says the rest."""
    exchange.runner.arrival = replace(ARRIVAL, fax=FaxUse.SHARED)
    caller.dying_s = leaving_s
    caller.sends_fax(at, since=since)
    await exchange.take()
    assert exchange.journal.messages == []
    assert caller.context == "fax-rx"
    assert exchange.journal.events == [
        "arrived",
        "rule_consulted",
        "answered",
        "lined_up",
        *told,
        "became_fax",
    ]
    assert exchange.journal.calls[CALL_ID]["answered_at"] is not None
    assert "hang_up" not in caller.commands
    # What was lined up behind a prompt would hold the channel where no packet comes.
    assert "stop_recording" in caller.commands or not leaving_s


@in_virtual_time
async def test_a_prompt_that_fails_on_a_shared_number_costs_no_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    """Only where Asterisk has heard a fax is the recording given up."""
    exchange.runner.arrival = replace(ARRIVAL, fax=FaxUse.SHARED)
    caller.missing = {START}
    caller.presses("#", 6, since="recording")
    await exchange.take()
    assert_one_message(exchange, EndedBy.HASH, 6.0)


@in_virtual_time
async def test_a_fax_after_the_message_takes_nothing_away(exchange: Exchange, caller: ScriptedCaller) -> None:
    exchange.runner.arrival = replace(ARRIVAL, fax=FaxUse.SHARED)
    caller.presses("#", 6, since="recording").sends_fax(0.3, since="end_prompt")
    await exchange.take()
    assert_one_message(exchange, EndedBy.HASH, 6.0)
    assert exchange.journal.events[-1] == "became_fax"


@pytest.mark.parametrize("since", ["start_prompt", "recording"])
@in_virtual_time
async def test_a_fax_heard_while_nobody_listens(
    exchange: Exchange, caller: ScriptedCaller, since: str
) -> None:
    """The connection is lost: what came of it is seen when it is back."""
    exchange.runner.arrival = replace(ARRIVAL, fax=FaxUse.SHARED)
    caller.loses_connection(1.0, for_s=2.0, since=since).sends_fax(1.5, since=since)
    await exchange.take()
    assert exchange.journal.messages == []
    assert exchange.journal.events[-1] == "became_fax"


@in_virtual_time
async def test_a_caller_who_hangs_up_on_a_shared_number_keeps_the_message(
    exchange: Exchange, caller: ScriptedCaller
) -> None:
    exchange.runner.arrival = replace(ARRIVAL, fax=FaxUse.SHARED)
    caller.hangs_up(7, since="recording")
    assert await exchange.take() == "message"
    assert_one_message(exchange, EndedBy.HANGUP, 7.0)
    assert_tidy(exchange)
