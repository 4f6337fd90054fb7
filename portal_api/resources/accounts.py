"""`/accounts`: the customers, for the operator. `/account`: the settings of one, for its administrators."""

from typing import Self

from pydantic import BaseModel, Field

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Name, PageOf, PageQuery, Timestamp
from store import accounts
from store.models import Account as AccountRow

resource = Resource("アカウント")


class Account(BaseModel):
    id: str
    name: str
    created_at: Timestamp
    message_retention_days: int | None = Field(
        description="メッセージを残す日数。過ぎると音声ごと自動で削除する。nullは削除するまで残す"
    )
    fax_retention_days: int | None = Field(
        description="FAXを残す日数。過ぎると自動で削除する。nullは削除するまで残す"
    )

    @classmethod
    def of(cls, account: AccountRow) -> Self:
        return cls(
            id=account.id,
            name=account.name,
            created_at=account.created_at,
            message_retention_days=account.message_retention_days,
            fax_retention_days=account.fax_retention_days,
        )


class Accounts(PageOf[Account]):
    """アカウントの1ページ。作成順"""


class NewAccount(Body):
    name: Name


class AccountChange(Body):
    """指定した項目だけを変える"""

    message_retention_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="短くすると、過ぎたメッセージは10分ほどのうちに削除される。元には戻せない",
    )
    fax_retention_days: int | None = Field(default=None, ge=1, le=3650, description="FAXについて同じ")


@resource.get("/accounts", "アカウントの一覧", operator_only=True)
async def list_accounts(ask: Ask, query: PageQuery) -> Accounts:
    async with ask.session() as session:
        page = await accounts.list_accounts(session, query.page())
    return Accounts(items=[Account.of(row) for row in page.items], next=page.next_text)


@resource.post("/accounts", "アカウントを作る", status=201, operator_only=True)
async def create_account(ask: Ask, body: NewAccount) -> Account:
    async with ask.session() as session:
        return Account.of(await accounts.create_account(session, body.name))


@resource.get("/account", "アカウントの設定")
async def get_account(ask: Ask, account_id: str) -> Account:
    async with ask.session() as session:
        return Account.of(await accounts.get_account(session, account_id))


@resource.patch("/account", "アカウントの設定を変える")
async def change_account(ask: Ask, account_id: str, body: AccountChange) -> Account:
    async with ask.session() as session:
        if "message_retention_days" in body.model_fields_set:
            await accounts.set_message_retention(session, account_id, body.message_retention_days)
        if "fax_retention_days" in body.model_fields_set:
            await accounts.set_fax_retention(session, account_id, body.fax_retention_days)
        return Account.of(await accounts.get_account(session, account_id))
