"""What to do with a call from the trunk. Pure: the number's settings in, a decision and its reason out."""

from dataclasses import dataclass
from enum import StrEnum

from pbx.routing.limits import RING_LIMIT_S, WHITELISTED_RING_S
from store.arrivals import Arrival, Blocked, Listed, Rule
from store.models import FaxUse, Treatment, WhenUnanswered


class Action(StrEnum):
    TAKE_MESSAGE = "take_message"
    RING = "ring"
    """Nobody answers: an announcement says so."""

    RECEIVE_FAX = "receive_fax"
    RING_THEN_MESSAGE = "ring_then_message"
    REJECT_BUSY = "reject_busy"
    REJECT = "reject"
    REJECT_SPOKEN = "reject_spoken"
    """A blocked caller hears that the call is not taken."""

    REFUSE_UNANSWERED = "refuse_unanswered"
    REFUSE_UNKNOWN = "refuse_unknown"


@dataclass(frozen=True)
class Decision:
    """`reason` is in words for the journal."""

    action: Action
    reason: str
    ring_s: int = 0
    rule: Rule | None = None
    """What takes the message, now or when nobody answers."""


def decide(arrival: Arrival | None, rang: bool = False) -> Decision:
    """What to do with a call that comes in; or, when it `rang`, after nobody answered it."""
    if arrival is None:
        return Decision(Action.REFUSE_UNKNOWN, "no such number")
    if arrival.fax is FaxUse.ONLY:
        return Decision(Action.RECEIVE_FAX, "the number takes faxes only")
    if arrival.callback_awaited and not rang:
        return Decision(Action.RING, "an emergency service may call back", arrival.ringing.ring_s)
    if arrival.blocked is not None and not rang:
        return _of_blocked(arrival, arrival.blocked)
    rule = arrival.rule
    if rule is None:
        return _by_plan(arrival, rang)
    why = f"rule {rule.id} ({arrival.because})"
    if rang:
        return Decision(Action.TAKE_MESSAGE, f"nobody answered, {why}", rule=rule)
    if arrival.listed is not None:
        return _of_listed(rule, f"on the whitelist ({_described(arrival.listed)}), {why}")
    if rule.ring_first_s:
        return Decision(Action.RING_THEN_MESSAGE, f"the devices ring first, {why}", rule.ring_first_s, rule)
    return Decision(Action.TAKE_MESSAGE, f"rusurepo is on, {why}", rule=rule)


def _by_plan(arrival: Arrival, rang: bool) -> Decision:
    """留守レポ is OFF: people are called, by the number's ring plan."""
    then = arrival.unanswered_rule
    if rang and then is None:
        return Decision(Action.REFUSE_UNANSWERED, "nobody answered, and the rule is no more")
    if rang:
        return Decision(Action.TAKE_MESSAGE, "nobody answered, rule of the ring plan", rule=then)
    why = f"rusurepo is off ({arrival.because})"
    action = Action.RING_THEN_MESSAGE if then else Action.RING
    return Decision(action, why, arrival.ringing.ring_s, then)


def _of_blocked(arrival: Arrival, blocked: Blocked) -> Decision:
    why = f"on the block list ({blocked.kind.value} {blocked.value})"
    rule = arrival.rule or arrival.unanswered_rule
    match blocked.treatment:
        case Treatment.BUSY:
            return Decision(Action.REJECT_BUSY, why)
        case Treatment.REJECT:
            return Decision(Action.REJECT, why)
        case Treatment.RUSUREPO if rule is not None:
            return Decision(Action.TAKE_MESSAGE, f"{why}, rule {rule.id}", rule=rule)
        case _:
            return Decision(Action.REJECT_SPOKEN, why)


def _of_listed(rule: Rule, reason: str) -> Decision:
    if rule.whitelisted_unanswered is WhenUnanswered.ANNOUNCEMENT:
        return Decision(Action.RING, reason, RING_LIMIT_S)
    return Decision(Action.RING_THEN_MESSAGE, reason, max(WHITELISTED_RING_S, rule.ring_first_s), rule)


def _described(entry: Listed) -> str:
    return " ".join(part for part in (entry.kind.value, entry.value, entry.name) if part)


def shown_name(caller_name: str | None, number_name: str) -> str:
    """What the called telephones show: who calls, by the phonebook, and which number was called."""
    called = f"[{number_name}]" if number_name else ""
    return " ".join(filter(None, (caller_name, called)))
