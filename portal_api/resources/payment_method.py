"""`/payment-method`: 決済方法. Cards only as a token of the payment provider."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from portal_api.card_free import CardFree
from portal_api.routing import Ask, Resource
from portal_api.schemas import Timestamp
from store import payments
from store.billing_month import day_of, month_of, parse_month
from store.models import MethodState, PaymentKind
from store.models import PaymentMethod as MethodRow

resource = Resource("決済方法")

KINDS = "bank_debit=口座振替、bank_transfer=銀行振込、card=クレジットカード"
EXPIRING_MONTHS = 1


class Card(BaseModel):
    brand: str = Field(examples=["visa"])
    last4: str = Field(examples=["4242"])
    expires: str = Field(description="有効期限の月", examples=["2027-03"])
    expiry: str = Field(description="ok / expiring(来月末まで) / expired")

    @classmethod
    def of(cls, row: MethodRow, at: datetime) -> "Card | None":
        if row.card_last4 is None or row.card_expires is None:
            return None
        today = day_of(at)
        this_month = f"{today:%Y-%m}"
        soon = str(parse_month(this_month).later(EXPIRING_MONTHS))
        expiry = (
            "expired" if row.card_expires < this_month else "expiring" if row.card_expires <= soon else "ok"
        )
        return cls(brand=row.card_brand or "", last4=row.card_last4, expires=row.card_expires, expiry=expiry)


class Method(BaseModel):
    id: str
    kind: PaymentKind = Field(description=KINDS)
    state: MethodState = Field(
        description="verifying=カードを確認中、active=使用できる、refused=カードを登録できなかった"
    )
    effective_month: str = Field(description="この月の請求分から", examples=["2026-11"])
    card: Card | None
    reason_code: str | None
    reason: str | None = Field(description="登録できなかった理由")
    requested_at: Timestamp

    @classmethod
    def of(cls, row: MethodRow, at: datetime) -> Self:
        return cls(
            id=row.id,
            kind=row.kind,
            state=row.state,
            effective_month=row.effective_month,
            card=Card.of(row, at),
            reason_code=row.reason_code,
            reason=row.reason,
            requested_at=row.created_at,
        )


class PaymentMethod(BaseModel):
    current: Method | None = Field(description="今月の請求分のお支払いに使うもの。nullは未登録(銀行振込)")
    latest: Method | None = Field(
        description="最後に登録・変更したもの。確認中や、登録できなかったものも含む"
    )
    notice: str = Field(description="いつの請求分から変わるか")


class PaymentMethodChange(CardFree):
    """カード番号は受け取らない。カードは、決済サービスの画面部品が返したトークン(pm_…)で登録する"""

    kind: PaymentKind = Field(description=KINDS)
    card_token: Annotated[str, StringConstraints(pattern=r"^pm_[A-Za-z0-9_]{4,200}$")] | None = Field(
        default=None, description="カードのトークン。kindがcardのときだけ必要"
    )

    @model_validator(mode="after")
    def _token_for_cards(self) -> Self:
        if (self.kind is PaymentKind.CARD) != (self.card_token is not None):
            raise PydanticCustomError(
                "card_token", "card_token は、kind が card のときに必要で、ほかでは使えません。"
            )
        return self


@resource.get("/payment-method", "決済方法")
async def get_payment_method(ask: Ask, account_id: str) -> PaymentMethod:
    async with ask.session() as session:
        return _view(await payments.read_methods(session, account_id), ask.parts.clock())


@resource.put("/payment-method", "決済方法を変える。25日までは当月分から、26日からは翌月分から変わる")
async def change_payment_method(ask: Ask, account_id: str, body: PaymentMethodChange) -> PaymentMethod:
    at = ask.parts.clock()
    by = f"token:{ask.identity.token_id}"
    async with ask.session() as session:
        await payments.choose_method(
            session, account_id, body.kind, body.card_token, ask.parts.secret_key, by, at
        )
        return _view(await payments.read_methods(session, account_id), at)


def _view(methods: list[MethodRow], at: datetime) -> PaymentMethod:
    """`methods` are all of the account's, the last first."""
    month = str(month_of(at))
    usable = [one for one in methods if one.state is MethodState.ACTIVE and one.effective_month <= month]
    current = max(usable, key=lambda one: (one.effective_month, one.created_at), default=None)
    latest = methods[0] if methods else None
    return PaymentMethod(
        current=Method.of(current, at) if current else None,
        latest=Method.of(latest, at) if latest else None,
        notice=_notice(at),
    )


def _notice(at: datetime) -> str:
    month, today = month_of(at), day_of(at)
    if (month.year, month.month) == (today.year, today.month):
        return f"今日の変更は、当月分({month.label})のお支払いから有効になります。"
    later = f"今日の変更は、翌月分({month.label})のお支払いから有効になります。"
    return f"当月分の変更は25日で締め切りました。{later}"
