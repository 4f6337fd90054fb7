"""Why a recording ended, when whoever knew is gone. Pure."""

from pbx.routing.limits import MESSAGE_S
from store.models import EndedBy


def infer_ended_by(duration_s: float) -> EndedBy:
    """From the length alone: whole means the limit, less that the caller went."""
    return EndedBy.LIMIT if duration_s >= MESSAGE_S - 0.1 else EndedBy.HANGUP
