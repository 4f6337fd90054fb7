"""Devices: the SIP accounts that register with us."""

import secrets
from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.errors import Conflict, NotFound
from store.models import Call, Device, ProvisioningLink, Registration
from store.pages import Page, PageRequest, read_page
from store.sealing import seal

# Without 0/o and 1/l/i: people type these into telephones.
USERNAME_SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"
PASSWORD_SIGNS = USERNAME_SIGNS + "ABCDEFGHJKLMNPQRSTUVWXYZ"
PASSWORD_LENGTH = 24


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
    """Take the device away; it is logged out, and its calls that go on do. Raises NotFound.

    Its call details stay: they know it by its user name.
    """
    await revisions.bump(session)
    device = await get_device(session, account_id, device_id)
    await session.execute(update(Call).where(Call.device_id == device.id).values(device_id=None))
    for table in (Registration, ProvisioningLink):
        await session.execute(delete(table).where(table.device_id == device.id))
    await session.delete(device)


def _random(signs: str, length: int) -> str:
    return "".join(secrets.choice(signs) for _ in range(length))
