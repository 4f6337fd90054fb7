"""What may come of a call instead of what was waited for.

Exception
├── Refused        the far end answered with 3xx to 6xx
└── CallEnded      the call was over
"""

from dataclasses import dataclass
from typing import Literal

Side = Literal["caller", "switch"]


@dataclass(frozen=True)
class Ending:
    """Who ended the call and when; `caller` is our side, whichever side dialled."""

    by: Side
    at: float
    """On the event loop's clock, seconds."""

    cause: int | None = None
    """Q.850 cause of the Reason header, where one was given."""


class Refused(Exception):
    """The far end answered with a final status other than 2xx."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(f"{status} {reason}")


class CallEnded(Exception):
    """The call ended before what was waited for."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        super().__init__(f"the {ending.by} had ended the call (cause {ending.cause})")
