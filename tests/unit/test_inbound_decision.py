import pytest

from pbx.routing.ended_by import infer_ended_by
from pbx.routing.inbound import Decision, decide
from store.arrivals import Arrival, Rule
from store.models import EndedBy, NumberUse

pytestmark = pytest.mark.unit

RULE = Rule("rule-1", "昼休み", "a" * 64, "b" * 64)


def arrival(use: NumberUse, rule: Rule | None) -> Arrival:
    return Arrival("n", "a", "+81312345678", use, rule)


@pytest.mark.parametrize(
    ("came_for", "decision"),
    [
        (None, Decision.REFUSE_UNKNOWN),
        (arrival(NumberUse.VOICE, RULE), Decision.TAKE_MESSAGE),
        (arrival(NumberUse.VOICE, None), Decision.RING),
        (arrival(NumberUse.FAX, None), Decision.REFUSE_UNFIT),
        (arrival(NumberUse.FAX, RULE), Decision.REFUSE_UNFIT),
    ],
)
def test_what_is_done_with_a_call(came_for: Arrival | None, decision: Decision) -> None:
    decided, reason = decide(came_for)
    assert decided is decision
    assert reason


def test_the_reason_names_the_rule() -> None:
    assert "rule-1" in decide(arrival(NumberUse.VOICE, RULE))[1]


@pytest.mark.parametrize(
    ("duration_s", "ended_by"), [(49.8, EndedBy.HANGUP), (49.95, EndedBy.LIMIT), (50.5, EndedBy.LIMIT)]
)
def test_an_ending_is_inferred_from_the_length(duration_s: float, ended_by: EndedBy) -> None:
    assert infer_ended_by(duration_s) is ended_by


def test_who_stayed_on_the_line_has_pressed_hash() -> None:
    assert infer_ended_by(12, caller_stayed=True) is EndedBy.HASH
    assert infer_ended_by(50, caller_stayed=True) is EndedBy.LIMIT
