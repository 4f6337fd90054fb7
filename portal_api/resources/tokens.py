"""`/tokens`: who may use this API. An administrator sees and makes those of its own account only."""

from typing import Self

from pydantic import BaseModel, Field

from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, PageOf, PageQuery, Timestamp
from store import tokens
from store.errors import Unusable
from store.models import Role
from store.models import Token as TokenRow

resource = Resource("トークン")


class Token(BaseModel):
    id: str
    account_id: str | None
    role: Role
    label: str
    masked: str = Field(examples=["dwb_0a1b2c3d_********"])
    created_at: Timestamp

    @classmethod
    def of(cls, token: TokenRow) -> Self:
        return cls(
            id=token.id,
            account_id=token.account_id,
            role=token.role,
            label=token.label,
            masked=tokens.masked(token),
            created_at=token.created_at,
        )


class TokenWithSecret(Token):
    token: str = Field(description="この応答でしか見られない")

    @classmethod
    def showing(cls, token: TokenRow, secret: str) -> Self:
        return cls(**Token.of(token).model_dump(mode="python"), token=secret)


class Tokens(PageOf[Token]):
    """有効なトークンの1ページ。作成順"""


class NewToken(Body):
    """account_idは運用者が管理者のトークンを作るときに必要。管理者が作るときは省略できる"""

    role: Role = Role.ADMINISTRATOR
    account_id: IdGiven | None = None
    label: Label = ""


class TokenQuery(PageQuery):
    account_id: IdGiven | None = Field(default=None, description="運用者のトークンでのみ意味がある")


@resource.get("/tokens", "トークンの一覧")
async def list_tokens(ask: Ask, query: TokenQuery) -> Tokens:
    account_id = query.account_id if ask.is_operator else ask.identity.account_id
    if query.account_id not in (None, account_id):
        raise Problem("not_found")
    async with ask.session() as session:
        page = await tokens.list_tokens(session, account_id, query.page())
    return Tokens(items=[Token.of(row) for row in page.items], next=page.next_text)


@resource.post("/tokens", "トークンを発行する", status=201)
async def issue_token(ask: Ask, body: NewToken) -> TokenWithSecret:
    account_id = body.account_id if ask.is_operator else _own_account(ask, body)
    async with ask.session() as session:
        token, secret = await tokens.issue_token(session, body.role, account_id, body.label)
    return TokenWithSecret.showing(token, secret)


@resource.delete("/tokens/{token_id}", "トークンを無効にする")
async def revoke_token(ask: Ask, token_id: str) -> None:
    async with ask.session() as session:
        await tokens.revoke_token(session, ask.identity.account_id, token_id)


def _own_account(ask: Ask, body: NewToken) -> str | None:
    if body.role is not Role.ADMINISTRATOR:
        raise Problem("forbidden", "運用者のトークンを作れるのは運用者だけです。")
    if body.account_id not in (None, ask.identity.account_id):
        raise Unusable("account_id", "not_found")
    return ask.identity.account_id
