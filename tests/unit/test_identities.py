"""What the API remembers of tokens, and what makes it forget."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from portal_api.identities import KEPT_S, Identities
from store.models import Role, now
from store.tokens import Identity

pytestmark = pytest.mark.unit


@dataclass
class Clock:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Tokens:
    """Counts how often it is asked."""

    known: dict[str, Identity]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, secret: str) -> Identity | None:
        self.asked.append(secret)
        return self.known.get(secret)


def somebody(**more: object) -> Identity:
    return Identity("token-1", Role.ADMINISTRATOR, "account-1", **more)  # type: ignore[arg-type]


async def test_a_token_is_looked_up_once_for_as_long_as_it_is_kept() -> None:
    clock, tokens = Clock(), Tokens({"good": somebody()})
    identities = Identities(clock)
    found = [await identities.of("good", tokens) for _ in range(3)]
    clock.at = KEPT_S
    found.append(await identities.of("good", tokens))
    assert found == [somebody()] * 4
    assert tokens.asked == ["good", "good"]


async def test_who_is_unknown_is_looked_up_each_time() -> None:
    tokens = Tokens({})
    identities = Identities(Clock())
    assert [await identities.of("bad", tokens) for _ in range(2)] == [None, None]
    assert tokens.asked == ["bad", "bad"]


async def test_a_change_is_heeded_at_once() -> None:
    tokens = Tokens({"good": somebody()})
    identities = Identities(Clock())
    await identities.of("good", tokens)
    tokens.known.clear()
    identities.forget()
    assert await identities.of("good", tokens) is None


async def test_what_was_read_before_a_change_and_comes_after_it_is_not_remembered() -> None:
    identities = Identities(Clock())

    async def slow(_secret: str) -> Identity:
        identities.forget()
        return somebody()

    assert await identities.of("good", slow) == somebody()
    assert await identities.of("good", Tokens({})) is None


async def test_a_token_ends_on_time() -> None:
    ended = somebody(expires_at=now() - timedelta(seconds=1))
    tokens = Tokens({"good": ended})
    identities = Identities(Clock())
    await identities.of("good", tokens)
    await identities.of("good", tokens)
    assert tokens.asked == ["good", "good"]
