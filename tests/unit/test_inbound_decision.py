from dataclasses import replace

import pytest

from pbx.routing.ended_by import infer_ended_by
from pbx.routing.inbound import Action, decide, shown_name
from pbx.routing.limits import RING_LIMIT_S, WHITELISTED_RING_S
from store.arrivals import Arrival, Blocked, Listed, Ringing, Rule
from store.models import EndedBy, EntryKind, FaxUse, NumberUse, Treatment, WhenUnanswered

pytestmark = pytest.mark.unit

RULE = Rule("rule-1", "昼休み", "a" * 64, "b" * 64, "whitelist-1")
PATIENT = replace(RULE, ring_first_s=15)
TELLING = replace(RULE, whitelisted_unanswered=WhenUnanswered.ANNOUNCEMENT)
ENTRY = Listed(EntryKind.PREFIX, "+81120", "フリーダイヤル")


def arrival(use: NumberUse, rule: Rule | None, listed: Listed | None = None) -> Arrival:
    return Arrival("n", "a", "+81312345678", use, rule, "weekly 2026-11-24 09:00-18:00", listed)


def voice(rule: Rule | None, listed: Listed | None = None) -> Arrival:
    return arrival(NumberUse.VOICE, rule, listed)


@pytest.mark.parametrize(
    ("came_for", "action", "ring_s"),
    [
        (None, Action.REFUSE_UNKNOWN, 0),
        (voice(RULE), Action.TAKE_MESSAGE, 0),
        (voice(None), Action.RING, RING_LIMIT_S),
        (voice(PATIENT), Action.RING_THEN_MESSAGE, 15),
        (voice(RULE, ENTRY), Action.RING_THEN_MESSAGE, WHITELISTED_RING_S),
        (voice(PATIENT, ENTRY), Action.RING_THEN_MESSAGE, WHITELISTED_RING_S),
        (voice(replace(PATIENT, ring_first_s=45), ENTRY), Action.RING_THEN_MESSAGE, 45),
        (voice(TELLING, ENTRY), Action.RING, RING_LIMIT_S),
        (voice(TELLING), Action.TAKE_MESSAGE, 0),
        (replace(arrival(NumberUse.FAX, None), fax=FaxUse.ONLY), Action.RECEIVE_FAX, 0),
        (replace(voice(RULE, ENTRY), fax=FaxUse.ONLY), Action.RECEIVE_FAX, 0),
        (replace(voice(RULE), fax=FaxUse.SHARED), Action.TAKE_MESSAGE, 0),
        (replace(voice(None), fax=FaxUse.SHARED), Action.RING, RING_LIMIT_S),
    ],
)
def test_what_is_done_with_a_call(came_for: Arrival | None, action: Action, ring_s: int) -> None:
    decided = decide(came_for)
    assert (decided.action, decided.ring_s) == (action, ring_s)
    assert decided.reason


@pytest.mark.parametrize(
    ("came_for", "action"),
    [
        (voice(PATIENT), Action.TAKE_MESSAGE),
        (voice(RULE, ENTRY), Action.TAKE_MESSAGE),
        (voice(None), Action.REFUSE_UNANSWERED),
        # The dialplan had the devices rung, and we are back.
        (replace(voice(None), unanswered_rule=RULE), Action.TAKE_MESSAGE),
        (None, Action.REFUSE_UNKNOWN),
    ],
)
def test_who_was_not_answered_is_not_rung_for_again(came_for: Arrival | None, action: Action) -> None:
    assert decide(came_for, rang=True).action is action


@pytest.mark.parametrize(
    ("treatment", "rule", "unanswered_rule", "action"),
    [
        (Treatment.REJECT, RULE, None, Action.REJECT),
        (Treatment.BUSY, None, None, Action.REJECT_BUSY),
        (Treatment.ANNOUNCEMENT, RULE, None, Action.REJECT_SPOKEN),
        (Treatment.RUSUREPO, RULE, None, Action.TAKE_MESSAGE),
        (Treatment.RUSUREPO, None, RULE, Action.TAKE_MESSAGE),
        (Treatment.RUSUREPO, None, None, Action.REJECT_SPOKEN),
    ],
)
def test_blocked_callers(
    treatment: Treatment, rule: Rule | None, unanswered_rule: Rule | None, action: Action
) -> None:
    blocked = Blocked(None, EntryKind.WITHHELD, "", treatment)
    came_for = replace(voice(rule, ENTRY), blocked=blocked, unanswered_rule=unanswered_rule)
    decided = decide(came_for)
    assert decided.action is action
    assert "block list (withheld" in decided.reason
    assert decided.rule == (RULE if action is Action.TAKE_MESSAGE else None)
    # Who called for help may be called back from any number.
    assert decide(replace(came_for, callback_awaited=True)).action is Action.RING


def test_people_ring_by_the_numbers_plan() -> None:
    in_turn = replace(voice(None), ringing=Ringing(True, (("d1", 10), ("d2", 15))))
    assert decide(in_turn).ring_s == 25
    assert decide(replace(voice(None), ringing=Ringing(at_once_s=20))).ring_s == 20
    decided = decide(replace(in_turn, unanswered_rule=RULE))
    assert (decided.action, decided.rule) == (Action.RING_THEN_MESSAGE, RULE)


@pytest.mark.parametrize(
    ("name", "display_name", "shown"),
    [
        (None, "", ""),
        ("山田商店", "", "山田商店"),
        (None, "代表", "[代表]"),
        ("山田商店", "代表", "山田商店 [代表]"),
    ],
)
def test_what_telephones_show(name: str | None, display_name: str, shown: str) -> None:
    assert shown_name(name, display_name) == shown


def test_the_reason_names_the_rule_and_why_it_applies() -> None:
    reason = decide(voice(RULE)).reason
    assert "rule-1" in reason
    assert "weekly 2026-11-24 09:00-18:00" in reason


def test_the_reason_names_the_entry() -> None:
    assert "prefix +81120 フリーダイヤル" in decide(voice(RULE, ENTRY)).reason


@pytest.mark.parametrize(
    ("duration_s", "ended_by"), [(49.8, EndedBy.HANGUP), (49.95, EndedBy.LIMIT), (50.5, EndedBy.LIMIT)]
)
def test_an_ending_is_inferred_from_the_length(duration_s: float, ended_by: EndedBy) -> None:
    assert infer_ended_by(duration_s) is ended_by


def test_who_stayed_on_the_line_has_pressed_hash() -> None:
    assert infer_ended_by(12, caller_stayed=True) is EndedBy.HASH
    assert infer_ended_by(50, caller_stayed=True) is EndedBy.LIMIT
