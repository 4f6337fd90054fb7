"""Devices: the SIP accounts that register with us."""

import secrets
from collections.abc import Sequence

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from store import revisions
from store.errors import Conflict, InUse, NotFound, Use
from store.events import append_in
from store.models import (
    Call,
    Device,
    DeviceCalling,
    DevicePhonebook,
    FaxAccess,
    PhonebookLink,
    PhoneNumber,
    ProvisioningLink,
    Registration,
    RingPlan,
    UserDevice,
)
from store.pages import Page, PageRequest, read_page
from store.sealing import seal

# Without 0/o and 1/l/i: people type these into telephones.
USERNAME_SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
PASSWORD_SIGNS = USERNAME_SIGNS + "ABCDEFGHJKLMNPQRSTUVWXYZ"
PASSWORD_LENGTH = 24

ITS_OWN = (
    DeviceCalling,
    DevicePhonebook,
    FaxAccess,
    PhonebookLink,
    ProvisioningLink,
    Registration,
    UserDevice,
)
"""What goes with a device."""


async def list_devices(session: AsyncSession, account_id: str, request: PageRequest) -> Page[Device]:
    """Give a page of the account's devices, oldest first."""
    rows = select(Device).where(Device.account_id == account_id)
    return await read_page(session, rows, (Device.created_at, Device.id), request, newest_first=False)


async def every_device(session: AsyncSession, account_id: str) -> Sequence[Device]:
    """Give all of the account's devices, oldest first."""
    rows = select(Device).where(Device.account_id == account_id).order_by(Device.created_at, Device.id)
    return (await session.scalars(rows)).all()


async def get_device(session: AsyncSession, account_id: str, device_id: str) -> Device:
    """Give the device. Raises NotFound."""
    device = await session.get(Device, device_id)
    if device is None or device.account_id != account_id:
        raise NotFound(device_id)
    return device


async def create_device(
    session: AsyncSession, secret_key: str, account_id: str, username: str | None = None, name: str = ""
) -> tuple[Device, str]:
    """Make a device and give it with its password, which is kept sealed. A missing `username` is made up.

    Raises Conflict `username_taken`: usernames are one space for all accounts.
    """
    await revisions.bump(session)
    username = username or _random(USERNAME_SIGNS, 10)
    if await session.scalar(select(Device.id).where(Device.username == username)):
        raise Conflict("username_taken")
    password = new_password()
    device = Device(
        account_id=account_id, username=username, name=name, sealed_password=seal(password, secret_key)
    )
    session.add(device)
    await session.flush()
    return device, password


async def rotate_password(
    session: AsyncSession, secret_key: str, account_id: str, device_id: str
) -> tuple[Device, str]:
    """Give the device a new password; the old one is worthless from the commit on. Raises NotFound."""
    await revisions.bump(session)
    device = await get_device(session, account_id, device_id)
    password = new_password()
    device.sealed_password = seal(password, secret_key)
    return device, password


def new_password() -> str:
    return _random(PASSWORD_SIGNS, PASSWORD_LENGTH)


async def rename_device(session: AsyncSession, account_id: str, device_id: str, name: str) -> Device:
    """Call the device something else. Raises NotFound."""
    device = await get_device(session, account_id, device_id)
    device.name = name
    return device


async def delete_device(session: AsyncSession, account_id: str, device_id: str) -> None:
    """Take the device away; it is logged out, and its calls that go on do. Raises NotFound, InUse.

    In use is the only device that rings for a number or may use its faxes: with none chosen all would. Call
    details and faxes stay: they know it by its user name or id.
    """
    await revisions.bump(session)
    device = await get_device(session, account_id, device_id)
    used_by = {number.id: Use("number", number.id, number.e164) for number in await _sole_of(session, device)}
    if used_by:
        raise InUse(list(used_by.values()))
    await session.execute(update(Call).where(Call.device_id == device.id).values(device_id=None))
    gone = select(Registration.id).where(Registration.device_id == device.id)
    contacts = list(await session.scalars(gone))
    for table in ITS_OWN:
        await session.execute(delete(table).where(table.device_id == device.id))
    for plan in await _plans_with(session, device):
        plan.devices = [one for one in plan.devices if one["device_id"] != device.id]
    await session.flush()
    await session.delete(device)
    await append_in(session, account_id, "registration.removed", contacts, {"device_id": device_id})


async def _sole_of(session: AsyncSession, device: Device) -> list[PhoneNumber]:
    """The numbers for which nothing but this device was chosen."""
    other = aliased(FaxAccess)
    others = exists().where(other.number_id == FaxAccess.number_id, other.device_id != device.id)
    fax = select(FaxAccess.number_id).where(FaxAccess.device_id == device.id, ~others)
    ids = set(await session.scalars(fax))
    ids |= {plan.number_id for plan in await _plans_with(session, device) if len(plan.devices) == 1}
    rows = select(PhoneNumber).where(PhoneNumber.id.in_(ids)).order_by(PhoneNumber.e164)
    return list(await session.scalars(rows))


async def _plans_with(session: AsyncSession, device: Device) -> list[RingPlan]:
    of_account = select(PhoneNumber.id).where(PhoneNumber.account_id == device.account_id)
    plans = await session.scalars(select(RingPlan).where(RingPlan.number_id.in_(of_account)))
    return [plan for plan in plans if any(one["device_id"] == device.id for one in plan.devices)]


def _random(signs: str, length: int) -> str:
    return "".join(secrets.choice(signs) for _ in range(length))
