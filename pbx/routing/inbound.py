"""What to do with a call from the trunk. Pure: the number's settings in, a decision and its reason out."""

from dataclasses import dataclass
from enum import StrEnum

from pbx.routing.limits import RING_LIMIT_S, WHITELISTED_RING_S
from store.arrivals import Arrival, Listed, Rule
from store.models import FaxUse, WhenUnanswered


class Action(StrEnum):
    TAKE_MESSAGE = "take_message"
    RING = "ring"
    """Nobody answers: an announcement says so."""

    RECEIVE_FAX = "receive_fax"
    RING_THEN_MESSAGE = "ring_then_message"
    REFUSE_UNANSWERED = "refuse_unanswered"
    REFUSE_UNKNOWN = "refuse_unknown"


@dataclass(frozen=True)
class Decision:
    """`reason` is in words for the journal."""

    action: Action
    reason: str
    ring_s: int = 0


def decide(arrival: Arrival | None, rang: bool = False) -> Decision:
    """What to do with a call that comes in; or, when it `rang`, after nobody answered it."""
    if arrival is None:
        return Decision(Action.REFUSE_UNKNOWN, "no such number")
    if arrival.fax is FaxUse.ONLY:
        return Decision(Action.RECEIVE_FAX, "the number takes faxes only")
    rule = arrival.rule
    if rule is None:
        if rang:
            return Decision(Action.REFUSE_UNANSWERED, "nobody answered, and the rule is no more")
        return Decision(Action.RING, f"rusurepo is off ({arrival.because})", RING_LIMIT_S)
    why = f"rule {rule.id} ({arrival.because})"
    if rang:
        return Decision(Action.TAKE_MESSAGE, f"nobody answered, {why}")
    if arrival.listed is not None:
        return _of_listed(rule, f"on the whitelist ({_described(arrival.listed)}), {why}")
    if rule.ring_first_s:
        return Decision(Action.RING_THEN_MESSAGE, f"the devices ring first, {why}", rule.ring_first_s)
    return Decision(Action.TAKE_MESSAGE, f"rusurepo is on, {why}")


def _of_listed(rule: Rule, reason: str) -> Decision:
    if rule.whitelisted_unanswered is WhenUnanswered.ANNOUNCEMENT:
        return Decision(Action.RING, reason, RING_LIMIT_S)
    return Decision(Action.RING_THEN_MESSAGE, reason, max(WHITELISTED_RING_S, rule.ring_first_s))


def _described(entry: Listed) -> str:
    return " ".join(part for part in (entry.kind.value, entry.value, entry.name) if part)
