"""`/accounts`: the customers, for the operator."""

from typing import Self

from pydantic import BaseModel

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Name, PageOf, PageQuery, Timestamp
from store import accounts
from store.models import Account as AccountRow

resource = Resource("アカウント")


class Account(BaseModel):
    id: str
    name: str
    created_at: Timestamp

    @classmethod
    def of(cls, account: AccountRow) -> Self:
        return cls(id=account.id, name=account.name, created_at=account.created_at)


class Accounts(PageOf[Account]):
    """アカウントの1ページ。作成順"""


class NewAccount(Body):
    name: Name


@resource.get("/accounts", "アカウントの一覧", operator_only=True)
async def list_accounts(ask: Ask, query: PageQuery) -> Accounts:
    async with ask.session() as session:
        page = await accounts.list_accounts(session, query.page())
    return Accounts(items=[Account.of(row) for row in page.items], next=page.next_text)


@resource.post("/accounts", "アカウントを作る", status=201, operator_only=True)
async def create_account(ask: Ask, body: NewAccount) -> Account:
    async with ask.session() as session:
        return Account.of(await accounts.create_account(session, body.name))
