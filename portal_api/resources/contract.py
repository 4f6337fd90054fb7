"""`/contract`, `/subscriptions`, `/tariff`: what was agreed, and at what price."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, PlainSerializer, StringConstraints, WithJsonSchema

from portal_api.card_free import CardFree
from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, Name, PageOf, PageQuery, Timestamp
from store import contracts, subscriptions
from store.billing_month import day_of
from store.models import Contract as ContractRow
from store.models import Subscription as SubscriptionRow
from store.tariff import Tariff as TariffRow
from store.tariffs import NoTariff, tariff_at

resource = Resource("契約と料金")

MailAddress = Annotated[str, StringConstraints(pattern=r"^[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,189}$")]
PostalCode = Annotated[str, StringConstraints(pattern=r"^([0-9]{3}-[0-9]{4})?$")]
DayGiven = Annotated[date, Field(strict=False)]
Price = Annotated[
    Decimal,
    PlainSerializer(lambda value: format(value.normalize(), "f"), return_type=str),
    WithJsonSchema({"type": "string", "examples": ["8.5"]}),
]


class Contract(BaseModel):
    """請求書の宛先"""

    customer_name: str
    postal_code: str
    address: str
    mail_address: str | None = Field(description="請求や通話料のお知らせの宛先。nullならメールは送らない")
    updated_at: Timestamp

    @classmethod
    def of(cls, row: ContractRow) -> Self:
        return cls(
            customer_name=row.customer_name,
            postal_code=row.postal_code,
            address=row.address,
            mail_address=row.mail_address,
            updated_at=row.updated_at,
        )


class ContractChange(CardFree):
    """指定した項目だけを変える。発行済みの請求書は変わらない"""

    customer_name: Name = Field(default_factory=str, description="請求書の宛名")
    postal_code: PostalCode = Field(default="", description="郵便番号(100-0001)")
    address: Label = Field(default="", description="住所")
    mail_address: MailAddress | None = Field(default=None, description="お知らせの宛先。nullでやめる")


class Subscription(BaseModel):
    """契約中、または契約していた基本料・オプション・かけ放題"""

    id: str
    item: str = Field(description="料金表の品目", examples=["rusurepo"])
    subject_id: str | None = Field(description="電話番号または端末。アカウントのものではnull")
    subject_name: str
    starts_on: date
    ends_on: date | None = Field(description="最後の日。nullは契約中")

    @classmethod
    def of(cls, row: SubscriptionRow) -> Self:
        return cls(
            id=row.id,
            item=row.item,
            subject_id=row.subject_id,
            subject_name=row.subject_name,
            starts_on=row.starts_on,
            ends_on=row.ends_on,
        )


class Subscriptions(PageOf[Subscription]):
    """契約の1ページ。登録順"""


class NewSubscription(Body):
    item: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,29}$")] = Field(
        description="料金表の品目またはかけ放題", examples=["rusurepo"]
    )
    subject_id: IdGiven | None = Field(default=None, description="電話番号または端末")
    starts_on: DayGiven | None = Field(default=None, description="最初の日(日本時間)。省略すると今日")


class SubscriptionEnd(Body):
    ends_on: DayGiven = Field(description="最後の日(日本時間)。その日まで日割りで請求する")


class CallRate(BaseModel):
    code: str
    label: str
    prefix: str | None = Field(default=None, description="国際通話: 番号の先頭。いちばん長く一致する行を使う")
    unit_s: int = Field(description="この秒数ごとに")
    yen: Price = Field(description="この額(円、税抜)")
    tax: Literal["standard", "exempt"]


class PlanRate(BaseModel):
    code: str
    label: str
    monthly: int
    classes: list[str] = Field(description="対象の発信先")
    free_s: int | None = Field(description="1通話ごとに無料の秒数。nullは上限なし")
    unit_s: int
    yen: Price


class ItemRate(BaseModel):
    code: str
    label: str
    per: Literal["account", "number", "device"]
    monthly: int
    initial: int


class Tariff(BaseModel):
    """いま有効な料金表。金額は税抜の円"""

    valid_from: date
    name: str
    tax_percent: int
    calls: list[CallRate]
    plans: list[PlanRate]
    items: list[ItemRate]

    @classmethod
    def of(cls, tariff: TariffRow) -> Self:
        calls: list[Any] = [(code, None, rate) for code, rate in tariff.calls.items()]
        calls += [("overseas", rate.prefix, rate) for rate in tariff.overseas]
        return cls(
            valid_from=tariff.valid_from,
            name=tariff.name,
            tax_percent=tariff.tax_percent,
            calls=[
                CallRate(
                    code=code, label=rate.label, prefix=prefix, unit_s=rate.unit_s, yen=rate.yen, tax=rate.tax
                )
                for code, prefix, rate in calls
            ],
            plans=[
                PlanRate(
                    code=code,
                    label=plan.label,
                    monthly=plan.monthly,
                    classes=sorted(plan.classes),
                    free_s=plan.free_s,
                    unit_s=plan.unit_s,
                    yen=plan.yen,
                )
                for code, plan in tariff.plans.items()
            ],
            items=[
                ItemRate(
                    code=code, label=item.label, per=item.per, monthly=item.monthly, initial=item.initial
                )
                for code, item in tariff.items.items()
            ],
        )


@resource.get("/contract", "請求書の宛先と、お知らせのメールアドレス")
async def get_contract(ask: Ask, account_id: str) -> Contract:
    async with ask.session() as session:
        return Contract.of(await contracts.get_contract(session, account_id))


@resource.patch("/contract", "請求書の宛先を変える")
async def change_contract(ask: Ask, account_id: str, body: ContractChange) -> Contract:
    changes = body.model_dump(include=body.model_fields_set)
    async with ask.session() as session:
        return Contract.of(await contracts.change_contract(session, account_id, changes))


@resource.get("/subscriptions", "契約の一覧")
async def list_subscriptions(ask: Ask, account_id: str, query: PageQuery) -> Subscriptions:
    async with ask.session() as session:
        page = await subscriptions.list_subscriptions(session, account_id, query.page())
    return Subscriptions(items=[Subscription.of(row) for row in page.items], next=page.next_text)


@resource.post("/subscriptions", "オプションやかけ放題の契約を始める", status=201, operator_only=True)
async def add_subscription(ask: Ask, account_id: str, body: NewSubscription) -> Subscription:
    starts_on = body.starts_on or day_of(ask.parts.clock())
    async with ask.session() as session:
        try:
            sold = await subscriptions.sell(session, account_id, body.item, body.subject_id, starts_on)
        except NoTariff:
            raise Problem("no_tariff") from None
        return Subscription.of(sold)


@resource.post("/subscriptions/{subscription_id}:end", "契約を終える", operator_only=True)
async def end_subscription(
    ask: Ask, account_id: str, subscription_id: str, body: SubscriptionEnd
) -> Subscription:
    async with ask.session() as session:
        ended = await subscriptions.end(session, account_id, subscription_id, body.ends_on)
        return Subscription.of(ended)


@resource.get("/tariff", "いま有効な料金表")
async def get_tariff(ask: Ask) -> Tariff:
    async with ask.session() as session:
        connection = await session.connection()
        try:
            published = await connection.run_sync(tariff_at, ask.parts.clock())
        except NoTariff:
            raise Problem("no_tariff") from None
    return Tariff.of(published.tariff)
