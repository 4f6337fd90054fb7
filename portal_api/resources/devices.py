"""`/devices`: the account's SIP IDs."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, Label, PageOf, PageQuery, Timestamp
from store import devices
from store.models import Device as DeviceRow

resource = Resource("端末")

Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,32}$")]


class Device(BaseModel):
    id: str
    username: str
    name: str
    created_at: Timestamp

    @classmethod
    def of(cls, device: DeviceRow) -> Self:
        return cls(id=device.id, username=device.username, name=device.name, created_at=device.created_at)


class DeviceWithPassword(Device):
    password: str = Field(description="この応答でしか見られない")

    @classmethod
    def showing(cls, device: DeviceRow, password: str) -> Self:
        return cls(**Device.of(device).model_dump(mode="python"), password=password)


class Devices(PageOf[Device]):
    """端末の1ページ。作成順"""


class NewDevice(Body):
    username: Username | None = Field(default=None, description="省略すると自動で決まる")
    name: Label = ""


@resource.get("/devices", "端末の一覧")
async def list_devices(ask: Ask, account_id: str, query: PageQuery) -> Devices:
    async with ask.session() as session:
        page = await devices.list_devices(session, account_id, query.page())
    return Devices(items=[Device.of(row) for row in page.items], next=page.next_text)


@resource.post("/devices", "端末を作る", status=201)
async def create_device(ask: Ask, account_id: str, body: NewDevice) -> DeviceWithPassword:
    async with ask.session() as session:
        device, password = await devices.create_device(
            session, ask.parts.secret_key, account_id, body.username, body.name
        )
    return DeviceWithPassword.showing(device, password)


@resource.get("/devices/{device_id}", "端末")
async def get_device(ask: Ask, account_id: str, device_id: str) -> Device:
    async with ask.session() as session:
        return Device.of(await devices.get_device(session, account_id, device_id))


class DeviceChange(Body):
    name: Label


@resource.patch("/devices/{device_id}", "端末の名前を変える")
async def change_device(ask: Ask, account_id: str, device_id: str, body: DeviceChange) -> Device:
    async with ask.session() as session:
        return Device.of(await devices.rename_device(session, account_id, device_id, body.name))


@resource.delete("/devices/{device_id}", "端末を削除する。ログイン中ならログアウトする")
async def delete_device(ask: Ask, account_id: str, device_id: str) -> None:
    async with ask.session() as session:
        await devices.delete_device(session, account_id, device_id)


@resource.post("/devices/{device_id}/password", "パスワードを作り直す。古いものは使えなくなる")
async def rotate_password(ask: Ask, account_id: str, device_id: str) -> DeviceWithPassword:
    async with ask.session() as session:
        device, password = await devices.rotate_password(session, ask.parts.secret_key, account_id, device_id)
    return DeviceWithPassword.showing(device, password)
