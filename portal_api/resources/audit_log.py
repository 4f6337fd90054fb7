"""`/audit-log`: who changed what."""

from typing import Any, Self

from pydantic import BaseModel, Field

from portal_api.access import Who
from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import IdGiven, PageOf, PageQuery, TimeGiven, Timestamp
from store import audit
from store.audit import AuditFilter
from store.models import ActorKind, AuditAction, AuditEntry

resource = Resource("操作の記録")


class Actor(BaseModel):
    kind: ActorKind = Field(
        description="user: ユーザー、token: ユーザーのないトークン、terminal: サーバー上のコマンド"
    )
    id: str
    name: str


class Thing(BaseModel):
    kind: str = Field(description="種類", examples=["rusurepo_rules"])
    id: str = Field(description="まとめて扱われたものは (many)")
    name: str


class Entry(BaseModel):
    id: str
    at: Timestamp
    account_id: str | None
    actor: Actor
    address: str | None = Field(description="要求の送信元")
    request_id: str | None
    action: AuditAction
    object: Thing
    before: dict[str, Any] | None = Field(description="変わった項目の、変わる前の値。秘密は伏せる")
    after: dict[str, Any] | None = Field(description="変わった項目の、変わった後の値")

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        return cls(
            id=entry.id,
            at=entry.at,
            account_id=entry.account_id,
            actor=Actor(kind=entry.actor_kind, id=entry.actor_id, name=entry.actor_name),
            address=entry.address,
            request_id=entry.request_id,
            action=entry.action,
            object=Thing(kind=entry.object_kind, id=entry.object_id, name=entry.object_name),
            before=entry.before,
            after=entry.after,
        )


class Entries(PageOf[Entry]):
    """操作の記録の1ページ。新しい順"""


class AuditQuery(PageQuery):
    account_id: IdGiven | None = Field(
        default=None, description="運用者のトークンでのみ意味がある。省略するとすべて"
    )
    actor_id: IdGiven | None = Field(default=None, description="操作したユーザーまたはトークンのID")
    object_kind: IdGiven | None = None
    object_id: IdGiven | None = None
    action: AuditAction | None = None
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降(この日時を含む)")
    until: TimeGiven | None = Field(
        default=None, alias="to", description="この日時より前(この日時を含まない)"
    )

    def filter(self) -> AuditFilter:
        return AuditFilter(
            actor_id=self.actor_id,
            object_kind=self.object_kind,
            object_id=self.object_id,
            action=self.action,
            since=self.since,
            until=self.until,
        )


@resource.get("/audit-log", "だれが何をどう変えたか", who=Who.ADMINISTRATORS)
async def list_audit_log(ask: Ask, query: AuditQuery) -> Entries:
    account_id = query.account_id if ask.is_operator else ask.identity.account_id
    if query.account_id not in (None, account_id):
        raise Problem("not_found")
    async with ask.session() as session:
        page = await audit.list_entries(session, account_id, query.filter(), query.page())
    return Entries(items=[Entry.of(row) for row in page.items], next=page.next_text)
