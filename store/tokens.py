"""Bearer tokens of the API: those made for programs, and those of who has signed in."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store import accounts
from store.errors import NotFound, Unusable
from store.models import Role, Token, TokenKind, User, UserDevice, new_id, now
from store.pages import Page, PageRequest, read_page


@dataclass(frozen=True)
class Identity:
    """Who asks. An operator belongs to no account.

    `scopes` and `device_ids` are None where nothing is narrowed. `name` is for people to read.
    """

    token_id: str
    role: Role
    account_id: str | None
    user_id: str | None = None
    name: str = ""
    kind: TokenKind = TokenKind.API
    scopes: frozenset[str] | None = None
    device_ids: frozenset[str] | None = None
    expires_at: datetime | None = field(default=None, compare=False)

    @property
    def by(self) -> str:
        """Who changed something, as rows note it: the user, or the token where it is nobody's."""
        return self.user_id or self.token_id


async def issue_token(
    session: AsyncSession,
    role: Role,
    account_id: str | None,
    label: str = "",
    *,
    user_id: str | None = None,
    kind: TokenKind = TokenKind.API,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[Token, str]:
    """Make a token and give its row and its secret, which is kept nowhere and shown this once.

    `account_id` is None for an operator and only then. Raises Unusable for any other, or for no such account.
    """
    if account_id is not None:
        await accounts.refuse_unknown(session, account_id)
    if (role is Role.OPERATOR) != (account_id is None):
        raise Unusable("account_id", "missing" if account_id is None else "extra_forbidden")
    token_id = new_id()
    secret = f"{_prefix(token_id)}{secrets.token_urlsafe(32)}"
    token = Token(
        id=token_id,
        account_id=account_id,
        role=role,
        label=label,
        digest=_digest(secret),
        kind=kind,
        user_id=user_id,
        scopes=None if scopes is None else sorted(set(scopes)),
        expires_at=expires_at,
    )
    session.add(token)
    await session.flush()
    return token, secret


async def identify(session: AsyncSession, secret: str, at: datetime | None = None) -> Identity | None:
    """Say whose token `secret` is; None for one that is unknown, revoked, expired or of a blocked user."""
    at = at or now()
    found = select(Token, User).outerjoin(User, User.id == Token.user_id)
    found = found.where(Token.digest == _digest(secret), Token.revoked_at.is_(None))
    row = (await session.execute(found)).one_or_none()
    if row is None:
        return None
    token: Token = row[0]
    user: User | None = row[1]
    if (token.expires_at is not None and token.expires_at <= at) or (user is not None and not user.enabled):
        return None
    role = user.role if user is not None else token.role
    return Identity(
        token_id=token.id,
        role=role,
        account_id=token.account_id,
        user_id=token.user_id,
        name=user.login if user is not None else token.label,
        kind=token.kind,
        scopes=None if token.scopes is None else frozenset(token.scopes),
        device_ids=await _devices_of(session, user) if user is not None and role is Role.MEMBER else None,
        expires_at=token.expires_at,
    )


async def _devices_of(session: AsyncSession, user: User) -> frozenset[str]:
    bound = select(UserDevice.device_id).where(UserDevice.user_id == user.id)
    return frozenset(await session.scalars(bound))


async def list_tokens(
    session: AsyncSession, account_id: str | None, request: PageRequest, user_id: str | None = None
) -> Page[Token]:
    """Give a page of the account's tokens for programs that still work, oldest first.

    Of all accounts where `account_id` is None; of one user where `user_id` is given.
    """
    rows = _working(TokenKind.API)
    if account_id is not None:
        rows = rows.where(Token.account_id == account_id)
    if user_id is not None:
        rows = rows.where(Token.user_id == user_id)
    return await read_page(session, rows, (Token.created_at, Token.id), request, newest_first=False)


async def list_sessions(session: AsyncSession, user_id: str, request: PageRequest) -> Page[Token]:
    """Give a page of where the user is signed in, oldest first."""
    rows = _working(TokenKind.SESSION).where(Token.user_id == user_id)
    return await read_page(session, rows, (Token.created_at, Token.id), request, newest_first=False)


def _working(kind: TokenKind) -> Select[Token]:
    lasts = or_(Token.expires_at.is_(None), Token.expires_at > now())
    return select(Token).where(Token.kind == kind, Token.revoked_at.is_(None), lasts)


async def revoke_token(
    session: AsyncSession,
    account_id: str | None,
    token_id: str,
    user_id: str | None = None,
    kind: TokenKind = TokenKind.API,
) -> None:
    """Make the token worthless from now on. None as `account_id` reaches any. Raises NotFound."""
    (await _token(session, account_id, token_id, user_id, kind)).revoked_at = now()


async def rotate_token(
    session: AsyncSession, account_id: str | None, token_id: str, user_id: str | None, grace: timedelta
) -> tuple[Token, str]:
    """Make a token that may do the same, and let the old one work for `grace` more. Raises NotFound.

    One with an end gets as long a life again.
    """
    old = await _token(session, account_id, token_id, user_id, TokenKind.API)
    at = now()
    expires_at = None if old.expires_at is None else at + (old.expires_at - old.created_at)
    new, secret = await issue_token(
        session,
        old.role,
        old.account_id,
        old.label,
        user_id=old.user_id,
        scopes=old.scopes,
        expires_at=expires_at,
    )
    if grace:
        old.expires_at = min(at + grace, old.expires_at or at + grace)
    else:
        old.revoked_at = at
    return new, secret


async def _token(
    session: AsyncSession, account_id: str | None, token_id: str, user_id: str | None, kind: TokenKind
) -> Token:
    token = await session.get(Token, token_id)
    if (
        token is None
        or token.revoked_at
        or token.kind is not kind
        or account_id not in (None, token.account_id)
        or user_id not in (None, token.user_id)
    ):
        raise NotFound(token_id)
    return token


async def end_sessions(session: AsyncSession, user_id: str, but: str | None = None) -> int:
    """Sign the user out everywhere, except from the session `but`; give how many ended."""
    ended = update(Token).where(
        Token.user_id == user_id,
        Token.kind == TokenKind.SESSION,
        Token.revoked_at.is_(None),
        Token.id != (but or ""),
    )
    rows = await session.execute(ended.values(revoked_at=now()).returning(Token.id))
    return len(rows.all())


async def note_uses(session: AsyncSession, uses: Mapping[str, datetime]) -> None:
    """Note when tokens were last used, by their ids."""
    for token_id, at in sorted(uses.items()):
        later = or_(Token.last_used_at.is_(None), Token.last_used_at < at)
        await session.execute(update(Token).where(Token.id == token_id, later).values(last_used_at=at))


async def forget_ended_sessions(session: AsyncSession, before: datetime) -> None:
    """Remove the sessions that ended before then: everybody who signs in leaves one."""
    ended = or_(Token.expires_at < before, Token.revoked_at < before)
    await session.execute(delete(Token).where(Token.kind == TokenKind.SESSION, ended))


def masked(token: Token) -> str:
    """Enough of the secret to tell tokens apart."""
    return f"{_prefix(token.id)}********"


def _prefix(token_id: str) -> str:
    return f"dwb_{token_id[:8]}_"


def _digest(secret: str) -> str:
    # No salt and no slow hash: the secret is 256 random bits, and every request looks one up.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
