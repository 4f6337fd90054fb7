"""Failed logins as Asterisk tells of them, and when an address has failed too often. Pure: time is given."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pbx.phones.register import PROBE
from store.intruders import Failures
from store.models import LoginFailure

WINDOW = timedelta(seconds=60)
MOST_FAILURES = 20
"""Failures in a window for which an address is blocked. A wrong password costs one, an unknown name two:
a request, and the answer to the challenge that Asterisk gives strangers, too."""

BLOCKED_FOR = timedelta(minutes=10)
MOST_ADDRESSES = 10_000
"""Addresses that are watched at once; more come from a forger only."""

REASONS = {
    "InvalidAccountID": LoginFailure.UNKNOWN_DEVICE,
    "ChallengeResponseFailed": LoginFailure.WRONG_PASSWORD,
}
NOBODY = "<unknown>"
"""Whom Asterisk challenges where there is no such device: the event before has told of it."""


@dataclass(frozen=True)
class Attempt:
    """One login that failed."""

    address: str
    username: str
    reason: LoginFailure


def attempt_of(event: Mapping[str, str]) -> Attempt | None:
    """What an AMI security event tells; None where it is no failed SIP login of somebody else."""
    reason = REASONS.get(event.get("Event", ""))
    username = event.get("AccountID", "")
    # IPV4/UDP/192.0.2.1/5060
    where = event.get("RemoteAddress", "").split("/")
    if reason is None or event.get("Service") != "PJSIP" or username == NOBODY or len(where) != 4:
        return None
    if event.get("SessionID", "").startswith(PROBE):
        return None
    printable = "".join(sign for sign in username if sign.isprintable())
    return Attempt(where[2][:45], printable[:64], reason)


class Watch:
    """Counts failures per address. Whoever asks for them takes them along."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[datetime]] = {}
        self._counted: dict[Attempt, Failures] = {}

    def failed(self, attempt: Attempt, at: datetime) -> int:
        """One more failure; how many the address has within the window."""
        so_far = self._counted.get(attempt)
        if so_far is None:
            so_far = Failures(attempt.address, attempt.username, attempt.reason, 0, at, at)
        self._counted[attempt] = replace(so_far, count=so_far.count + 1, last_at=at)
        if attempt.address not in self._recent and len(self._recent) >= MOST_ADDRESSES:
            self._recent.pop(next(iter(self._recent)))
        recent = self._recent.setdefault(attempt.address, deque(maxlen=MOST_FAILURES))
        recent.append(at)
        while recent[0] <= at - WINDOW:
            recent.popleft()
        return len(recent)

    def forget(self, address: str) -> None:
        """What it did is paid for."""
        self._recent.pop(address, None)

    def take(self) -> list[Failures]:
        """What was counted since the last time."""
        counted, self._counted = self._counted, {}
        return list(counted.values())

    def put_back(self, failures: list[Failures]) -> None:
        """They could not be kept: count them again."""
        for one in failures:
            key = Attempt(one.address, one.username, one.reason)
            later = self._counted.get(key)
            self._counted[key] = (
                replace(later, count=later.count + one.count, first_at=one.first_at) if later else one
            )
