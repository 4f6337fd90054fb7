"""`/failed-logins` and `/blocked-addresses`: who tried to log in and could not."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints

from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, PageOf, PageQuery, Timestamp
from store import intruders
from store.accounts import get_account
from store.models import BlockedAddress as BlockedRow
from store.models import FailedLogin as FailedRow
from store.models import LoginFailure, now

resource = Resource("不正なログイン")


class FailedLogin(BaseModel):
    id: str
    device_id: str | None = Field(description="この名前の端末。存在しない名前ではnull")
    username: str
    address: str = Field(description="接続元のIPアドレス", examples=["192.0.2.10"])
    reason: LoginFailure
    count: int = Field(description="続けて失敗した回数")
    first_at: Timestamp
    last_at: Timestamp

    @classmethod
    def of(cls, row: FailedRow) -> Self:
        return cls(
            id=row.id,
            device_id=row.device_id,
            username=row.username,
            address=row.address,
            reason=row.reason,
            count=row.count,
            first_at=row.first_at,
            last_at=row.last_at,
        )


class FailedLogins(PageOf[FailedLogin]):
    """失敗したログインの1ページ。新しい順"""


class BlockedAddress(BaseModel):
    address: str
    failures: int = Field(description="遮断するまでの失敗の回数")
    since: Timestamp
    until: Timestamp

    @classmethod
    def of(cls, row: BlockedRow) -> Self:
        return cls(address=row.address, failures=row.failures, since=row.since, until=row.until)


class BlockedAddresses(PageOf[BlockedAddress]):
    """遮断中のIPアドレスすべて。新しい順"""


class Released(Body):
    address: Annotated[str, StringConstraints(min_length=1, max_length=45, pattern=r"^[0-9a-fA-F:.]+$")]


class FailedLoginQuery(PageQuery):
    account_id: IdGiven | None = Field(
        default=None, description="運用者のトークンでのみ意味がある。省略するとすべて"
    )


@resource.get("/failed-logins", "失敗したログイン。管理者には自分の端末のもの、運用者にはすべて")
async def list_failed_logins(ask: Ask, query: FailedLoginQuery) -> FailedLogins:
    account_id = query.account_id if ask.is_operator else ask.identity.account_id
    if query.account_id not in (None, account_id):
        raise Problem("not_found")
    async with ask.session() as session:
        if ask.is_operator and account_id is not None:
            await get_account(session, account_id)
        page = await intruders.list_failures(session, account_id, query.page())
    return FailedLogins(items=[FailedLogin.of(row) for row in page.items], next=page.next_text)


@resource.get("/blocked-addresses", "遮断中のIPアドレス", operator_only=True)
async def list_blocked_addresses(ask: Ask) -> BlockedAddresses:
    async with ask.session() as session:
        rows = await intruders.blocked(session, now())
    return BlockedAddresses(items=[BlockedAddress.of(row) for row in rows], next=None)


@resource.post("/blocked-addresses:release", "遮断をやめる", operator_only=True)
async def release_address(ask: Ask, body: Released) -> BlockedAddresses:
    async with ask.session() as session:
        await intruders.unblock(session, body.address)
        rows = await intruders.blocked(session, now())
    return BlockedAddresses(items=[BlockedAddress.of(row) for row in rows], next=None)
