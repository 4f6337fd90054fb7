"""Where an account's credit stands: pure, from the sums of its billing months.

Calls of a month are on account up to the month's ceiling. What goes beyond is paid from top-ups, which
never expire: what is left of them is carried over.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MonthSums:
    """Yen without tax. `month` sorts as text."""

    month: str
    ceiling: int
    charged: int
    topped_up: int


@dataclass(frozen=True)
class Standing:
    """As of one month. `covered` is what top-ups paid of its charges, `balance` what is left of them."""

    ceiling: int
    charged: int
    topped_up: int
    covered: int
    balance: int

    @property
    def available(self) -> int:
        """What calls of this month may still cost."""
        return max(0, self.ceiling - self.charged) + self.balance


def standing_in(month: str, ceiling: int, months: Iterable[MonthSums]) -> Standing:
    """Reckon through all months; `month` has this ceiling where it has no sums yet.

    What later months have used of the top-ups is no longer there for this one either.
    """
    in_order = sorted(
        {**{month: MonthSums(month, ceiling, 0, 0)}, **{one.month: one for one in months}}.items()
    )
    balance, found, free = 0, MonthSums(month, ceiling, 0, 0), 0
    covered_then = 0
    for name, sums in in_order:
        balance += sums.topped_up
        covered = min(balance, max(0, sums.charged - sums.ceiling))
        balance -= covered
        if name == month:
            found, covered_then, free = sums, covered, balance
        elif name > month:
            free = min(free, balance)
    return Standing(found.ceiling, found.charged, found.topped_up, covered_then, free)
