"""What softphones get of the phonebook: 待ち受けタイプ, and who may fetch it."""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.devices import get_device
from store.errors import SealBroken
from store.models import Device, DevicePhonebook, PhonebookLink, StandbyType, now
from store.phonebook import require_contract
from store.sealing import unseal
from store.upserts import insert_for

LINK_LIVES = timedelta(hours=24)


async def standby_of(session: AsyncSession, account_id: str, device_id: str) -> StandbyType:
    """Give the device's 待ち受けタイプ. Raises NotFound, Conflict `phonebook_not_contracted`."""
    await require_contract(session, account_id)
    device = await get_device(session, account_id, device_id)
    shown = await session.get(DevicePhonebook, device.id)
    return shown.standby_type if shown else StandbyType.LIST


async def set_standby(
    session: AsyncSession, account_id: str, device_id: str, standby: StandbyType
) -> StandbyType:
    """Set the device's 待ち受けタイプ. Raises NotFound, Conflict `phonebook_not_contracted`."""
    await require_contract(session, account_id)
    device = await get_device(session, account_id, device_id)
    said = {"standby_type": standby, "updated_at": now()}
    new = insert_for(session, DevicePhonebook).values(device_id=device.id, **said)
    await session.execute(new.on_conflict_do_update(index_elements=["device_id"], set_=said))
    return standby


async def make_link(session: AsyncSession, account_id: str, device_id: str) -> tuple[str, datetime]:
    """Make a link's secret, good for one fetch, and say until when; earlier links of the device end.

    Raises NotFound, Conflict `phonebook_not_contracted`.
    """
    await require_contract(session, account_id)
    device = await get_device(session, account_id, device_id)
    at = now()
    ended = (PhonebookLink.device_id == device.id) | (PhonebookLink.expires_at < at)
    await session.execute(delete(PhonebookLink).where(ended))
    secret = secrets.token_urlsafe(32)
    link = PhonebookLink(
        digest=_digest(secret), device_id=device.id, account_id=account_id, expires_at=at + LINK_LIVES
    )
    session.add(link)
    await session.flush()
    return secret, link.expires_at


async def device_of_link(session: AsyncSession, secret: str, use_up: bool) -> Device | None:
    """The device that the link was made for; None for a link that is unknown, used or too old."""
    good = (PhonebookLink.digest == _digest(secret), PhonebookLink.expires_at > now())
    if use_up:
        gone = delete(PhonebookLink).where(*good).returning(PhonebookLink.device_id)
        device_id = await session.scalar(gone.execution_options(synchronize_session=False))
    else:
        device_id = await session.scalar(select(PhonebookLink.device_id).where(*good))
    return await session.get(Device, device_id) if device_id else None


async def device_of_password(
    session: AsyncSession, secret_key: str, username: str, password: str
) -> Device | None:
    """The device with these SIP credentials; None where they are not right."""
    device = await session.scalar(select(Device).where(Device.username == username))
    try:
        wanted = unseal(device.sealed_password, secret_key) if device else secrets.token_urlsafe()
    except SealBroken:
        return None
    given = password.encode("utf-8", "surrogateescape")
    return device if hmac.compare_digest(wanted.encode(), given) and device else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
