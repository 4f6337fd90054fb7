"""What differs between call details that are stored and those made again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pbx.details.recompute import compare
from store.call_legs import Stored
from store.models import Call, CallerKind, CallLeg, LegRole

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 24, 3, tzinfo=UTC)
LONG_AGO, LATER = AT - timedelta(days=30), AT + timedelta(hours=1)


def leg(**other: Any) -> CallLeg:
    columns: dict[str, Any] = {
        "id": "n-1.1",
        "call_id": "n-1.1",
        "node": "n",
        "account_id": "a",
        "device": None,
        "direction": "inbound",
        "role": LegRole.CALLER,
        "other_party": "+819012345678",
        "started_at": AT,
        "answered_at": AT + timedelta(seconds=2),
        "ended_at": AT + timedelta(seconds=9),
        "result": "answered",
        "cause": 16,
        "transfer": None,
        "end_seen": True,
    }
    return CallLeg(**columns | other)


def call(**other: Any) -> Call:
    columns: dict[str, Any] = {
        "id": "n-1.1",
        "node": "n",
        "direction": "inbound",
        "dialled": "+81312345678",
        "caller_kind": CallerKind.NUMBER,
        "started_at": AT,
        "answered_at": AT + timedelta(seconds=2.3),
        "ended_at": AT + timedelta(seconds=9.4),
    }
    return Call(**columns | other)


def differences(made: list[CallLeg], legs: list[CallLeg], calls: list[Call]) -> list[tuple[Any, ...]]:
    stored = Stored({one.id: one for one in legs}, {one.id: one for one in calls})
    found = compare(made, stored, LONG_AGO, LATER)
    return [(one.leg_id, one.field, one.stored, one.events) for one in found]


def test_the_same_is_no_difference() -> None:
    """The control plane takes its times half a second off."""
    assert differences([leg()], [leg()], [call()]) == []


def test_what_was_changed_shows() -> None:
    changed = leg(result="busy", ended_at=AT)
    moment = (AT + timedelta(seconds=9)).isoformat()
    assert differences([leg()], [changed], [call(ended_at=None)]) == [
        ("n-1.1", "ended_at", AT.isoformat(), moment),
        ("n-1.1", "result", "busy", "answered"),
        (None, "ended_at", None, moment),
    ]


def test_what_is_missing_shows_on_either_side() -> None:
    assert differences([leg()], [], []) == [
        ("n-1.1", "row", None, "there"),
        (None, "row", None, "there"),
    ]
    assert differences([], [leg()], [call()]) == [("n-1.1", "row", "there", None)]


def test_a_call_to_nobodys_number_has_no_record() -> None:
    nobodys = leg(account_id=None)
    assert differences([nobodys], [nobodys], []) == []


def test_what_cannot_be_known_is_no_difference() -> None:
    """Calls whose events are gone, and those not stored yet."""
    stored = Stored({"n-1.1": leg()}, {})
    assert list(compare([], stored, AT + timedelta(days=1), LATER)) == []
    assert list(compare([leg()], Stored({}, {}), LONG_AGO, AT + timedelta(seconds=1))) == []
