"""Bearer tokens of the API."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import accounts
from store.errors import NotFound, Unusable
from store.models import Role, Token, new_id, now
from store.pages import Page, PageRequest, read_page


@dataclass(frozen=True)
class Identity:
    """Who asks. An operator belongs to no account."""

    token_id: str
    role: Role
    account_id: str | None


async def issue_token(
    session: AsyncSession, role: Role, account_id: str | None, label: str = ""
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
    token = Token(id=token_id, account_id=account_id, role=role, label=label, digest=_digest(secret))
    session.add(token)
    await session.flush()
    return token, secret


async def identify(session: AsyncSession, secret: str) -> Identity | None:
    """Say whose token `secret` is; None for an unknown or revoked one."""
    token = await session.scalar(
        select(Token).where(Token.digest == _digest(secret), Token.revoked_at.is_(None))
    )
    return Identity(token.id, token.role, token.account_id) if token else None


async def list_tokens(session: AsyncSession, account_id: str | None, request: PageRequest) -> Page[Token]:
    """Give a page of the account's tokens that are not revoked, oldest first; of all where it is None."""
    rows = select(Token).where(Token.revoked_at.is_(None))
    if account_id is not None:
        rows = rows.where(Token.account_id == account_id)
    return await read_page(session, rows, (Token.created_at, Token.id), request, newest_first=False)


async def revoke_token(session: AsyncSession, account_id: str | None, token_id: str) -> None:
    """Make the token worthless from now on. None as `account_id` reaches any. Raises NotFound."""
    token = await session.get(Token, token_id)
    if token is None or token.revoked_at or account_id not in (None, token.account_id):
        raise NotFound(token_id)
    token.revoked_at = now()


def masked(token: Token) -> str:
    """Enough of the secret to tell tokens apart."""
    return f"{_prefix(token.id)}********"


def _prefix(token_id: str) -> str:
    return f"dwb_{token_id[:8]}_"


def _digest(secret: str) -> str:
    # No salt and no slow hash: the secret is 256 random bits, and every request looks one up.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
