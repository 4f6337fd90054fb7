"""How calls are made: `/account/outbound` and `/devices/{id}/calling`."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven
from store import calling_settings
from store.calling_settings import DeviceSettings
from store.models import SWITCHABLE, DestinationClass

resource = Resource("発信")

CLASSES = (
    "発信を許可する種類。free=フリーダイヤル、fixed=固定電話、mobile=携帯電話、ip=050、navi=0570、special=1XYと#番号、"
    "premium=情報料・衛星電話、overseas=海外"
)
ClassGiven = Annotated[DestinationClass, Field(strict=False)]
ClassesGiven = Annotated[list[ClassGiven], Field(max_length=len(SWITCHABLE), description=CLASSES)]


class Outbound(BaseModel):
    """アカウントの発信の設定"""

    classes: list[DestinationClass] = Field(description=CLASSES)
    emergency_available: bool = Field(
        description="110・118・119につながるか。falseのときは、携帯電話や公衆電話を使うよう案内する"
    )


class OutboundChange(Body):
    classes: ClassesGiven


class Calling(BaseModel):
    """端末の発信と内線の設定"""

    short_number: str | None = Field(description="内線番号")
    default_number_id: str | None = Field(description="通知する電話番号。nullはアカウントの最初の番号")
    hides_number: bool = Field(description="番号を通知しない(186を付けたときは通知する)")
    classes: list[DestinationClass] | None = Field(
        description=f"{CLASSES}。アカウントでも許可しているものに限る。nullはアカウントと同じ"
    )

    @classmethod
    def of(cls, settings: DeviceSettings) -> Self:
        chosen = settings.classes
        return cls(
            short_number=settings.short_number,
            default_number_id=settings.default_number_id,
            hides_number=settings.hides_number,
            classes=None if chosen is None else [one for one in SWITCHABLE if one in chosen],
        )


class CallingChange(Body):
    short_number: Annotated[str, StringConstraints(max_length=4)] | None = Field(
        description="2〜4桁。0から始まる番号、1XY、700〜709、184・186から始まる番号は使えない",
        examples=["21"],
    )
    default_number_id: IdGiven | None
    hides_number: bool = False
    classes: ClassesGiven | None = None


@resource.get("/account/outbound", "アカウントの発信の設定")
async def get_outbound(ask: Ask, account_id: str) -> Outbound:
    async with ask.session() as session:
        allowed = await calling_settings.account_classes(session, account_id)
        available = await calling_settings.emergency_available(session)
    return Outbound(classes=[one for one in SWITCHABLE if one in allowed], emergency_available=available)


@resource.put("/account/outbound", "発信を許可する種類を決める。緊急通報と内線はいつでもかけられる")
async def set_outbound(ask: Ask, account_id: str, body: OutboundChange) -> Outbound:
    async with ask.session() as session:
        await calling_settings.set_account_classes(session, account_id, body.classes)
        allowed = await calling_settings.account_classes(session, account_id)
        available = await calling_settings.emergency_available(session)
    return Outbound(classes=[one for one in SWITCHABLE if one in allowed], emergency_available=available)


@resource.get("/devices/{device_id}/calling", "端末の発信と内線の設定")
async def get_calling(ask: Ask, account_id: str, device_id: str) -> Calling:
    async with ask.session() as session:
        return Calling.of(await calling_settings.device_settings(session, account_id, device_id))


@resource.put("/devices/{device_id}/calling", "端末の発信と内線の設定を変える")
async def set_calling(ask: Ask, account_id: str, device_id: str, body: CallingChange) -> Calling:
    settings = DeviceSettings(
        body.short_number,
        body.default_number_id,
        body.hides_number,
        None if body.classes is None else frozenset(body.classes),
    )
    async with ask.session() as session:
        await calling_settings.set_device_settings(session, account_id, device_id, settings)
        return Calling.of(await calling_settings.device_settings(session, account_id, device_id))
