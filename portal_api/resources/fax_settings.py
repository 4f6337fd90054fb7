"""`/numbers/{id}/fax`: FAX専用モード, who is told of a number's faxes, and which devices may use it."""

from typing import Annotated, Self

from pydantic import BaseModel, Field

from portal_api.resources.notification_rules import MailAddresses
from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label
from store import fax_settings
from store.models import Device, FaxSetting, FaxUse, PhoneNumber

resource = Resource("FAX")


class NumberFax(BaseModel):
    """電話番号のFAXの設定"""

    number_id: str
    number: str = Field(examples=["+81312345679"])
    enabled: bool = Field(description="この番号でFAXを使う(FAXオプション)。FAX用の番号では常にtrue")
    fax_only: bool = Field(description="FAX専用モード。ONなら、かかってきた通話をすぐにFAXとして受ける")
    receives: FaxUse = Field(
        description="only: すぐにFAXとして受ける、shared: 電話として受けてFAXの音で切り替える、none: 受けない"
    )
    mail_addresses: list[str] = Field(description="送受信の通知先。FAXはPDFで添付する")
    notification_rule_id: str | None = Field(description="送受信を知らせる通知ルール")
    sender_name: str = Field(description="送信する各ページの上端に、番号・日時・ページとともに印字する名前")

    @classmethod
    def of(cls, number: PhoneNumber, setting: FaxSetting) -> Self:
        return cls(
            number_id=number.id,
            number=number.e164,
            enabled=setting.enabled,
            fax_only=setting.fax_only,
            receives=fax_settings.use_of(number, setting),
            mail_addresses=setting.mail_addresses,
            notification_rule_id=setting.notification_rule_id,
            sender_name=setting.sender_name,
        )


class NumberFaxChange(Body):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    enabled: bool = Field(default=False, description="この番号でFAXを使う")
    fax_only: bool = Field(default=False, description="FAX専用モード")
    mail_addresses: MailAddresses = Field(default_factory=list)
    notification_rule_id: IdGiven | None = Field(default=None, description="nullで通知ルールを使わない")
    sender_name: Annotated[Label, Field(max_length=60)] = ""


class DeviceAccess(BaseModel):
    device_id: str
    username: str
    name: str
    allowed: bool = Field(description="このFAX番号で送受信できるか")

    @classmethod
    def of(cls, device: Device, chosen: set[str]) -> Self:
        allowed = not chosen or device.id in chosen
        return cls(device_id=device.id, username=device.username, name=device.name, allowed=allowed)


class Access(BaseModel):
    """FAX番号のアクセス設定。何も選ばれていなければ、すべてのIDが使える"""

    restricted: bool
    devices: list[DeviceAccess]


class AccessChange(Body):
    device_ids: list[IdGiven] = Field(max_length=1000, description="送受信できるID。空ならすべて")


@resource.get("/numbers/{number_id}/fax", "FAXの設定")
async def get_number_fax(ask: Ask, account_id: str, number_id: str) -> NumberFax:
    async with ask.session() as session:
        return NumberFax.of(*await fax_settings.get_fax_setting(session, account_id, number_id))


@resource.put("/numbers/{number_id}/fax", "FAX専用モードや通知先を設定する。指定した項目だけを変える")
async def set_number_fax(ask: Ask, account_id: str, number_id: str, body: NumberFaxChange) -> NumberFax:
    changes = body.model_dump(exclude_unset=True)
    keep_rule = "notification_rule_id" not in changes
    async with ask.session() as session:
        number, setting = await fax_settings.set_fax_setting(
            session, account_id, number_id, keep_rule=keep_rule, **changes
        )
        return NumberFax.of(number, setting)


@resource.get("/numbers/{number_id}/fax/access", "FAX番号のアクセス設定")
async def get_fax_access(ask: Ask, account_id: str, number_id: str) -> Access:
    async with ask.session() as session:
        devices, chosen = await fax_settings.get_access(session, account_id, number_id)
    return Access(restricted=bool(chosen), devices=[DeviceAccess.of(device, chosen) for device in devices])


@resource.put("/numbers/{number_id}/fax/access", "このFAX番号で送受信できるIDを選ぶ")
async def set_fax_access(ask: Ask, account_id: str, number_id: str, body: AccessChange) -> Access:
    async with ask.session() as session:
        await fax_settings.set_access(session, account_id, number_id, body.device_ids)
        devices, chosen = await fax_settings.get_access(session, account_id, number_id)
    return Access(restricted=bool(chosen), devices=[DeviceAccess.of(device, chosen) for device in devices])
