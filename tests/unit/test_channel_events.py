"""The file of channel events: whole, cut, turned over."""

import json
import os
from pathlib import Path

import pytest

from pbx.details import files
from pbx.details.events import Unreadable, decode, parse, whole_lines
from pbx.details.files import read_on, turn_over
from store.channel_events import Place

pytestmark = pytest.mark.unit

ANSWER = {
    "eventtype": "ANSWER",
    "eventtime": "1795510800.250000",
    "uniqueid": "n-1",
    "linkedid": "n-1",
    "channame": "PJSIP/1001-0000000a",
    "exten": "",
    "num": "",
    "eventextra": '{"a":1}',
}
LINE = json.dumps(ANSWER, separators=(",", ":")).encode() + b"\n"


def kinds(content: bytes) -> list[str]:
    return ["cut" if isinstance(one, Unreadable) else one["eventtype"] for one in decode(content)]


def test_a_line_is_an_event() -> None:
    (one,) = decode(LINE)
    assert not isinstance(one, Unreadable)
    event = parse(one)
    assert (event.kind, event.channel, event.at.microsecond, event.extra) == (
        "ANSWER",
        "n-1",
        250000,
        {"a": 1},
    )


@pytest.mark.parametrize("cut_at", [1, 10, 20, 60, len(LINE) - 2])
def test_a_cut_line_costs_only_itself(cut_at: int) -> None:
    """What was written behind it by the next Asterisk stands on the same line."""
    assert kinds(LINE + LINE[:cut_at] + LINE + LINE) == ["ANSWER", "cut", "ANSWER", "ANSWER"]


@pytest.mark.parametrize("content", [b"\n", b"\n\n", b"", b"   \n"])
def test_nothing_is_no_event(content: bytes) -> None:
    assert kinds(content) == []


@pytest.mark.parametrize(
    "content", [b"{}\n", b"[]\n", b'{"eventtype":1}\n', b"null\n", b"\xff\xfe\n", b"7\n"]
)
def test_what_is_no_event_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable):
        for one in decode(content):
            if isinstance(one, Unreadable):
                raise one
            parse(one)


def test_half_a_line_waits() -> None:
    assert whole_lines(LINE + LINE[:20]) == len(LINE)
    assert whole_lines(LINE[:20]) == 0


def read_all(current: Path, place: Place | None) -> tuple[bytes, Place | None]:
    content = b""
    while (chunk := read_on(current, place)) and (chunk.content or chunk.place != place):
        content, place = content + chunk.content, chunk.place
    return content, place


def test_every_byte_is_read_once_across_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 3 * len(LINE))
    current = tmp_path / "events.json"
    assert read_on(current, None) is None
    place: Place | None = None
    got = b""
    for turn in range(3):
        current.write_bytes(LINE * (turn + 5))
        content, place = read_all(current, place)
        got += content
        turn_over(current, largest_bytes=1)
        assert not current.exists()
        old = sorted(tmp_path.glob("events-*.json"))[-1]
        # Asterisk had it open still.
        with old.open("ab") as late:
            late.write(LINE)
        # Its readers stay a little.
        current.write_bytes(b"")
        content, place = read_all(current, place)
        got += content
        assert place is not None
        assert place.inode == old.stat().st_ino
        os.utime(old, (old.stat().st_mtime - 10,) * 2)
    assert got == LINE * (5 + 6 + 7 + 3)


def test_only_what_is_cut_has_more_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy switch a line has come whenever somebody looks; that is no reason to look again."""
    monkeypatch.setattr(files, "CHUNK_BYTES", 2 * len(LINE))
    current = tmp_path / "events.json"
    seen = []
    place: Place | None = None
    for _ in range(2):
        with current.open("ab") as asterisk:
            asterisk.write(LINE * 3)
        for _ in range(2):
            chunk = read_on(current, place)
            assert chunk is not None
            seen.append((len(chunk.content) // len(LINE), chunk.cut))
            place = chunk.place
    assert seen == [(2, True), (1, False)] * 2
    # A line without an end must not be asked for again and again.
    current.write_bytes(LINE[:-1] * 4)
    endless = read_on(current, Place(current.stat().st_ino, 0))
    assert endless is not None
    assert (endless.content, endless.cut) == (b"", False)


def test_a_place_that_is_no_more_begins_with_what_is_there(tmp_path: Path) -> None:
    current = tmp_path / "events.json"
    current.write_bytes(LINE)
    chunk = read_on(current, Place(inode=1, position=999))
    assert chunk is not None
    assert chunk.content == LINE
    emptied = read_on(current, Place(current.stat().st_ino, 10_000))
    assert emptied is not None
    assert emptied.content == LINE
    # Whoever was told a place behind its end would read it from the beginning for ever.
    assert (emptied.begin.position, emptied.place.position) == (0, len(LINE))


def test_files_of_two_months_are_kept(tmp_path: Path) -> None:
    current = tmp_path / "events.json"
    current.write_bytes(LINE)
    for name, age_days in (("events-1.json", 63), ("events-2.json", 61)):
        (tmp_path / name).write_bytes(LINE)
        os.utime(tmp_path / name, (current.stat().st_mtime - age_days * 86400,) * 2)
    turn_over(current)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events-2.json", "events.json"]
