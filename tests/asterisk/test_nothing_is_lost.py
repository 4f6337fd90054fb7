"""Nothing a caller said is lost: every part is killed, cut or filled up in the middle of a call."""

import asyncio
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.asterisk.conftest import END_HZ, START_HZ, TONE_HZ, Line, short_line
from tests.asterisk.test_message import ANSWER_S, hertz_heard, reach_tone
from tests.cable import Cable, cable_to
from tests.postgres import create_database, running_postgres
from tests.running_switch import RunningSwitch, running_switch, until
from tests.sip import AUDIO, OutgoingCall, SipCaller, silence_of, speech_like, tone_of

pytestmark = pytest.mark.asterisk

RETURN_S = 5.0
"""A call is taken up, or closed, so soon after the control plane is back; the caller waits no longer."""


@contextmanager
def no_controller(switch: RunningSwitch) -> Iterator[None]:
    """The control plane is killed and cannot come back: somebody holds a port that it needs."""
    with closing(socket.socket()) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        switch.kill("controller")
        port = int(switch.environment["DENWABAN_AGI_PORT"])
        until(lambda: _bound(holder, port), 5, "the port of the dead controller is taken")
        holder.listen()
        yield
    switch.wait_ready()


def _bound(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


async def leave_message(call: OutgoingCall, seconds: float = 3.0) -> None:
    """Speak and press `#`."""
    await call.speak(speech_like(seconds))
    await call.press("#")


# ---- (a) the control plane is absent when the call arrives ---------------------------------------


def another_than(number: str) -> str:
    """A second caller's number."""
    return f"{number[:-1]}{(int(number[-1]) + 1) % 10}"


async def test_without_the_control_plane_the_dialplan_takes_the_message(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    with no_controller(switch):
        call = await reach_tone(phone, switch, line, caller_number)
        await leave_message(call)
        assert (await call.ended(10)).by == "switch"
        assert hertz_heard(call.sound) == [START_HZ, TONE_HZ, END_HZ]
        assert await switch.messages_of(caller_number) == []
    message = await switch.message_of(caller_number)
    assert message["source"] == "dialplan"
    assert message["ended_by"] == "hash"
    assert message["number_id"] == line.number_id
    assert 2.6 < message["duration_s"] < 3.9
    assert (await switch.finished_call_of(caller_number))["result"] == "message"


async def test_the_dialplan_keeps_what_was_said_before_a_hang_up(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    with no_controller(switch):
        call = await phone.invite(switch.uri(line.dialled), caller_number)
        await call.answered(ANSWER_S)
        await call.hear(AUDIO, 5)
        await call.press("#")  # skips the start prompt there as well
        await call.hear(tone_of(TONE_HZ), 5)
        await call.hear(silence_of(0.1), 5)
        await call.speak(speech_like(2.0))
        await call.hang_up()
    message = await switch.message_of(caller_number)
    assert (message["source"], message["ended_by"]) == ("dialplan", "hangup")
    assert 1.7 < message["duration_s"] < 2.9


async def test_the_dialplan_refuses_unknown_numbers_too(switch: RunningSwitch, phone: SipCaller) -> None:
    with no_controller(switch):
        call = await phone.invite(switch.uri("0399990000"), "0901234567")
        with pytest.raises(Exception, match="404"):
            await call.answered(ANSWER_S)


# ---- (b) the control plane is killed at any moment of a call --------------------------------------


@pytest.mark.parametrize(
    "moment", ["arrival", "start prompt", "tone", "recording", "just after the hash", "end prompt"]
)
async def test_the_control_plane_is_killed(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str, moment: str
) -> None:
    if moment == "arrival":
        switch.kill("controller")
    call = await phone.invite(switch.uri(line.dialled), caller_number)
    await call.answered(10)
    await call.hear(AUDIO, 10)
    if moment == "start prompt":
        switch.kill("controller")
    await call.hear(tone_of(TONE_HZ), 10)
    if moment == "tone":
        switch.kill("controller")
        await asyncio.sleep(3.0)
    await call.hear(silence_of(0.1), 5)
    await call.speak(speech_like(1.5))
    if moment == "recording":
        switch.kill("controller")
    await call.speak(speech_like(1.5))
    await call.press("#")
    pressed = time.monotonic()
    if moment == "just after the hash":
        switch.kill("controller")
    await call.hear(tone_of(END_HZ), 10)
    assert time.monotonic() - pressed < RETURN_S
    if moment == "end prompt":
        switch.kill("controller")
    assert (await call.ended(10)).by == "switch"

    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hash"
    assert 2.8 < message["duration_s"] < 7.0
    assert (await switch.finished_call_of(caller_number))["result"] == "message"
    assert (await switch.journal_of(caller_number)).count("message_kept") == 1


async def test_the_caller_hangs_up_while_the_control_plane_is_dead(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(speech_like(2.0))
    with no_controller(switch):
        await call.speak(speech_like(1.0))
        await call.hang_up()
    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hangup"
    assert 2.8 < message["duration_s"] < 3.8
    assert (await switch.finished_call_of(caller_number))["result"] == "message"


async def test_a_control_plane_that_stays_away_gives_its_callers_to_the_dialplan(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await phone.invite(switch.uri(line.dialled), caller_number)
    await call.answered(ANSWER_S)
    await call.hear(AUDIO, 5)
    with no_controller(switch):
        # It is told to be down after six seconds of silence, then the dialplan begins anew.
        await call.hear(tone_of(TONE_HZ), 20)
        await call.hear(silence_of(0.1), 5)
        await leave_message(call)
        await call.ended(10)
    message = await switch.message_of(caller_number)
    assert (message["source"], message["ended_by"]) == ("dialplan", "hash")


# ---- (c) Asterisk is killed ------------------------------------------------------------------------


async def test_asterisk_is_killed_while_it_records(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(speech_like(3.0))
    before = switch.kill("asterisk")
    message = await switch.message_of(caller_number, 20)
    call.vanish()
    assert message["ended_by"] == "error"
    assert 2.0 < message["duration_s"] < 3.5
    switch.wait_ready()
    assert switch.pid("asterisk") != before


async def test_both_are_killed_while_recording(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    await call.speak(speech_like(3.0))
    switch.kill("controller")
    switch.kill("asterisk")
    call.vanish()
    message = await switch.message_of(caller_number, 20)
    assert message["ended_by"] == "error"
    assert 2.0 < message["duration_s"] < 3.5


# ---- (d) database or disk fail during the call ------------------------------------------------------


async def test_the_database_is_locked_during_the_call(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    with closing(sqlite3.connect(switch.var / "denwaban.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await leave_message(call)
        await call.hear(tone_of(END_HZ), 10)
        await call.ended(10)
        other.execute("ROLLBACK")
    message = await switch.message_of(caller_number, 15)
    assert message["ended_by"] == "hash"


async def test_the_database_is_locked_and_the_control_plane_killed(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    with closing(sqlite3.connect(switch.var / "denwaban.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        call = await reach_tone(phone, switch, line, caller_number)
        await leave_message(call)
        await call.hear(tone_of(END_HZ), 10)
        await call.ended(10)
        switch.kill("controller")
        other.execute("ROLLBACK")
    message = await switch.message_of(caller_number, 20)
    assert message["number_id"] == line.number_id
    assert 2.6 < message["duration_s"] < 3.9


async def test_the_media_folder_cannot_be_written(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    messages, aside = switch.var / "media" / "messages", switch.var / "media" / "aside"
    messages.mkdir(exist_ok=True)
    messages.rename(aside)
    messages.write_text("in the way")
    try:
        call = await reach_tone(phone, switch, line, caller_number)
        await leave_message(call)
        await call.hear(tone_of(END_HZ), 10)
        await call.ended(10)
        assert await switch.messages_of(caller_number) == []
    finally:
        messages.unlink()
        aside.rename(messages)
    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hash"
    assert len(await switch.download(f"/api/v1/messages/{message['id']}/audio")) > 40000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 96 KB: six seconds of a caller."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", folder]).returncode:
        pytest.skip("NOT TESTED: a full disk; only root can make a small one")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
async def crowded(small_disk: Path, tmp_path: Path) -> AsyncIterator[RunningSwitch]:
    """An instance whose spool is on the small disk."""
    spool = tmp_path / "var" / "asterisk" / "spool"
    spool.mkdir(parents=True)
    (spool / "recording").symlink_to(small_disk)
    with running_switch(tmp_path / "var") as switch:
        yield switch


async def test_the_disk_is_full(
    crowded: RunningSwitch, tmp_path: Path, phone: SipCaller, caller_number: str
) -> None:
    line = await short_line(crowded, tmp_path, "0311112222")
    call = await reach_tone(phone, crowded, line, caller_number)
    await leave_message(call, 10.0)
    await call.hear(tone_of(END_HZ), 10)
    await call.ended(10)
    message = await crowded.message_of(caller_number)
    assert 4.0 < message["duration_s"] < 6.5
    until(lambda: not list(crowded.spool.glob("*.wav")), 10, "the spool is free again")
    another = another_than(caller_number)
    call = await reach_tone(phone, crowded, line, another)
    await leave_message(call, 2.0)
    await call.ended(10)
    assert (await crowded.message_of(another))["ended_by"] == "hash"


async def test_postgresql_goes_away_during_the_call(
    tmp_path: Path, phone: SipCaller, caller_number: str
) -> None:
    with running_postgres() as server:
        url = await create_database(server)
        port = int(url.rpartition(":")[2].partition("/")[0])
        with cable_to(port) as cable:
            through = url.replace(f":{port}/", f":{cable.port}/")
            with running_switch(tmp_path / "var", DENWABAN_DATABASE_URL=through) as switch:
                line = await short_line(switch, tmp_path, "0311112222")
                call = await reach_tone(phone, switch, line, caller_number)
                cable.unplug()
                await leave_message(call)
                await call.hear(tone_of(END_HZ), 10)
                await call.ended(10)
                # A call that comes meanwhile is the dialplan's.
                another = another_than(caller_number)
                call = await reach_tone(phone, switch, line, another)
                await leave_message(call)
                await call.ended(10)
                cable.plug()
                switch.wait_ready()
                assert (await switch.message_of(caller_number, 20))["source"] == "control_plane"
                assert (await switch.message_of(another, 20))["source"] == "dialplan"


# ---- (e) the websocket is cut without being closed ---------------------------------------------------


@pytest.mark.parametrize(
    "moment", ["arrival", "start prompt", "recording", "just before the hash", "end prompt"]
)
async def test_the_websocket_is_cut_silently(
    switch: RunningSwitch, line: Line, cable: Cable, phone: SipCaller, caller_number: str, moment: str
) -> None:
    if moment == "arrival":
        cable.cut_silently()
    call = await phone.invite(switch.uri(line.dialled), caller_number)
    await call.answered(RETURN_S + 2)
    await call.hear(AUDIO, 10)
    if moment == "start prompt":
        cable.cut_silently()
    await call.hear(tone_of(TONE_HZ), 15)
    await call.hear(silence_of(0.1), 5)
    await call.speak(speech_like(1.5))
    if moment == "recording":
        cable.cut_silently()
    await call.speak(speech_like(1.5))
    if moment == "just before the hash":
        cable.cut_silently()
    await call.press("#")
    pressed = time.monotonic()
    await call.hear(tone_of(END_HZ), 15)
    assert time.monotonic() - pressed < RETURN_S
    if moment == "end prompt":
        cable.cut_silently()
    assert (await call.ended(10)).by == "switch"
    message = await switch.message_of(caller_number)
    assert message["ended_by"] == "hash"
    assert (await switch.journal_of(caller_number)).count("message_kept") == 1


# ---- stopping ------------------------------------------------------------------------------------------


async def test_a_clean_stop_in_the_middle_of_a_message(
    tmp_path: Path, phone: SipCaller, caller_number: str
) -> None:
    with running_switch(tmp_path / "var") as switch:
        line = await short_line(switch, tmp_path, "0311112222")
        call = await reach_tone(phone, switch, line, caller_number)
        await call.speak(speech_like(2.5))
        await asyncio.to_thread(switch.stop)
        assert (await call.ended(5)).by == "switch"
        assert not (switch.var / "ready.json").exists()
    with closing(sqlite3.connect(tmp_path / "var" / "denwaban.db")) as database:
        kept = database.execute("SELECT ended_by, duration_s FROM voice_messages").fetchall()
    assert [ended_by for ended_by, _ in kept] == ["hangup"]
    assert 2.0 < kept[0][1] < 3.2


async def test_a_frozen_control_plane_gives_its_callers_to_the_dialplan(
    switch: RunningSwitch, line: Line, phone: SipCaller, caller_number: str
) -> None:
    call = await reach_tone(phone, switch, line, caller_number)
    frozen = switch.kill("controller", signal.SIGSTOP)
    await leave_message(call, 5.0)
    await call.hear(tone_of(END_HZ), RETURN_S)
    # It is killed after fifteen seconds; the line may wait for that, the caller has heard everything.
    await call.ended(25)
    message = await switch.message_of(caller_number, 20)
    assert message["ended_by"] == "hash"
    until(lambda: switch.pid("controller") != frozen, 10, "a new one was started")


async def test_kills_at_random_moments(switch: RunningSwitch, line: Line, phone: SipCaller) -> None:
    """Two callers a second, the control plane killed now and then: every message is there."""
    chance = random.Random(20261123)
    numbers = [f"0801234{place:04}" for place in range(40)]

    async def leave(number: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        call = await reach_tone(phone, switch, line, number)
        await leave_message(call, 3.0)
        await call.hear(tone_of(END_HZ), 15)
        assert (await call.ended(15)).by == "switch"

    async def kill() -> None:
        for _ in range(4):
            await asyncio.sleep(chance.uniform(2.0, 6.0))
            with suppress(ProcessLookupError):
                switch.kill("controller")

    async with asyncio.TaskGroup() as everybody:
        everybody.create_task(kill())
        for place, number in enumerate(numbers):
            everybody.create_task(leave(number, place / 2))
    for number in numbers:
        message = await switch.message_of(number, 20)
        assert message["duration_s"] > 2.0, message
