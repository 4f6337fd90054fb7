"""`/notification-rules`: who is told of a message, and where (通知設定)."""

from datetime import datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError

from portal_api.problems import problem_of_validation
from portal_api.resources.deliveries import Delivery
from portal_api.routing import Ask, Parts, Resource
from portal_api.schemas import Body, Label, Name, PageOf, PageQuery, Timestamp
from store import notifications
from store.deliveries import send_soon, to_service
from store.errors import SealBroken
from store.models import DeliveryPurpose, NotificationRule, NotificationService, now
from store.notification_services import (
    Fields,
    MailAddress,
    WebhookFields,
    masked,
    parse_fields,
    secret_fields,
)

resource = Resource("通知設定")

ServiceKind = Literal["slack", "chatwork", "teams", "line", "line_works", "google_chat", "webhook"]
MOST_ADDRESSES = 20
UNREADABLE = "設定を読み取れません。設定し直してください。"


def _different(addresses: list[str]) -> list[str]:
    if len({address.lower() for address in addresses}) != len(addresses):
        raise PydanticCustomError("repeated_address", "同じメールアドレスが重複しています。")
    return addresses


MailAddresses = Annotated[
    list[MailAddress],
    Field(max_length=MOST_ADDRESSES, description="通知メールアドレス"),
    AfterValidator(_different),
]


class Broken(BaseModel):
    """送信できなくなった理由。設定を変えるかテスト送信が成功すると消える"""

    since: Timestamp | None
    until: Timestamp | None = Field(description="自動で再開する日時(月間の上限など)。nullなら直すまで")
    code: str
    reason: str


class Service(BaseModel):
    """通知サービス"""

    id: str
    rule_id: str
    kind: ServiceKind
    label: str
    fields: dict[str, str] = Field(description="設定項目。トークンやURLなどは伏せて返す")
    broken: Broken | None = Field(description="送信できない状態。正常ならnull")
    created_at: Timestamp

    @classmethod
    def of(cls, service: NotificationService, parts: Parts) -> Self:
        fields = _fields_of(service, parts)
        return cls.model_validate(
            {
                "id": service.id,
                "rule_id": service.rule_id,
                "kind": service.kind,
                "label": service.label,
                "fields": masked(fields) if fields else {},
                "broken": _broken(service, now())
                if fields
                else Broken(since=None, until=None, code="bad_settings", reason=UNREADABLE),
                "created_at": service.created_at,
            }
        )


class NewlyMade(Service):
    """作成した通知サービス"""

    secret: str | None = Field(
        default=None, description="Webhookで省略され自動で作られた署名の鍵。このときだけ表示される"
    )


class Rule(BaseModel):
    """通知ルール"""

    id: str
    name: str
    mail_addresses: list[str]
    services: list[Service]
    broken: bool = Field(description="送信できない通知サービスがある")
    created_at: Timestamp

    @classmethod
    def of(cls, rule: NotificationRule, parts: Parts) -> Self:
        services = [Service.of(service, parts) for service in rule.services]
        return cls(
            id=rule.id,
            name=rule.name,
            mail_addresses=rule.mail_addresses,
            services=services,
            broken=any(service.broken for service in services),
            created_at=rule.created_at,
        )


class Rules(PageOf[Rule]):
    """通知ルールの1ページ。作成順"""


class NewRule(Body):
    """どの電話番号のルールからも選べる"""

    name: Name
    mail_addresses: MailAddresses = Field(default_factory=list)


class RuleChange(Body):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    name: Name = Field(default_factory=str)
    mail_addresses: MailAddresses = Field(default_factory=list)


class NewService(Body):
    """`fields`に要る項目は`GET /notification-service-kinds`が種類ごとに示す"""

    kind: ServiceKind
    label: Label = ""
    fields: dict[str, str | None]


class ServiceChange(Body):
    """指定した項目だけを変える。`fields`では、省略した秘密の項目と伏せ字のままの項目は元の値が残る"""

    label: Label = ""
    fields: dict[str, str | None] = Field(default_factory=dict)


class KindField(BaseModel):
    """設定項目"""

    name: str
    description: str
    secret: bool = Field(description="登録後は伏せて返す")
    required: bool


class Kind(BaseModel):
    """通知サービスの種類"""

    kind: ServiceKind
    description: str
    fields: list[KindField]


class Kinds(BaseModel):
    items: list[Kind]


@resource.get("/notification-service-kinds", "通知サービスの種類と、それぞれの設定項目")
async def list_kinds(ask: Ask) -> Kinds:
    models: dict[str, type[Fields]] = {
        model.model_fields["kind"].default: model for model in get_args(Fields)
    }
    return Kinds(items=[_kind(kind, models[kind]) for kind in get_args(ServiceKind)])


@resource.get("/notification-rules", "通知ルールの一覧")
async def list_notification_rules(ask: Ask, account_id: str, query: PageQuery) -> Rules:
    async with ask.session() as session:
        page = await notifications.list_rules(session, account_id, query.page())
    return Rules(items=[Rule.of(row, ask.parts) for row in page.items], next=page.next_text)


@resource.post("/notification-rules", "通知ルールを作る", status=201)
async def create_notification_rule(ask: Ask, account_id: str, body: NewRule) -> Rule:
    async with ask.session() as session:
        rule = await notifications.create_rule(session, account_id, body.name, body.mail_addresses)
    return Rule.of(rule, ask.parts)


@resource.get("/notification-rules/{rule_id}", "通知ルール")
async def get_notification_rule(ask: Ask, account_id: str, rule_id: str) -> Rule:
    async with ask.session() as session:
        return Rule.of(await notifications.get_rule(session, account_id, rule_id), ask.parts)


@resource.patch("/notification-rules/{rule_id}", "通知ルールを変える")
async def change_notification_rule(ask: Ask, account_id: str, rule_id: str, body: RuleChange) -> Rule:
    async with ask.session() as session:
        changes = body.model_dump(exclude_unset=True)
        rule = await notifications.change_rule(session, account_id, rule_id, **changes)
    return Rule.of(rule, ask.parts)


@resource.delete("/notification-rules/{rule_id}", "通知ルールを削除する。留守レポのルールで使用中なら in_use")
async def delete_notification_rule(ask: Ask, account_id: str, rule_id: str) -> None:
    async with ask.session() as session:
        await notifications.delete_rule(session, account_id, rule_id)


@resource.post("/notification-rules/{rule_id}/services", "通知サービスを追加する", status=201)
async def add_service(ask: Ask, account_id: str, rule_id: str, body: NewService) -> NewlyMade:
    fields = _parsed(body.kind, body.fields, ask.parts)
    async with ask.session() as session:
        service = await notifications.add_service(
            session, ask.parts.secret_key, account_id, rule_id, body.label, fields
        )
    made = NewlyMade.of(service, ask.parts)
    if isinstance(fields, WebhookFields) and fields.secret != body.fields.get("secret"):
        made.secret = fields.secret
    return made


@resource.get("/notification-rules/{rule_id}/services/{service_id}", "通知サービス")
async def get_service(ask: Ask, account_id: str, rule_id: str, service_id: str) -> Service:
    async with ask.session() as session:
        service = await notifications.get_service(session, account_id, rule_id, service_id)
    return Service.of(service, ask.parts)


@resource.patch("/notification-rules/{rule_id}/services/{service_id}", "通知サービスを変える")
async def change_service(
    ask: Ask, account_id: str, rule_id: str, service_id: str, body: ServiceChange
) -> Service:
    async with ask.session() as session:
        service = await notifications.get_service(session, account_id, rule_id, service_id)
        fields = None
        if "fields" in body.model_fields_set:
            fields = _parsed(service.kind, body.fields, ask.parts, _fields_of(service, ask.parts))
        label = body.label if "label" in body.model_fields_set else service.label
        await notifications.change_service(session, ask.parts.secret_key, service, label, fields)
    return Service.of(service, ask.parts)


@resource.delete("/notification-rules/{rule_id}/services/{service_id}", "通知サービスを削除する")
async def delete_service(ask: Ask, account_id: str, rule_id: str, service_id: str) -> None:
    async with ask.session() as session:
        await notifications.delete_service(session, account_id, rule_id, service_id)


@resource.post(
    "/notification-rules/{rule_id}/services/{service_id}:test",
    "テスト通知を送る。結果は返されたidの /deliveries/{id} で確かめる",
    status=201,
)
async def send_test(ask: Ask, account_id: str, rule_id: str, service_id: str) -> Delivery:
    async with ask.session() as session:
        service = await notifications.get_service(session, account_id, rule_id, service_id)
        rule = await notifications.get_rule(session, account_id, rule_id)
        # In no lane: somebody waits for it, and what waits there may wait for hours.
        delivery = to_service(rule, service, DeliveryPurpose.TEST)
        await send_soon(session, delivery)
    return Delivery.of(delivery)


def _parsed(kind: str, given: dict[str, str | None], parts: Parts, kept: Fields | None = None) -> Fields:
    """Raises Problem naming the fields."""
    try:
        return parse_fields(kind, given, parts.notifications, kept)  # type: ignore[arg-type]
    except ValidationError as wrong:
        problem = problem_of_validation("invalid_body", wrong)
        for error in problem.errors:
            error.field = f"fields.{error.field}"
        raise problem from None


def _fields_of(service: NotificationService, parts: Parts) -> Fields | None:
    """The service's fields; None where they cannot be read."""
    try:
        return notifications.fields_of(service, parts.secret_key, parts.notifications)
    except (SealBroken, ValidationError):
        return None


def _broken(service: NotificationService, at: datetime) -> Broken | None:
    if not service.is_broken(at):
        return None
    return Broken(
        since=service.broken_since,
        until=service.broken_until,
        code=service.broken_code or "",
        reason=service.broken_reason or "",
    )


def _kind(kind: ServiceKind, model: type[Fields]) -> Kind:
    secrets = secret_fields(model)
    fields = [
        KindField(
            name=name,
            description=field.description or "",
            secret=name in secrets,
            required=field.is_required(),
        )
        for name, field in model.model_fields.items()
        if name != "kind"
    ]
    return Kind(kind=kind, description=model.__doc__ or "", fields=fields)
