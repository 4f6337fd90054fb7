"""What the voices refuse.

VoicesError
├── Refused       the text or file cannot become a prompt; `code` says why
└── Unavailable   it is our side that fails: try again later
    ├── Busy      others wait already
    └── Broken    the child died or hung
"""

from typing import Literal, get_args

Reason = Literal["unreadable", "not_audio", "damaged_audio", "has_video", "inaudible", "audio_too_long"]
"""`unreadable`: nothing in the text can be spoken. The rest is about sound."""

REASONS: tuple[Reason, ...] = get_args(Reason)


class VoicesError(Exception):
    """No prompt came out."""


class Refused(VoicesError):
    """What was given cannot become a prompt."""

    def __init__(self, code: Reason) -> None:
        super().__init__(code)
        self.code = code


class Unavailable(VoicesError):
    """Our side fails; what was given may be fine."""


class Busy(Unavailable):
    """Too many wait for the child."""


class Broken(Unavailable):
    """The child died or hung; the next request gets a new one."""
