"""`/tokens`: who may use this API. An administrator sees and makes those of its own account only.

Who has signed in makes personal tokens: worth what the user is worth, and less where scopes say so.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from portal_api.access import exceed
from portal_api.problems import Problem
from portal_api.routing import SCOPES, Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, PageOf, PageQuery, TimeGiven, Timestamp
from store import tokens
from store.errors import Unusable
from store.models import Role, TokenKind, now
from store.models import Token as TokenRow

resource = Resource("トークン")

SCOPE = "使える範囲。read・writeはすべての、messages:readなどはその種類だけの読み取り・変更。nullは制限なし"
Scopes = Annotated[
    list[IdGiven] | None, Field(max_length=100, description=SCOPE, examples=[["messages:read"]])
]


class Token(BaseModel):
    id: str
    account_id: str | None
    role: Role
    label: str
    masked: str = Field(examples=["dwb_0a1b2c3d_********"])
    user_id: str | None = Field(description="個人のトークンでは、そのユーザー")
    scopes: list[str] | None = Field(description=SCOPE)
    created_at: Timestamp
    expires_at: Timestamp | None = Field(description="この日時から使えない。nullは期限なし")
    last_used_at: Timestamp | None = Field(description="最後に使われた日時(1分ほど遅れる)")

    @classmethod
    def of(cls, token: TokenRow) -> Self:
        return cls(
            id=token.id,
            account_id=token.account_id,
            role=token.role,
            label=token.label,
            masked=tokens.masked(token),
            user_id=token.user_id,
            scopes=token.scopes,
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
        )


class TokenWithSecret(Token):
    token: str = Field(description="この応答でしか見られない")

    @classmethod
    def showing(cls, token: TokenRow, secret: str) -> Self:
        return cls(**Token.of(token).model_dump(mode="python"), token=secret)


class Tokens(PageOf[Token]):
    """有効なトークンの1ページ。作成順"""


class NewToken(Body):
    """サインインしたユーザーがroleを省略すると、自分の権限を持つ個人のトークンになる

    account_idは運用者が管理者などのトークンを作るときに必要。ほかでは省略できる。
    """

    role: Literal["operator", "administrator", "read_only"] | None = Field(
        default=None, description="個人のトークンでないときの権限。省略するとadministrator"
    )
    account_id: IdGiven | None = None
    label: Label = ""
    scopes: Scopes = None
    expires_at: TimeGiven | None = Field(default=None, description="この日時から使えなくなる")


class Rotation(Body):
    grace_hours: int = Field(default=0, ge=0, le=168, description="古いトークンもこの時間は使える")


class TokenQuery(PageQuery):
    account_id: IdGiven | None = Field(default=None, description="運用者のトークンでのみ意味がある")


@resource.get("/tokens", "トークンの一覧。メンバーには自分のものだけ")
async def list_tokens(ask: Ask, query: TokenQuery) -> Tokens:
    account_id = query.account_id if ask.is_operator else ask.identity.account_id
    if query.account_id not in (None, account_id):
        raise Problem("not_found")
    async with ask.session() as session:
        page = await tokens.list_tokens(session, account_id, query.page(), _own_only(ask))
    return Tokens(items=[Token.of(row) for row in page.items], next=page.next_text)


@resource.post("/tokens", "トークンを発行する", status=201)
async def issue_token(ask: Ask, body: NewToken) -> TokenWithSecret:
    scopes, expires_at = _scopes(ask, body.scopes), _end(ask, body.expires_at)
    personal = ask.identity.user_id is not None and body.role is None and body.account_id is None
    if personal:
        role, account_id = ask.identity.role, ask.identity.account_id
    else:
        role = Role(body.role or Role.ADMINISTRATOR)
        account_id = body.account_id if ask.is_operator else _own_account(ask, role, body)
    async with ask.session() as session:
        token, secret = await tokens.issue_token(
            session,
            role,
            account_id,
            body.label,
            user_id=ask.identity.user_id if personal else None,
            scopes=scopes,
            expires_at=expires_at,
        )
    return TokenWithSecret.showing(token, secret)


@resource.delete("/tokens/{token_id}", "トークンを無効にする")
async def revoke_token(ask: Ask, token_id: str) -> None:
    async with ask.session() as session:
        await tokens.revoke_token(session, ask.identity.account_id, token_id, _own_only(ask))


@resource.post("/tokens/{token_id}:rotate", "同じ権限の新しいトークンに取り替える", status=201)
async def rotate_token(ask: Ask, token_id: str, body: Rotation) -> TokenWithSecret:
    grace = timedelta(hours=body.grace_hours)
    async with ask.session() as session:
        token, secret = await tokens.rotate_token(
            session, ask.identity.account_id, token_id, _own_only(ask), grace
        )
        _refuse_foreign(ask, token_id, token)
    return TokenWithSecret.showing(token, secret)


def _own_only(ask: Ask) -> str | None:
    return ask.identity.user_id if ask.identity.role is Role.MEMBER else None


def _own_account(ask: Ask, role: Role, body: NewToken) -> str | None:
    if role is Role.OPERATOR:
        raise Problem("forbidden", "運用者のトークンを作れるのは運用者だけです。")
    if ask.identity.role is not Role.ADMINISTRATOR:
        raise Problem("forbidden", "個人のトークンだけを作れます。")
    if body.account_id not in (None, ask.identity.account_id):
        raise Unusable("account_id", "not_found")
    return ask.identity.account_id


def _scopes(ask: Ask, wanted: list[str] | None) -> list[str] | None:
    """What the new token may do: by itself as much as the one that makes it, and never more."""
    own = ask.identity.scopes
    if wanted is None:
        return None if own is None else sorted(own)
    known = ask.request.app[SCOPES]
    if unknown := set(wanted) - known:
        raise Unusable(f"scopes.{wanted.index(min(unknown))}", "unknown_scope")
    if exceed(wanted, own):
        raise Unusable("scopes", "exceeds")
    return wanted


def _end(ask: Ask, wanted: datetime | None) -> datetime | None:
    """Until when it works: a program's token makes none that outlives it."""
    own = ask.identity.expires_at if ask.identity.kind is TokenKind.API else None
    if wanted is None:
        return own
    if wanted <= now():
        raise Unusable("expires_at", "past")
    if own is not None and wanted > own:
        raise Unusable("expires_at", "exceeds")
    return wanted


def _refuse_foreign(ask: Ask, token_id: str, token: TokenRow) -> None:
    """Rotating shows a secret: not of somebody else's personal token, nor of one that may do more."""
    if token_id == ask.identity.token_id:
        return
    if token.user_id not in (None, ask.identity.user_id) or exceed(token.scopes, ask.identity.scopes):
        raise Problem("forbidden", "このトークンは取り替えられません。無効にすることはできます。")
