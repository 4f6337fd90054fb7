"""A call from the trunk: who is called, and what is done with it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pbx.asterisk.call import CAUSE_BUSY, CAUSE_REJECTED, CAUSE_UNFIT, CAUSE_UNKNOWN_NUMBER, Call
from pbx.dialplan.names import CONTEXT_FAX_RECEIVE, CONTEXT_RING, ring_extension
from pbx.flows.rusurepo import Greeting, KeepMessage, rusurepo
from pbx.routing.inbound import Action, decide
from store.arrivals import Arrival, Rule

LookUp = Callable[[str], Awaitable[Arrival | None]]
REJECTED = "rejected"
"""What a blocked caller hears."""

Show = Callable[[Call, Arrival], Awaitable[None]]
"""Have the telephones that will ring show who calls and which number was called, best effort."""


@dataclass(frozen=True)
class Surroundings:
    """What the script needs that is the same for every call."""

    sounds: Path
    show: Show


Greet = Callable[[Rule], Greeting]


class Outcome(StrEnum):
    """How a call came out; stands in its record."""

    MESSAGE = "message"
    NO_MESSAGE = "no_message"
    UNKNOWN_NUMBER = "unknown_number"
    NO_ANSWER = "no_answer"
    BLOCKED = "blocked"
    HANDED_OVER = "handed_over"
    HUNG_UP = "hung_up"
    FAILED = "failed"


async def inbound(
    call: Call, arrival: Arrival | None, greet: Greet, keep: KeepMessage, surroundings: Surroundings
) -> Outcome:
    """The script of an inbound call. `arrival` is the number it came for, as it is set now.

    Where the devices are rung first, the dialplan does that; the call comes back when nobody answers, and
    the script is run once more. Raises HungUp.
    """
    decision = decide(arrival, rang=call.rang_for is not None)
    rule = decision.rule
    call.journal.note(
        call.id,
        "rule_consulted",
        decision=decision.action.value,
        reason=decision.reason,
        rule_id=rule and rule.id,
    )
    match decision.action, rule:
        case Action.TAKE_MESSAGE, Rule() as rule:
            kept = await rusurepo(call, greet(rule), keep)
            return Outcome.MESSAGE if kept else Outcome.NO_MESSAGE
        case Action.RECEIVE_FAX, _:
            await call.hand_to_dialplan(CONTEXT_FAX_RECEIVE)
            return Outcome.HANDED_OVER
        case ((Action.RING | Action.RING_THEN_MESSAGE), _):
            if arrival is not None:
                await surroundings.show(call, arrival)
            await call.hand_to_dialplan(
                CONTEXT_RING, ring_extension(decision.ring_s, rule.id if rule else "")
            )
            return Outcome.HANDED_OVER
        case Action.REJECT_SPOKEN, _:
            await call.play("refusal", surroundings.sounds / REJECTED)
            await call.hang_up(CAUSE_REJECTED)
            return Outcome.BLOCKED
        case Action.REJECT, _:
            await call.hang_up(CAUSE_REJECTED)
            return Outcome.BLOCKED
        case Action.REJECT_BUSY, _:
            await call.hang_up(CAUSE_BUSY)
            return Outcome.BLOCKED
        case Action.REFUSE_UNANSWERED, _:
            await call.hang_up(CAUSE_UNFIT)
            return Outcome.NO_ANSWER
        case _:
            await call.hang_up(CAUSE_UNKNOWN_NUMBER)
            return Outcome.UNKNOWN_NUMBER
