"""From tables of channel events, as Asterisk 22 writes them, to call legs.

A row: event, seconds, channel's id and call (the node's name and the second left out), name, number,
extension, and what the event has to say beside: of a hang-up its cause and what came of dialling. The first
five tables are a real Asterisk's.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.details.events import Event, parse
from pbx.details.legs import groups, legs_of, unended
from store.call_legs import Leg

pytestmark = pytest.mark.unit

NINE = 1795510800
"""2026-11-24 09:00 in Japan."""


def table(text: str, presentation: str = "allowed_not_screened") -> list[Event]:
    return [parse(raw(line, presentation)) for line in text.strip().splitlines()]


def raw(line: str, presentation: str = "allowed_not_screened") -> dict[str, str]:
    kind, at, channel, call, name, number, exten, *more = (part.strip() for part in line.split("|"))
    extra = more[0] if more else ""
    if kind == "HANGUP":
        cause, _, dialled = extra.partition(" ")
        extra = json.dumps({"hangupcause": int(cause), "dialstatus": dialled})
    return {
        "eventtype": kind,
        "eventtime": f"{NINE + float(at):.6f}",
        "num": number,
        "name": "",
        "userfield": presentation if "trunk" in name else "",
        "exten": exten,
        "context": "",
        "channame": f"PJSIP/{name}" if "/" not in name else name,
        "appname": "",
        "uniqueid": f"n-{channel}",
        "linkedid": f"n-{call}",
        "eventextra": extra,
    }


def clock(seconds: float) -> datetime:
    return datetime.fromtimestamp(NINE, UTC) + timedelta(seconds=seconds)


def brief(leg: Leg) -> tuple[object, ...]:
    answered = (leg.answered_at - clock(0)).total_seconds() if leg.answered_at else None
    return (leg.device, leg.direction, leg.other_party, answered, leg.result)


MESSAGE = """
CHAN_START   | 0.279 | 2 | 2 | trunk-main-00000000 | 09011112222 | 0312345678
ANSWER       | 0.283 | 2 | 2 | trunk-main-00000000 | 09011112222 | 0312345678
HANGUP       | 1.288 | 2 | 2 | trunk-main-00000000 | 09011112222 | 0312345678 | 16
CHAN_END     | 1.288 | 2 | 2 | trunk-main-00000000 | 09011112222 | 0312345678
LINKEDID_END | 1.288 | 2 | 2 | trunk-main-00000000 | 09011112222 | 0312345678
"""
RUNG = """
CHAN_START   | 0.518 | 3 | 3 | trunk-main-00000001 | 09011112222 | 0312345678
CHAN_START   | 0.524 | 4 | 3 | 1001-00000002 | unknown | s
CHAN_START   | 0.524 | 5 | 3 | 1002-00000003 | unknown | s
ANSWER       | 0.528 | 4 | 3 | 1001-00000002 | unknown | 60-
HANGUP       | 0.529 | 5 | 3 | 1002-00000003 | unknown | 60- | 26
CHAN_END     | 0.529 | 5 | 3 | 1002-00000003 | unknown | 60-
ANSWER       | 0.529 | 3 | 3 | trunk-main-00000001 | 09011112222 | 60-
BRIDGE_ENTER | 0.529 | 4 | 3 | 1001-00000002 | unknown | | {"bridge_id":"b"}
BRIDGE_ENTER | 0.529 | 3 | 3 | trunk-main-00000001 | 09011112222 | 60- | {"bridge_id":"b"}
BRIDGE_EXIT  | 1.533 | 3 | 3 | trunk-main-00000001 | 09011112222 | 60- | {"bridge_id":"b"}
BRIDGE_EXIT  | 1.534 | 4 | 3 | 1001-00000002 | unknown | | {"bridge_id":"b"}
HANGUP       | 1.535 | 4 | 3 | 1001-00000002 | unknown | | 16
CHAN_END     | 1.535 | 4 | 3 | 1001-00000002 | unknown |
HANGUP       | 1.536 | 3 | 3 | trunk-main-00000001 | 09011112222 | h | 16 ANSWER
CHAN_END     | 1.536 | 3 | 3 | trunk-main-00000001 | 09011112222 | h
LINKEDID_END | 1.536 | 3 | 3 | trunk-main-00000001 | 09011112222 | h
"""
GIVEN_UP = """
CHAN_START   | 2.738 | 6 | 6 | trunk-main-00000004 | 09011112222 | 0312345678
CHAN_START   | 2.742 | 7 | 6 | 1001-00000005 | unknown | s
HANGUP       | 3.248 | 7 | 6 | 1001-00000005 | unknown | 60- | 127
CHAN_END     | 3.248 | 7 | 6 | 1001-00000005 | unknown | 60-
HANGUP       | 3.249 | 6 | 6 | trunk-main-00000004 | 09011112222 | h | 127 CANCEL
CHAN_END     | 3.249 | 6 | 6 | trunk-main-00000004 | 09011112222 | h
"""
UNANSWERED = """
CHAN_START   | 4.951 | 9 | 9 | trunk-main-00000007 | 09011112222 | 0312345678
CHAN_START   | 4.955 | 10 | 9 | 1001-00000008 | unknown | s
HANGUP       | 7.385 | 10 | 9 | 1001-00000008 | unknown | 60- | 19
CHAN_END     | 7.385 | 10 | 9 | 1001-00000008 | unknown | 60-
HANGUP       | 7.387 | 9 | 9 | trunk-main-00000007 | 09011112222 | h | 19 NOANSWER
CHAN_END     | 7.387 | 9 | 9 | trunk-main-00000007 | 09011112222 | h
"""
REFUSED_OUT = """
CHAN_START   | 6.181 | 12 | 12 | 1001-0000000a | unknown | 0312340000
HANGUP       | 6.182 | 12 | 12 | 1001-0000000a | unknown | 0312340000 | 50
CHAN_END     | 6.182 | 12 | 12 | 1001-0000000a | unknown | 0312340000
LINKEDID_END | 6.182 | 12 | 12 | 1001-0000000a | unknown | 0312340000
"""
OUTBOUND = """
CHAN_START   | 0.1 | 20 | 20 | 1001-00000010 | 1001 | 0312340000
CHAN_START   | 0.2 | 21 | 20 | trunk-main-00000011 | 0312345678 | s
ANSWER       | 5.0 | 21 | 20 | trunk-main-00000011 | 0312340000 |
ANSWER       | 5.0 | 20 | 20 | 1001-00000010 | 1001 | 0312340000
BRIDGE_ENTER | 5.0 | 21 | 20 | trunk-main-00000011 | 0312340000 | | {"bridge_id":"c"}
BRIDGE_ENTER | 5.0 | 20 | 20 | 1001-00000010 | 1001 | 0312340000 | {"bridge_id":"c"}
HANGUP       | 65.2 | 21 | 20 | trunk-main-00000011 | 0312340000 | | 16
CHAN_END     | 65.2 | 21 | 20 | trunk-main-00000011 | 0312340000 |
HANGUP       | 65.3 | 20 | 20 | 1001-00000010 | 1001 | 0312340000 | 16 ANSWER
CHAN_END     | 65.3 | 20 | 20 | 1001-00000010 | 1001 | 0312340000
"""
INTERNAL = """
CHAN_START | 0.1 | 30 | 30 | 1001-00000020 | 1001 | 1002
CHAN_START | 0.2 | 31 | 30 | 1002-00000021 | unknown | s
HANGUP     | 3.0 | 31 | 30 | 1002-00000021 | unknown | | 17
CHAN_END   | 3.0 | 31 | 30 | 1002-00000021 | unknown |
HANGUP     | 3.1 | 30 | 30 | 1001-00000020 | 1001 | 1002 | 17 BUSY
CHAN_END   | 3.1 | 30 | 30 | 1001-00000020 | 1001 | 1002
"""
HANDED_ON = """
CHAN_START    | 0.0 | 40 | 40 | trunk-main-00000030 | 09011112222 | 0312345678
CHAN_START    | 0.1 | 41 | 40 | 1001-00000031 | unknown | s
ANSWER        | 2.0 | 41 | 40 | 1001-00000031 | unknown |
ANSWER        | 2.0 | 40 | 40 | trunk-main-00000030 | 09011112222 | 60-
BLINDTRANSFER | 9.0 | 41 | 40 | 1001-00000031 | unknown | | {"extension":"1002","context":"from-device"}
HANGUP        | 9.1 | 41 | 40 | 1001-00000031 | unknown | | 16
CHAN_END      | 9.1 | 41 | 40 | 1001-00000031 | unknown |
CHAN_START    | 9.2 | 42 | 40 | 1002-00000032 | unknown | s
ANSWER        | 12.0 | 42 | 40 | 1002-00000032 | unknown |
HANGUP        | 30.0 | 42 | 40 | 1002-00000032 | unknown | | 16
CHAN_END      | 30.0 | 42 | 40 | 1002-00000032 | unknown |
HANGUP        | 30.1 | 40 | 40 | trunk-main-00000030 | 09011112222 | 1002 | 16 ANSWER
CHAN_END      | 30.1 | 40 | 40 | trunk-main-00000030 | 09011112222 | 1002
"""
ASKED_FIRST = """
CHAN_START       | 0.0 | 50 | 50 | trunk-main-00000040 | 09011112222 | 0312345678
CHAN_START       | 0.1 | 51 | 50 | 1001-00000041 | unknown | s
ANSWER           | 2.0 | 51 | 50 | 1001-00000041 | unknown |
ANSWER           | 2.0 | 50 | 50 | trunk-main-00000040 | 09011112222 | 60-
CHAN_START       | 9.0 | 52 | 52 | 1001-00000042 | 1001 | 1002
CHAN_START       | 9.1 | 53 | 52 | 1002-00000043 | unknown | s
ANSWER           | 11.0 | 53 | 52 | 1002-00000043 | unknown |
ANSWER           | 11.0 | 52 | 52 | 1001-00000042 | 1001 | 1002
ATTENDEDTRANSFER | 15.0 | 51 | 50 | 1001-00000041 | unknown | | {"channel2_name":"PJSIP/1001-00000042"}
HANGUP           | 15.1 | 51 | 50 | 1001-00000041 | unknown | | 16
CHAN_END         | 15.1 | 51 | 50 | 1001-00000041 | unknown |
HANGUP           | 15.2 | 52 | 50 | 1001-00000042 | 1001 | 1002 | 16 ANSWER
CHAN_END         | 15.2 | 52 | 50 | 1001-00000042 | 1001 | 1002
HANGUP           | 40.0 | 53 | 50 | 1002-00000043 | unknown | | 16
CHAN_END         | 40.0 | 53 | 50 | 1002-00000043 | unknown |
HANGUP           | 40.1 | 50 | 50 | trunk-main-00000040 | 09011112222 | h | 16 ANSWER
CHAN_END         | 40.1 | 50 | 50 | trunk-main-00000040 | 09011112222 | h
"""
LAMP = """
CHAN_START | 0.1 | 60 | 60 | Local/s@lamp-00000000;1 | | s
CHAN_START | 0.1 | 61 | 60 | Local/s@lamp-00000000;2 | | s
CHAN_END   | 0.2 | 61 | 60 | Local/s@lamp-00000000;2 | | s
CHAN_END   | 0.2 | 60 | 60 | Local/s@lamp-00000000;1 | | s
"""
FAX_IN = """
CHAN_START   | 0.1 | 70 | 70 | trunk-main-00000070 | 09011112222 | 0312345679
CHAN_START   | 0.2 | 71 | 70 | fax-link-00000071 | 09011112222 | s
ANSWER       | 0.3 | 71 | 70 | fax-link-00000071 | 09011112222 | s
ANSWER       | 0.3 | 70 | 70 | trunk-main-00000070 | 09011112222 | s
HANGUP       | 30.1 | 71 | 70 | fax-link-00000071 | 09011112222 | | 16
CHAN_END     | 30.1 | 71 | 70 | fax-link-00000071 | 09011112222 |
HANGUP       | 30.2 | 70 | 70 | trunk-main-00000070 | 09011112222 | s | 16 ANSWER
CHAN_END     | 30.2 | 70 | 70 | trunk-main-00000070 | 09011112222 | s
"""
FAX_OUT = """
CHAN_START   | 0.1 | 72 | 72 | fax-link-00000072 | +81312345679 | +81355556666
CHAN_START   | 0.2 | 73 | 72 | trunk-main-00000073 | 0355556666 | s
ANSWER       | 3.0 | 73 | 72 | trunk-main-00000073 | 0355556666 | s
ANSWER       | 3.0 | 72 | 72 | fax-link-00000072 | +81312345679 | s
HANGUP       | 30.1 | 73 | 72 | trunk-main-00000073 | 0355556666 | | 16
CHAN_END     | 30.1 | 73 | 72 | trunk-main-00000073 | 0355556666 |
HANGUP       | 30.2 | 72 | 72 | fax-link-00000072 | +81312345679 | s | 16 ANSWER
CHAN_END     | 30.2 | 72 | 72 | fax-link-00000072 | +81312345679 | s
"""
EVERY = {
    "message": MESSAGE,
    "rung": RUNG,
    "given up": GIVEN_UP,
    "unanswered": UNANSWERED,
    "refused": REFUSED_OUT,
    "outbound": OUTBOUND,
    "internal": INTERNAL,
    "blind transfer": HANDED_ON,
    "attended transfer": ASKED_FIRST,
    "lamp": LAMP,
    "fax in": FAX_IN,
    "fax out": FAX_OUT,
}
CALLER = "+819011112222"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("message", [(None, "inbound", CALLER, 0.283, "answered")]),
        ("fax in", [(None, "inbound", CALLER, 0.3, "answered")]),
        ("fax out", [(None, "outbound", None, 3.0, "answered")]),
        (
            "rung",
            [
                (None, "inbound", CALLER, 0.529, "answered"),
                ("1001", "inbound", CALLER, 0.528, "answered"),
                ("1002", "inbound", CALLER, None, "answered_elsewhere"),
            ],
        ),
        (
            "given up",
            [(None, "inbound", CALLER, None, "cancelled"), ("1001", "inbound", CALLER, None, "cancelled")],
        ),
        (
            "unanswered",
            [(None, "inbound", CALLER, None, "no_answer"), ("1001", "inbound", CALLER, None, "no_answer")],
        ),
        ("refused", [("1001", "outbound", "0312340000", None, "failed")]),
        (
            "outbound",
            [
                ("1001", "outbound", "0312340000", 5.0, "answered"),
                (None, "outbound", "0312340000", 5.0, "answered"),
            ],
        ),
        (
            "internal",
            [("1001", "internal", "1002", None, "busy"), ("1002", "internal", "1001", None, "busy")],
        ),
        (
            "blind transfer",
            [
                (None, "inbound", CALLER, 2.0, "answered"),
                ("1001", "inbound", CALLER, 2.0, "answered"),
                ("1002", "inbound", CALLER, 12.0, "answered"),
            ],
        ),
        (
            "attended transfer",
            [
                (None, "inbound", CALLER, 2.0, "answered"),
                ("1001", "inbound", CALLER, 2.0, "answered"),
                ("1001", "internal", "1002", 11.0, "answered"),
                ("1002", "internal", "1001", 11.0, "answered"),
            ],
        ),
        ("lamp", []),
    ],
)
def test_legs(name: str, expected: list[tuple[object, ...]]) -> None:
    (group,) = groups(table(EVERY[name]))
    assert unended(group) == set()
    assert [brief(leg) for leg in legs_of(group)] == expected


def test_times_and_calls() -> None:
    outside, inside, consulted, third = legs_of(table(ASKED_FIRST))
    assert [leg.call_id for leg in (outside, inside, consulted, third)] == ["n-50", "n-50", "n-52", "n-52"]
    assert (outside.started_at, outside.ended_at) == (clock(0), clock(40.1))
    assert (inside.transfer, consulted.transfer, third.ended_at) == ("attended", None, clock(40.0))
    assert [leg.transfer for leg in legs_of(table(HANDED_ON))] == [None, "blind", None]
    assert [leg.is_caller for leg in legs_of(table(OUTBOUND))] == [True, False]
    assert [leg.dialled for leg in legs_of(table(HANDED_ON))] == ["0312345678"] * 3


@pytest.mark.parametrize("presentation", ["prohib_passed_screen", "", "unavailable"])
def test_a_hidden_number_is_in_no_leg(presentation: str) -> None:
    """Also where the dialplan had no time to say how the number may be shown."""
    for leg in legs_of(table(RUNG, presentation)):
        assert leg.other_party is None


def test_calls_at_once_are_told_apart() -> None:
    mixed = sorted(table(RUNG) + table(OUTBOUND) + table(INTERNAL), key=lambda event: event.at)
    assert sorted(len(legs_of(group)) for group in groups(mixed)) == [2, 2, 3]


def test_a_call_that_goes_on_is_not_over() -> None:
    rows = [event for event in table(RUNG) if event.kind != "CHAN_END" or event.channel != "n-3"]
    assert unended(rows) == {"n-3"}


def test_asterisk_died_in_the_call() -> None:
    """The end is when the channels were last known to live, if that is later than the last event."""
    rows = table("\n".join(OUTBOUND.strip().splitlines()[:6]))
    lost = {"n-20": clock(50), "n-21": clock(1)}
    device, trunk = legs_of(rows, lost)
    assert (device.ended_at, device.end_seen, device.result) == (clock(50), False, "answered")
    assert (trunk.ended_at, trunk.end_seen) == (clock(5), False)
    ringing = legs_of(table("\n".join(OUTBOUND.strip().splitlines()[:2])), lost)
    assert [leg.result for leg in ringing] == ["lost", "lost"]


@given(name=st.sampled_from(sorted(EVERY)), twice=st.lists(st.integers(0, 20)), seed=st.randoms())
def test_order_and_repetition_change_nothing(name: str, twice: list[int], seed: object) -> None:
    rows = table(EVERY[name])
    expected = legs_of(rows)
    repeated = rows + [rows[index % len(rows)] for index in twice]
    # Of one channel and moment the order is as written; between channels anything may come first.
    shuffled = sorted(repeated, key=lambda event: (event.channel, event.at))
    assert {leg.id: leg for leg in legs_of(shuffled)} == {leg.id: leg for leg in expected}


def test_every_table_is_what_asterisk_writes() -> None:
    for text in EVERY.values():
        for line in text.strip().splitlines():
            assert parse(json.loads(json.dumps(raw(line)))).at.tzinfo is UTC
