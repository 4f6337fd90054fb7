"""Signing in: how often somebody may try, and what a right password opens."""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import case, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import SignInCount, Token, TokenKind, User
from store.tokens import issue_token
from store.upserts import insert_for

WINDOW = timedelta(minutes=15)
MOST_OF_A_LOGIN = 10
MOST_OF_AN_ADDRESS = 100
"""More than of a login: a whole office may come from one address."""


async def wait_before_trying(
    session: AsyncSession, login: str, address: str | None, at: datetime
) -> timedelta | None:
    """Count one more try, and say how long to wait before the next; None where it may go on.

    Counted before the password is looked at, so that tries at the same moment gain nothing. Commit it
    whatever comes of the try.
    """
    limits = {_key("login", login.casefold()): MOST_OF_A_LOGIN}
    if address is not None:
        limits[_key("address", address)] = MOST_OF_AN_ADDRESS
    waits = [await _count(session, key, most, at) for key, most in sorted(limits.items())]
    return max((wait for wait in waits if wait is not None), default=None)


async def forget_tries(session: AsyncSession, login: str) -> None:
    """Of this login, because it signed in. Those of its address stay: they may be another's."""
    await session.execute(delete(SignInCount).where(SignInCount.key == _key("login", login.casefold())))


async def forget_old_tries(session: AsyncSession, at: datetime) -> None:
    await session.execute(delete(SignInCount).where(SignInCount.since < at - WINDOW))


async def find(session: AsyncSession, login: str) -> User | None:
    return await session.scalar(select(User).where(User.login == login.casefold()))


async def open_session(
    session: AsyncSession, user: User, at: datetime, lasts: timedelta, label: str
) -> tuple[Token, str]:
    """Give the user's new session's token and its secret. `label` says from where."""
    await forget_tries(session, user.login)
    signed_in = await session.get_one(User, user.id)
    signed_in.signed_in_at = at
    return await issue_token(
        session,
        user.role,
        user.account_id,
        label,
        user_id=user.id,
        kind=TokenKind.SESSION,
        expires_at=at + lasts,
    )


async def _count(session: AsyncSession, key: str, most: int, at: datetime) -> timedelta | None:
    over = SignInCount.since <= at - WINDOW
    counted = insert_for(session, SignInCount).values(key=key, tries=1, since=at)
    counted = counted.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "tries": case((over, 1), else_=SignInCount.tries + 1),
            "since": case((over, at), else_=SignInCount.since),
        },
    ).returning(SignInCount.tries, SignInCount.since)
    row = (await session.execute(counted)).one()
    return row.since + WINDOW - at if row.tries > most else None


def _key(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()
