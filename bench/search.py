"""The search for the highest rate of calls. Pure: told how each run went, it says which comes next."""

from dataclasses import dataclass, field

STEPS = (20, 40, 60, 80, 100, 120)
QUICK_STEPS = (25, 50)
FINE_ENOUGH = 8
"""Calls per second between the highest good and the lowest bad rate that need no closer look."""


@dataclass
class Search:
    """Climbs until a rate goes wrong twice, then looks once halfway to the last good one.

    Twice, since on a machine with other work one bad run proves nothing.
    """

    steps: tuple[int, ...] = STEPS
    best: int = 0
    """The highest rate at which all went well; 0 while none did."""

    limit: int | None = None
    """The lowest rate that went wrong twice; None where none did."""

    troubles: list[str] = field(default_factory=list)
    """What went wrong at `limit`."""

    _doubted: int | None = None
    _halved: bool = False

    def next_rate(self) -> int | None:
        """Calls per second to try next; None when the search is over."""
        if self._doubted is not None:
            return self._doubted
        if self.limit is None:
            return next((step for step in self.steps if step > self.best), None)
        if self._halved or self.limit - self.best <= FINE_ENOUGH or not self.best:
            return None
        return (self.best + self.limit) // 2

    def take(self, rate: int, troubles: list[str]) -> None:
        """How the run at `rate` went."""
        halfway = self.limit is not None
        if not troubles:
            self._doubted = None
            self.best = rate
        elif self._doubted == rate:
            self._doubted = None
            self.limit, self.troubles = rate, troubles
        else:
            self._doubted = rate
        self._halved = halfway and self._doubted is None
