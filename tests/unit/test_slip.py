from dataclasses import fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.dialplan.names import SLIP_KEYS
from pbx.spool.slip import Slip, format_slip, parse_slip
from store.models import EndedBy

pytestmark = pytest.mark.unit

VALUES = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=40)
TIMES = st.none() | st.integers(1_000_000_000_000, 4_000_000_000_000).map(
    lambda ms: datetime.fromtimestamp(ms / 1000, UTC)
)
SLIPS = st.builds(
    Slip,
    number=VALUES,
    caller=VALUES,
    caller_name=VALUES,
    presentation=VALUES,
    started_at=TIMES,
    answered_at=TIMES,
    recording_at=TIMES,
    ended_at=TIMES,
    record=VALUES,
    dial=VALUES,
    fax=VALUES,
    rule=VALUES,
    source=VALUES,
)
WRITTEN_BY_THE_DIALPLAN = """\
number=+81312345678
caller=09012345678
caller_name=
presentation=allowed_not_screened
started_at=1795392000
answered_at=1795392001
recording_at=1795392006
record=DTMF
record=DTMF
ended_at=1795392020
"""


@given(SLIPS)
def test_what_was_written_is_read(slip: Slip) -> None:
    assert parse_slip(format_slip(slip)) == slip


@given(SLIPS, st.integers(min_value=0))
def test_a_slip_cut_anywhere_tells_the_truth_as_far_as_it_goes(slip: Slip, at: int) -> None:
    text = format_slip(slip)
    cut, empty = parse_slip(text[: at % (len(text) + 1)]), parse_slip("")
    for field in fields(Slip):
        assert getattr(cut, field.name) in (getattr(slip, field.name), getattr(empty, field.name))


@given(st.text())
def test_any_text_is_read_without_complaint(text: str) -> None:
    parse_slip(text)


@pytest.mark.parametrize(
    "time", ["", "nan", "inf", "-inf", "1e400", "99999999999999999999", "now", "-1e18", "１２"]
)
def test_times_that_are_none_are_left_out(time: str) -> None:
    at = parse_slip(f"started_at={time}\n").started_at
    assert at is None or at.tzinfo is UTC


@given(st.text(), st.text())
def test_a_value_cannot_become_a_line(number: str, caller: str) -> None:
    hostile = Slip(f"{number}\nrecord=DTMF\r\n", f"{caller}\nsource=x", "", "", None)
    read = parse_slip(format_slip(hostile))
    assert (read.record, read.source) == ("", "dialplan")


def test_the_dialplans_own_slip() -> None:
    slip = parse_slip(WRITTEN_BY_THE_DIALPLAN)
    assert slip.number == "+81312345678"
    assert slip.ended_by is EndedBy.HASH
    assert slip.started_at == datetime.fromtimestamp(1795392000, UTC)
    assert slip.source == "dialplan"


@pytest.mark.parametrize(
    ("status", "ended_by"),
    [
        ("DTMF", EndedBy.HASH),
        ("TIMEOUT", EndedBy.LIMIT),
        ("SILENCE", EndedBy.SILENCE),
        ("HANGUP", EndedBy.HANGUP),
        ("ERROR", EndedBy.ERROR),
        ("", None),
        ("SOMETHING", None),
    ],
)
def test_why_the_dialplans_recording_ended(status: str, ended_by: EndedBy | None) -> None:
    assert parse_slip(f"record={status}\n").ended_by is ended_by


def test_a_slips_lines_are_those_the_dialplan_knows() -> None:
    # When a call from a device was answered is reckoned from these two.
    assert {field.name for field in fields(Slip)} == set(SLIP_KEYS) - {"left_at", "talk_ms"}
