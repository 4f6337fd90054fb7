"""What to do with a call from the trunk. Pure: the number's settings in, a decision and its reason out."""

from enum import StrEnum

from store.arrivals import Arrival
from store.models import NumberUse


class Decision(StrEnum):
    TAKE_MESSAGE = "take_message"
    RING = "ring"
    REFUSE_UNFIT = "refuse_unfit"
    REFUSE_UNKNOWN = "refuse_unknown"


def decide(arrival: Arrival | None) -> tuple[Decision, str]:
    """The decision and why, in words for the journal."""
    if arrival is None:
        return Decision.REFUSE_UNKNOWN, "no such number"
    if arrival.use is not NumberUse.VOICE:
        return Decision.REFUSE_UNFIT, "the number is for fax"
    if arrival.rule is None:
        return Decision.RING, "rusurepo is off"
    return Decision.TAKE_MESSAGE, f"rusurepo is on, rule {arrival.rule.id}"
