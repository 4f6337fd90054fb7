"""How an account and its devices may call, and by which short numbers devices call each other."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.calling import allowed_classes
from store.devices import get_device
from store.errors import Conflict, Unusable
from store.models import (
    SWITCHABLE,
    DestinationClass,
    Device,
    DeviceCalling,
    OutboundSetting,
    PhoneNumber,
    Trunk,
)

SHORT_NUMBER = re.compile(r"(?!0|1[0-9]{2}$|70[0-9]$|18[46])[0-9]{2,4}")
"""What could be a service (1XY), a parking place (700-709) or a prefix (0, 184, 186) is no short number."""


@dataclass(frozen=True)
class DeviceSettings:
    """How a device calls. `classes` None: whatever its account may call."""

    short_number: str | None = None
    default_number_id: str | None = None
    hides_number: bool = False
    classes: frozenset[DestinationClass] | None = None


async def account_classes(session: AsyncSession, account_id: str) -> frozenset[DestinationClass]:
    """What the account may call."""
    setting = await session.get(OutboundSetting, account_id)
    return allowed_classes(setting.classes if setting else None, None)


async def set_account_classes(
    session: AsyncSession, account_id: str, classes: Iterable[DestinationClass]
) -> None:
    setting = await session.get(OutboundSetting, account_id)
    setting = setting or OutboundSetting(account_id=account_id)
    setting.classes = _in_order(classes)
    session.add(setting)


async def emergency_available(session: AsyncSession) -> bool:
    """Whether a trunk takes calls to 110, 118 and 119."""
    trunks = select(Trunk.id).where(Trunk.enabled, Trunk.emergency).limit(1)
    return await session.scalar(trunks) is not None


async def device_settings(session: AsyncSession, account_id: str, device_id: str) -> DeviceSettings:
    """Raises NotFound."""
    await get_device(session, account_id, device_id)
    row = await session.get(DeviceCalling, device_id)
    if row is None:
        return DeviceSettings()
    classes = None if row.classes is None else frozenset(map(DestinationClass, row.classes))
    return DeviceSettings(row.short_number, row.default_number_id, row.hides_number, classes)


async def set_device_settings(
    session: AsyncSession, account_id: str, device_id: str, settings: DeviceSettings
) -> None:
    """Raises NotFound; Unusable naming the field; Conflict `short_number_taken`."""
    await revisions.bump(session)
    await get_device(session, account_id, device_id)
    if settings.default_number_id is not None:
        number = await session.get(PhoneNumber, settings.default_number_id)
        if number is None or number.account_id != account_id:
            raise Unusable("default_number_id", "not_found")
    if settings.short_number is not None:
        await _refuse_short_number(session, account_id, device_id, settings.short_number)
    row = await session.get(DeviceCalling, device_id)
    row = row or DeviceCalling(device_id=device_id, account_id=account_id)
    row.short_number = settings.short_number
    row.default_number_id = settings.default_number_id
    row.hides_number = settings.hides_number
    row.classes = None if settings.classes is None else _in_order(settings.classes)
    session.add(row)
    await session.flush()


async def _refuse_short_number(
    session: AsyncSession, account_id: str, device_id: str, short_number: str
) -> None:
    if not SHORT_NUMBER.fullmatch(short_number):
        raise Unusable("short_number", "short_number")
    others = select(DeviceCalling.device_id).where(
        DeviceCalling.account_id == account_id, DeviceCalling.short_number == short_number
    )
    names = select(Device.id).where(Device.account_id == account_id, Device.username == short_number)
    taken = {await session.scalar(others), await session.scalar(names)} - {None, device_id}
    if taken:
        raise Conflict("short_number_taken")


def _in_order(classes: Iterable[DestinationClass]) -> list[str]:
    chosen = set(classes)
    return [one.value for one in SWITCHABLE if one in chosen]
