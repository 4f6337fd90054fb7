"""How many requests a token may make of this process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

BURST_S = 5
"""How many seconds' worth may come at once."""

MOST_REMEMBERED = 10_000


@dataclass
class Rate:
    """`per_s` for each key, `BURST_S` times that at once; 0 is no limit."""

    per_s: float
    clock: Callable[[], float] = time.monotonic
    _full_at: dict[str, float] = field(default_factory=dict)
    """When each key may have its whole burst again: all that need be known of it."""

    def wait_s(self, key: str) -> float:
        """Count one request, and give how long to wait instead; 0 where it may go on."""
        if not self.per_s:
            return 0.0
        now = self.clock()
        full_at = max(self._full_at.get(key, now), now) + 1 / self.per_s
        if full_at - now > BURST_S:
            return full_at - now - BURST_S
        if key not in self._full_at and len(self._full_at) >= MOST_REMEMBERED:
            self._full_at = {other: at for other, at in self._full_at.items() if at > now}
        self._full_at[key] = full_at
        return 0.0
