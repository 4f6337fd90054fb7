"""`/deliveries`: what was sent where, and what became of it."""

from typing import Self

from pydantic import BaseModel, Field

from portal_api.routing import Ask, Resource
from portal_api.schemas import IdGiven, PageOf, PageQuery, TimeGiven, Timestamp
from store import deliveries
from store.deliveries import DeliveryFilter, step_of
from store.models import Delivery as DeliveryRow
from store.models import DeliveryPurpose, DeliveryState

resource = Resource("通知の履歴")


class Reason(BaseModel):
    """送れなかった理由。`waiting`では最後の試みの理由"""

    code: str
    text: str


class Step(BaseModel):
    """送信の1段階(テキスト、音声ファイル)"""

    name: str
    done: bool
    provider_id: str = Field(description="送信先のサービスが付けたID。ないときは空")


class Delivery(BaseModel):
    id: str
    purpose: DeliveryPurpose = Field(
        description="メッセージ・FAXの通知、テスト、通知サービスの不具合の知らせ"
    )
    message_id: str | None
    number_id: str | None
    fax_id: str | None
    rule_id: str | None = Field(description="通知ルール。FAXの設定にあるメールアドレスへの通知ではnull")
    service_id: str | None
    kind: str = Field(examples=["slack", "mail"])
    label: str = Field(description="通知サービスの名前、またはメールアドレス")
    state: DeliveryState
    steps: list[Step]
    attempts: int = Field(description="送信を試みた回数(段階ごとに数える)")
    reason: Reason | None
    created_at: Timestamp
    last_attempt_at: Timestamp | None
    sent_at: Timestamp | None

    @classmethod
    def of(cls, row: DeliveryRow) -> Self:
        return cls(
            id=row.id,
            purpose=row.purpose,
            message_id=row.message_id,
            number_id=row.number_id,
            rule_id=row.rule_id,
            fax_id=row.fax_id,
            service_id=row.service_id,
            kind=row.kind,
            label=row.label,
            state=row.state,
            steps=[_step(row, name) for name in row.steps],
            attempts=row.attempts,
            reason=Reason(code=row.reason_code, text=row.reason or "") if row.reason_code else None,
            created_at=row.created_at,
            last_attempt_at=row.last_attempt_at,
            sent_at=row.sent_at,
        )


class Deliveries(PageOf[Delivery]):
    """通知の1ページ。新しい順"""


class DeliveryQuery(PageQuery):
    message_id: IdGiven | None = None
    fax_id: IdGiven | None = None
    number_id: IdGiven | None = None
    service_id: IdGiven | None = None
    state: DeliveryState | None = None
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降(この日時を含む)")
    until: TimeGiven | None = Field(
        default=None, alias="to", description="この日時より前(この日時を含まない)"
    )

    def filter(self) -> DeliveryFilter:
        return DeliveryFilter(
            message_id=self.message_id,
            fax_id=self.fax_id,
            number_id=self.number_id,
            service_id=self.service_id,
            state=self.state,
            since=self.since,
            until=self.until,
        )


@resource.get("/deliveries", "通知の履歴の一覧")
async def list_deliveries(ask: Ask, account_id: str, query: DeliveryQuery) -> Deliveries:
    async with ask.session() as session:
        page = await deliveries.list_deliveries(session, account_id, query.filter(), query.page())
    return Deliveries(items=[Delivery.of(row) for row in page.items], next=page.next_text)


@resource.get("/deliveries/{delivery_id}", "通知")
async def get_delivery(ask: Ask, account_id: str, delivery_id: str) -> Delivery:
    async with ask.session() as session:
        return Delivery.of(await deliveries.get_delivery(session, account_id, delivery_id))


@resource.post("/deliveries/{delivery_id}:resend", "失敗した通知を再送する。済んだ段階は繰り返さない")
async def resend(ask: Ask, account_id: str, delivery_id: str) -> Delivery:
    async with ask.session() as session:
        return Delivery.of(await deliveries.resend(session, account_id, delivery_id))


def _step(row: DeliveryRow, name: str) -> Step:
    record = step_of(row, name)
    return Step(name=name, done=record.done_at is not None, provider_id=record.provider_id)
