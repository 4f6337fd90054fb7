"""Whether a fax is tried again, when, and with which values. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from faxgw.outcomes import LINE_RESTARTED
from store.models import FaxResultClass as Class
from store.models import FaxTransport

MOST_ATTEMPTS = 8
T38, G711 = FaxTransport.T38, FaxTransport.G711

WAITS: dict[Class, tuple[float, ...]] = {
    Class.BUSY: (1, 2, 3, 5, 5),
    Class.NO_ANSWER: (3, 5),
    Class.NETWORK: (0.5, 1, 2, 5),
    Class.BAD_LINE: (0.5, 1, 1, 2),
    Class.CUT_OFF: (0.5, 1, 1, 2),
    Class.NOT_A_FAX: (2,),
    Class.NOT_CAPABLE: (0.2, 0.2),
    Class.OUR_FAULT: (0.5, 1, 2),
}
"""How long to wait before each further try, in units of the wait before a busy number's first. Classes that
are not here are final."""


@dataclass(frozen=True)
class Values:
    """What a call is made with."""

    transport: FaxTransport = T38
    ecm: bool = True
    max_rate: int = 14400
    fine: bool = True


LADDER = (
    Values(),
    Values(G711),
    Values(T38, max_rate=9600),
    Values(G711, max_rate=9600),
    Values(G711, ecm=False, max_rate=7200),
)
"""What to try next on a bad line."""


@dataclass(frozen=True)
class Tried:
    """One attempt that is over."""

    values: Values
    result: Class
    code: str


@dataclass(frozen=True)
class Again:
    after_s: float
    values: Values


def next_try(tried: Sequence[Tried], unit_s: float) -> Again | None:
    """What follows the last of `tried`; None: nothing, it has failed."""
    last = tried[-1]
    waits = WAITS.get(last.result, ())
    alike = sum(1 for one in tried if one.result is last.result)
    if alike > len(waits) or len(tried) >= MOST_ATTEMPTS:
        return None
    values = _next_values(tried)
    return Again(waits[alike - 1] * unit_s, values) if values is not None else None


def _next_values(tried: Sequence[Tried]) -> Values | None:
    last = tried[-1]
    if last.code == LINE_RESTARTED:
        # That was our side's, and says nothing of the far one's.
        return last.values
    match last.result:
        case Class.NOT_CAPABLE:
            return _for_a_simple_machine(last)
        case Class.BAD_LINE | Class.CUT_OFF:
            before = {replace(one.values, fine=True) for one in tried}
            if "t38" in last.code:
                before |= {values for values in LADDER if values.transport is T38}
            left = (values for values in LADDER if values not in before)
            return replace(next(left, last.values), fine=last.values.fine)
        case _:
            return last.values


def _for_a_simple_machine(last: Tried) -> Values | None:
    if last.values.fine and "noressupport" in last.code:
        return replace(last.values, fine=False)
    if last.values.ecm and "incompatible" in last.code:
        return replace(last.values, ecm=False)
    if last.values.transport is T38 and last.code.startswith(("sip_", "q850_")):
        return replace(last.values, transport=G711)
    return None
