"""`/credit` and `/top-ups`: what calls may still cost, and チャージ履歴."""

import hashlib
from typing import Self

from pydantic import BaseModel, Field

from portal_api.card_free import CardFree
from portal_api.idempotency import HEADER
from portal_api.routing import Ask, Resource
from portal_api.schemas import PageOf, PageQuery, Timestamp
from store import credit_views
from store.credit_views import CreditView
from store.models import TopUp as TopUpRow
from store.models import TopUpSource

resource = Resource("通話料とチャージ")


class RunningCall(BaseModel):
    """通話料を確保している通話(通話中のもの、終わって計算を待っているもの)"""

    call_id: str
    destination_class: str = Field(description="発信先の種類", examples=["mobile"])
    reserved: int = Field(description="確保している額(円、税抜)")
    limit_s: int | None = Field(description="応答から通話できる秒数。nullは上限なし")
    started_at: Timestamp


class Credit(BaseModel):
    """請求月の通話料の上限と残り。金額はすべて税抜の円"""

    month: str = Field(description="請求月。前月26日から当月25日まで", examples=["2026-11"])
    ceiling: int = Field(description="この請求月の通話料の上限")
    charges: int = Field(description="この請求月の通話料")
    top_ups: int = Field(description="この請求月のチャージの合計")
    balance: int = Field(description="チャージの残高。使い切るまで翌月以降に繰り越す")
    reserved: int = Field(description="通話中・計算待ちの通話のために確保している額")
    available: int = Field(description="あと使える通話料。確保している額を引いたもの")
    warning_at: int = Field(description="通話料がこの額に達すると、請求月に1回メールで知らせる")
    warned_at: Timestamp | None = Field(description="知らせた日時")
    top_up_amount: int = Field(description="チャージ1回の額")
    automatic_top_up: bool = Field(description="足りなくなったら自動でチャージする。通話中なら切らずに続く")
    automatic_limit: int = Field(description="自動チャージの回数の上限(請求月ごと)")
    reservations: list[RunningCall]

    @classmethod
    def of(cls, view: CreditView) -> Self:
        return cls(
            month=view.month,
            ceiling=view.standing.ceiling,
            charges=view.standing.charged,
            top_ups=view.standing.topped_up,
            balance=view.standing.balance,
            reserved=view.reserved,
            available=max(0, view.standing.available - view.reserved),
            warning_at=view.warn_at,
            warned_at=view.warned_at,
            top_up_amount=view.top_up,
            automatic_top_up=view.settings.automatic_top_up,
            automatic_limit=view.settings.automatic_limit,
            reservations=[
                RunningCall(
                    call_id=held.call_id,
                    destination_class=held.destination_class,
                    reserved=held.yen,
                    limit_s=held.limit_s,
                    started_at=held.reserved_at,
                )
                for held in view.reservations
            ],
        )


class CreditChange(CardFree):
    """指定した項目だけを変える"""

    automatic_top_up: bool = Field(default=False, description="自動チャージのON/OFF")
    automatic_limit: int = Field(default=3, ge=0, le=100, description="自動チャージの回数の上限(請求月ごと)")


class TopUp(BaseModel):
    id: str
    at: Timestamp
    amount: int = Field(description="円(不課税。通話に使った分は通話料として課税される)")
    source: TopUpSource = Field(description="manual=手動、automatic=自動")
    by: str = Field(description="token:… は操作したトークン、call:… はそのために必要になった通話")
    month: str = Field(description="請求する月", examples=["2026-11"])
    balance: int = Field(description="直後に使えた通話料(円)")

    @classmethod
    def of(cls, row: TopUpRow) -> Self:
        return cls(
            id=row.id,
            at=row.at,
            amount=row.amount,
            source=row.source,
            by=row.by,
            month=row.month,
            balance=row.balance,
        )


class TopUps(PageOf[TopUp]):
    """チャージ履歴の1ページ。新しい順"""


@resource.get("/credit", "通話料の上限と残り")
async def get_credit(ask: Ask, account_id: str) -> Credit:
    async with ask.session() as session:
        return Credit.of(await credit_views.view(session, account_id, ask.parts.clock()))


@resource.patch("/credit", "自動チャージの設定を変える")
async def change_credit(ask: Ask, account_id: str, body: CreditChange) -> Credit:
    changes = body.model_dump(include=body.model_fields_set)
    async with ask.session() as session:
        await credit_views.change_settings(session, account_id, changes)
        return Credit.of(await credit_views.view(session, account_id, ask.parts.clock()))


@resource.get("/top-ups", "チャージ履歴")
async def list_top_ups(ask: Ask, account_id: str, query: PageQuery) -> TopUps:
    async with ask.session() as session:
        page = await credit_views.list_top_ups(session, account_id, query.page())
    return TopUps(items=[TopUp.of(row) for row in page.items], next=page.next_text)


@resource.post(
    "/top-ups",
    "チャージする。Idempotency-Keyが必要で、同じキーでは1回だけチャージする",
    status=201,
    keyed=True,
)
async def add_top_up(ask: Ask, account_id: str) -> TopUp:
    by = f"token:{ask.identity.token_id}"
    digest = hashlib.sha256(f"{by} {ask.request.headers[HEADER]}".encode()).hexdigest()
    async with ask.session() as session:
        return TopUp.of(
            await credit_views.add_top_up(session, account_id, f"request:{digest}", by, ask.parts.clock())
        )
