"""Passwords at the door: hashed in a thread, some at a time, and tried only so often."""

import asyncio
from typing import Annotated

from pydantic import Field, StringConstraints

from portal_api.problems import Problem, field_error
from portal_api.routing import Ask
from store import passwords, sign_in
from store.errors import TooManyTries
from store.models import User, now

NewPassword = Annotated[
    str,
    StringConstraints(min_length=passwords.SHORTEST, max_length=passwords.LONGEST),
    Field(description="10文字以上。種類は問わない", examples=["correct horse battery"]),
]
PasswordGiven = Annotated[str, StringConstraints(min_length=1, max_length=passwords.LONGEST)]


async def hashed(ask: Ask, password: str, login: str) -> str:
    """Give what is kept of a new password. Raises Unusable `weak`."""
    passwords.refuse_weak(password, login)
    async with ask.parts.hashings:
        return await asyncio.to_thread(passwords.hashed, password)


async def matching(ask: Ask, login: str, password: str) -> User | None:
    """Give the user whose password it is, or None, after as long whichever it is. Raises TooManyTries."""
    at = now()
    async with ask.session() as session:
        wait = await sign_in.wait_before_trying(session, login, ask.address, at)
    if wait is not None:
        raise TooManyTries(wait)
    async with ask.session() as session:
        user = await sign_in.find(session, login)
    async with ask.parts.hashings:
        right = await asyncio.to_thread(
            passwords.matches, password, user.password_hash if user is not None and user.enabled else None
        )
    return user if right else None


async def prove(ask: Ask, login: str, password: str) -> User:
    """Have who has signed in give the password again. Raises Problem, TooManyTries."""
    user = await matching(ask, login, password)
    if user is None:
        raise Problem("invalid_body", errors=[field_error("password", "wrong")])
    async with ask.session() as session:
        await sign_in.forget_tries(session, login)
    return user
