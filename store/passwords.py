"""Passwords: kept as argon2id, which is slow on purpose. Call from a thread."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from store.errors import Unusable

SHORTEST, LONGEST = 10, 128
# Without 0/o and 1/l/i: a made-up password is read aloud and typed.
SIGNS = "23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
MADE_UP_LENGTH = 16

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """Give argon2id's own text, with its salt and its costs (64 MB, some 50 ms of a processor)."""
    return _hasher.hash(password)


def matches(password: str, password_hash: str | None) -> bool:
    """Whether it is the one; None (nobody of that name) takes as long and is false."""
    try:
        return _hasher.verify(password_hash or _nobodys(), password) and password_hash is not None
    except (VerifyMismatchError, InvalidHashError):
        return False


def outdated(password_hash: str) -> bool:
    """Whether it was made with other costs than today's."""
    return _hasher.check_needs_rehash(password_hash)


def refuse_weak(password: str, login: str) -> None:
    """Raises Unusable `weak` for what is guessed first. Length is what counts, so nothing else is asked."""
    folded = password.casefold()
    name = login.casefold().partition("@")[0]
    if len(set(folded)) < 5 or folded in name or (len(name) > 3 and name in folded):
        raise Unusable("password", "weak")


def made_up() -> str:
    """A password that nobody guesses."""
    return "".join(secrets.choice(SIGNS) for _ in range(MADE_UP_LENGTH))


@cache
def _nobodys() -> str:
    return hashed(secrets.token_urlsafe())
