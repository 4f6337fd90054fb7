"""What a payment provider is to us. A card's number never comes here: only what the provider gave for it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Card:
    """A card that the provider keeps for us. `expires` is its last calendar month, as `2027-03`."""

    customer_ref: str
    method_ref: str
    brand: str
    last4: str
    expires: str


@dataclass(frozen=True)
class Paid:
    """It was charged; `ref` is the provider's id of it."""

    ref: str


@dataclass(frozen=True)
class Pending:
    """The provider has not decided yet: ask again by its id."""

    ref: str


class ProviderError(Exception):
    """`reason` is Japanese, for the customer, without secrets."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason


class Declined(ProviderError):
    """The card, or its token, is refused: the customer must do something. `ref` where there is one."""

    def __init__(self, code: str, reason: str, ref: str | None = None) -> None:
        super().__init__(code, reason)
        self.ref = ref


class Away(ProviderError):
    """The provider does not answer, or refuses us: try again with the same key."""


class Provider(Protocol):
    """Keys are ours, the same whenever the same thing is tried again: it is done once."""

    async def register(self, token: str, account_id: str, key: str) -> Card:
        """Keep the card of `token` for the account. Raises Declined, Away."""

    async def charge(self, card: Card, amount: int, description: str, key: str) -> Paid | Pending:
        """Charge whole yen. Raises Declined, Away."""

    async def look(self, ref: str) -> Paid | Pending:
        """How a charge stands. Raises Declined, Away."""
