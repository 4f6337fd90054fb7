"""What follows from a failure: another try, or the end of the delivery. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from notify.service import (
    BadCredential,
    BadDestination,
    BadPayload,
    Failure,
    QuotaGone,
    Throttled,
    Unanswered,
    Unavailable,
)
from store.worker import retry_s

JAPAN = timezone(timedelta(hours=9))
MOST_UNANSWERED = 2
"""How often a step that may have been done is tried again where the far side does not know our key."""

GIVE_UP_S = 24 * 3600.0
"""How long a far side may be away. LINE remembers a key for as long."""

THROTTLED_S = 30.0
LONGEST_THROTTLE_S = 3600.0

CODES: dict[type[Failure], str] = {
    Throttled: "throttled",
    Unavailable: "unavailable",
    Unanswered: "unanswered",
    QuotaGone: "quota_gone",
    BadCredential: "bad_credential",
    BadDestination: "bad_destination",
    BadPayload: "bad_payload",
}


@dataclass(frozen=True)
class Again:
    """Try again in so many seconds; where it does not count, as if this try had not been."""

    after_s: float
    counts: bool = True


@dataclass(frozen=True)
class Over:
    """It will not be delivered."""

    breaks: bool = False
    """The service will not take anything else either, until it is mended."""

    until: datetime | None = None
    """When it mends by itself."""


def code_of(failure: Failure) -> str:
    return next((code for kind, code in CODES.items() if isinstance(failure, kind)), "failed")


def verdict_of(
    failure: Failure, attempts: int, waited_s: float, unanswered: int, knows_repeats: bool, at: datetime
) -> Again | Over:
    """Judge a failure of a step.

    `attempts` counts the tries so far, `waited_s` is how long they have taken, `unanswered` how often the
    step may have been done, `knows_repeats` whether the far side would notice that.
    """
    match failure:
        case Throttled():
            return Again(min(failure.after_s or THROTTLED_S, LONGEST_THROTTLE_S), counts=False)
        case QuotaGone():
            return Over(breaks=True, until=next_month(at))
        case BadCredential() | BadDestination():
            return Over(breaks=True)
        case Unanswered() if not knows_repeats and unanswered > MOST_UNANSWERED:
            return Over()
        case Unavailable() | Unanswered() if waited_s < GIVE_UP_S:
            return Again(retry_s(attempts))
        case _:
            return Over()


def next_month(at: datetime) -> datetime:
    """The first moment of the next month in Japan, where quotas are counted anew."""
    here = at.astimezone(JAPAN)
    return (here.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(
        day=1
    )
