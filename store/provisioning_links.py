"""Links that give a device's settings once, to whoever has the link."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.devices import get_device
from store.errors import NotFound
from store.models import Device, ProvisioningLink, now
from store.sealing import unseal

LIVES = timedelta(minutes=10)
TOKEN_BYTES = 32


@dataclass(frozen=True)
class Provisioned:
    """What a telephone needs to know of itself."""

    username: str
    password: str
    name: str


async def make_link(
    session: AsyncSession, account_id: str, device_id: str, at: datetime | None = None
) -> tuple[ProvisioningLink, str]:
    """Make a link of a device: its row, and the secret that only its holder has. Earlier ones die.

    Raises NotFound.
    """
    at = at or now()
    device = await get_device(session, account_id, device_id)
    earlier = update(ProvisioningLink).where(
        ProvisioningLink.device_id == device.id, ProvisioningLink.used_at.is_(None)
    )
    await session.execute(earlier.values(used_at=at))
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    link = ProvisioningLink(device_id=device.id, digest=_digest(secret), created_at=at, expires_at=at + LIVES)
    session.add(link)
    await session.flush()
    return link, secret


async def use_link(
    session: AsyncSession, secret_key: str, secret: str, at: datetime | None = None
) -> Provisioned:
    """Use a link up. Raises NotFound for one that is unknown, used or too old: nobody learns which."""
    at = at or now()
    used = (
        update(ProvisioningLink)
        .where(
            ProvisioningLink.digest == _digest(secret),
            ProvisioningLink.used_at.is_(None),
            ProvisioningLink.expires_at > at,
        )
        .values(used_at=at)
        .returning(ProvisioningLink.device_id)
        .execution_options(synchronize_session=False)
    )
    device_id = (await session.execute(used)).scalar()
    device = await session.scalar(select(Device).where(Device.id == device_id)) if device_id else None
    if device is None:
        raise NotFound("link")
    return Provisioned(device.username, unseal(device.sealed_password, secret_key), device.name)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
