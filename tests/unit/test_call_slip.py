"""The slip of a recorded call, wherever it ends; and raw sound as a stereo WAV."""

import wave
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from pbx.recordings.adopt import look, other_party
from pbx.recordings.slip import CallSlip, parse_call_slip
from pbx.recordings.sound import write_stereo_wav
from store.models import CallerKind

pytestmark = pytest.mark.unit

SLIP = """\
number=+81312345678
direction=inbound
other=09012345678
other_name=
presentation=allowed_not_screened
prompt=0123456789abcdef
outside=test-1763.2
announced=1764000000.500
begun=1764000000.501
paused=1764000010.500
begun=1764000020.000
stopped=1764000030.000
ended=1764000040.000
"""


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(1764000000 + seconds, UTC)


def test_a_whole_slip() -> None:
    slip = parse_call_slip(SLIP)
    assert (slip.number, slip.direction, slip.outside) == ("+81312345678", "inbound", "test-1763.2")
    assert slip.over
    assert slip.when("announced") == at(0.5)
    assert [(one.since, one.until) for one in slip.sections()] == [
        (at(0.501), at(10.5)),
        (at(20), at(30)),
    ]


@pytest.mark.parametrize("length", range(0, len(SLIP), 7))
def test_a_slip_that_ends_anywhere(length: int) -> None:
    """What was written whole counts; half a time or number would be another one."""
    slip = parse_call_slip(SLIP[:length])
    assert slip.number in ("", "+81312345678")
    assert not slip.over
    assert {event.at for event in slip.events} <= {event.at for event in parse_call_slip(SLIP).events}
    assert all(one.until is None for one in slip.sections()[1:] if "stopped" not in SLIP[:length])


def test_garbage() -> None:
    assert parse_call_slip("begun=never\nbegun=1e400\nnonsense\nroot=x\n=\n\x00\n") == CallSlip()


@pytest.mark.parametrize(
    ("slip", "number", "kind"),
    [
        (CallSlip(direction="inbound", other="0312345678"), "+81312345678", CallerKind.NUMBER),
        (CallSlip(direction="inbound", other_name="Anonymous"), None, CallerKind.WITHHELD),
        (CallSlip(direction="outbound", other="+819012345678"), "+819012345678", CallerKind.NUMBER),
        (CallSlip(direction="outbound", other="117"), "117", CallerKind.NUMBER),
        (CallSlip(direction="outbound"), None, CallerKind.UNAVAILABLE),
    ],
)
def test_who_is_outside(slip: CallSlip, number: str | None, kind: CallerKind) -> None:
    assert (other_party(slip).number, other_party(slip).kind) == (number, kind)


def test_sections_come_in_their_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        (tmp_path / f"test-1763.2-{number}.raw").touch()
    (tmp_path / "test-1763.3.slip").touch()
    (tmp_path / "unclaimed").mkdir()
    found = {one.call_id: [path.name for path in one.files] for one in look(tmp_path)}
    assert found == {
        "test-1763.2": [f"test-1763.2-{number}.raw" for number in (1, 2, 10)],
        "test-1763.3": [],
    }


def test_raw_sound_becomes_a_stereo_wav(tmp_path: Path) -> None:
    """A frame that a crash cut through is left out, so that left stays left."""
    raw = [tmp_path / "1.raw", tmp_path / "2.raw"]
    raw[0].write_bytes(b"\x01\x00\x02\x00" * 8000 + b"\x01\x00\x02")
    raw[1].write_bytes(b"\x03\x00\x04\x00" * 4000)
    duration_s, digest = write_stereo_wav(tmp_path / "whole.wav", raw)
    assert duration_s == 1.5
    assert digest == sha256((tmp_path / "whole.wav").read_bytes()).hexdigest()
    with wave.open(str(tmp_path / "whole.wav")) as whole:
        assert (whole.getnchannels(), whole.getsampwidth(), whole.getframerate()) == (2, 2, 8000)
        assert whole.readframes(12000) == b"\x01\x00\x02\x00" * 8000 + b"\x03\x00\x04\x00" * 4000
