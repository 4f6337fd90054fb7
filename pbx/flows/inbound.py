"""A call from the trunk: who is called, and what is done with it."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from pbx.asterisk.call import CAUSE_UNFIT, CAUSE_UNKNOWN_NUMBER, Call
from pbx.dialplan.names import CONTEXT_RING
from pbx.flows.rusurepo import Greeting, KeepMessage, rusurepo
from pbx.routing.inbound import Decision, decide
from store.arrivals import Arrival, Rule

LookUp = Callable[[str], Awaitable[Arrival | None]]
Greet = Callable[[Rule], Greeting]


class Outcome(StrEnum):
    """How a call came out; stands in its record."""

    MESSAGE = "message"
    NO_MESSAGE = "no_message"
    UNKNOWN_NUMBER = "unknown_number"
    NOT_IN_SERVICE = "not_in_service"
    HANDED_OVER = "handed_over"
    HUNG_UP = "hung_up"
    FAILED = "failed"


async def inbound(call: Call, arrival: Arrival | None, greet: Greet, keep: KeepMessage) -> Outcome:
    """The script of an inbound call. `arrival` is the number it came for, as it is set now.

    Raises HungUp.
    """
    decision, reason = decide(arrival)
    call.journal.note(call.id, "rule_consulted", decision=decision.value, reason=reason)
    match decision, arrival:
        case Decision.TAKE_MESSAGE, Arrival(rule=Rule() as rule):
            kept = await rusurepo(call, greet(rule), keep)
            return Outcome.MESSAGE if kept else Outcome.NO_MESSAGE
        case Decision.RING, _:
            await call.hand_to_dialplan(CONTEXT_RING)
            return Outcome.HANDED_OVER
        case Decision.REFUSE_UNFIT, _:
            await call.hang_up(CAUSE_UNFIT)
            return Outcome.NOT_IN_SERVICE
        case _:
            await call.hang_up(CAUSE_UNKNOWN_NUMBER)
            return Outcome.UNKNOWN_NUMBER
