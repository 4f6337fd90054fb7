"""Why a recording ended, when whoever knew is gone. Pure."""

from pbx.routing.limits import MESSAGE_S
from store.models import EndedBy


def infer_ended_by(duration_s: float, caller_stayed: bool = False) -> EndedBy:
    """From the length, and from whether the caller was still there afterwards: who stays has pressed `#`."""
    if duration_s >= MESSAGE_S - 0.1:
        return EndedBy.LIMIT
    return EndedBy.HASH if caller_stayed else EndedBy.HANGUP
