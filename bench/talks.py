"""What is seen of calls between a carrier and telephones: a record of each, filled by `bench.talking`."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.measure import LATE_PACKET_S, Percentiles
from bench.numbered import LEVELS
from tests.sip.dialog import Dialog
from tests.sip.message import Request

Peer = tuple[str, int]


@dataclass(frozen=True)
class Script:
    """What happens in a call: it rings, is answered, the caller is told, both talk, one hangs up."""

    extension: str
    ring_s: float
    told_s: float
    talk_s: float


@dataclass(slots=True, eq=False)
class Leg:
    """One side of a call: what it sends and hears."""

    packets: Sequence[bytes]
    others: dict[bytes, int]
    """Payloads of the other side -> their number."""

    rtp: socket.socket
    dialog: Dialog | None = None
    media: Peer | None = None
    slot: int = -1
    number: int = 0
    first_heard_at: float | None = None
    """When the other side was first heard."""

    heard: int = 0
    """Packets of the other side."""

    missing: int = 0
    """Packets of the other side that were left out between those."""

    late: int = 0
    told: int = 0
    """Packets of something else, before the other side was heard."""

    _last: int = -1
    _last_at: float = 0.0

    def take(self, payload: bytes, at: float) -> None:
        """One packet came."""
        number = self.others.get(payload)
        if number is None:
            self.told += self.first_heard_at is None
            return
        if self.first_heard_at is None:
            self.first_heard_at = at
        else:
            self.missing += (number - self._last - 1) % LEVELS
            self.late += at - self._last_at > LATE_PACKET_S
        self.heard += 1
        self._last, self._last_at = number, at


@dataclass(slots=True, eq=False)
class Talk:
    """The moments of one call, in seconds since the epoch; None is what never came."""

    caller: str
    script: Script
    outside: Leg
    inside: Leg
    invite: Request | None = None
    invited_at: float = 0.0
    rang_at: float | None = None
    """When the first telephone was called."""

    rung: int = 0
    picked_up_at: float | None = None
    cancelled_at: list[float] = field(default_factory=list)
    """When each telephone that did not get the call was told to stop."""

    answered_at: float | None = None
    hung_up_at: float | None = None
    ended_at: float | None = None
    """When the other side was told."""

    status: int = 0

    @property
    def failure(self) -> str | None:
        """Why this call is no success."""
        if self.status != 200:
            return f"refused {self.status}" if self.status else "no answer"
        if not self.inside.heard or not self.outside.heard:
            return "a side was never heard"
        if self.outside.told < self.script.told_s * 50 * 0.95:
            return "the announcement was cut"
        if self.outside.missing or self.inside.missing:
            return "a side had holes"
        if len(self.cancelled_at) != self.rung - 1:
            return "a telephone went on ringing"
        return None if self.ended_at else "not hung up"


@dataclass
class Talked:
    """What one run saw."""

    talks: list[Talk]
    lateness: Percentiles
    """How late the load's own packets left, in seconds."""

    load_share: float
    """The part of one processor that the load itself took."""

    @property
    def well(self) -> list[Talk]:
        return [talk for talk in self.talks if talk.failure is None]
