"""A number's fax settings, and which devices may use it."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.arrivals import fax_use
from store.errors import Conflict, NotFound, Unusable
from store.models import Device, Fax, FaxAccess, FaxSetting, FaxUse, NotificationRule, NumberUse, PhoneNumber
from store.numbers import get_number, refuse_unsold

LEAST_DEVICES = 2
"""Access is chosen among several devices; one has it anyway."""


def use_of(number: PhoneNumber, setting: FaxSetting | None) -> FaxUse:
    """How calls to the number become faxes."""
    return fax_use(number.use, setting.enabled if setting else None, setting.fax_only if setting else None)


async def get_fax_setting(
    session: AsyncSession, account_id: str, number_id: str
) -> tuple[PhoneNumber, FaxSetting]:
    """The number and its settings, the defaults where there are none. Raises NotFound."""
    number = await get_number(session, account_id, number_id)
    setting = await session.get(FaxSetting, number_id, populate_existing=True)
    if setting is None:
        by_use = number.use is NumberUse.FAX
        setting = FaxSetting(
            number_id=number_id, enabled=by_use, fax_only=False, mail_addresses=[], sender_name=""
        )
    return number, setting


async def set_fax_setting(
    session: AsyncSession,
    account_id: str,
    number_id: str,
    enabled: bool | None = None,
    fax_only: bool | None = None,
    mail_addresses: list[str] | None = None,
    notification_rule_id: str | None = None,
    keep_rule: bool = True,
    sender_name: str | None = None,
) -> tuple[PhoneNumber, FaxSetting]:
    """Set what is given; None leaves it as it is. The rule is set where `keep_rule` is not.

    Raises NotFound, Conflict `option_not_sold`, Unusable `not_found` for a rule of nobody's, Unusable
    `fax_option_required` for FAX専用モード without the option.
    """
    await revisions.bump(session)
    number, setting = await get_fax_setting(session, account_id, number_id)
    if number.use is NumberUse.FAX:
        setting.enabled = True
    elif enabled is not None:
        if enabled:
            refuse_unsold(number.sells_fax)
        setting.enabled = enabled
        setting.fax_only = setting.fax_only and enabled
    if fax_only is not None:
        if fax_only and not setting.enabled:
            raise Unusable("fax_only", "fax_option_required")
        setting.fax_only = fax_only
    if not keep_rule:
        await _refuse_unknown_rule(session, account_id, notification_rule_id)
        setting.notification_rule_id = notification_rule_id
    if mail_addresses is not None:
        setting.mail_addresses = list(dict.fromkeys(mail_addresses))
    if sender_name is not None:
        setting.sender_name = sender_name
    session.add(setting)
    await session.flush()
    return number, setting


async def _refuse_unknown_rule(session: AsyncSession, account_id: str, rule_id: str | None) -> None:
    if rule_id is None:
        return
    rule = await session.get(NotificationRule, rule_id)
    if rule is None or rule.account_id != account_id:
        raise Unusable("notification_rule_id", "not_found")


async def get_access(
    session: AsyncSession, account_id: str, number_id: str
) -> tuple[Sequence[Device], set[str]]:
    """The account's devices, and the ids of those chosen for the number: none chosen, all may. NotFound."""
    await get_number(session, account_id, number_id)
    mine = select(Device).where(Device.account_id == account_id)
    devices = (await session.scalars(mine.order_by(Device.created_at, Device.id))).all()
    chosen = await session.scalars(select(FaxAccess.device_id).where(FaxAccess.number_id == number_id))
    return devices, set(chosen)


async def set_access(
    session: AsyncSession, account_id: str, number_id: str, device_ids: Sequence[str]
) -> None:
    """Choose the devices that may use the number for faxes; none: all may.

    Raises NotFound, Unusable `not_found` for a device of nobody's, Conflict `one_device_only`.
    """
    await revisions.bump(session)
    devices, _ = await get_access(session, account_id, number_id)
    if device_ids and len(devices) < LEAST_DEVICES:
        raise Conflict("one_device_only")
    known = {device.id for device in devices}
    for index, device_id in enumerate(device_ids):
        if device_id not in known:
            raise Unusable(f"device_ids.{index}", "not_found")
    await session.execute(delete(FaxAccess).where(FaxAccess.number_id == number_id))
    session.add_all(FaxAccess(number_id=number_id, device_id=one) for one in dict.fromkeys(device_ids))
    await session.flush()


def seen_by(device_id: str) -> ColumnElement[bool]:
    """The faxes of the numbers that a device may use."""
    chosen = FaxAccess.__table__
    any_chosen = exists().where(chosen.c.number_id == Fax.number_id)
    ours = exists().where(chosen.c.number_id == Fax.number_id, chosen.c.device_id == device_id)
    return or_(~any_chosen, ours)


async def refuse_device(session: AsyncSession, account_id: str, number_id: str, device_id: str) -> None:
    """Raises NotFound for no such device, Conflict `fax_access_denied` for one that may not use it."""
    device = await session.get(Device, device_id)
    if device is None or device.account_id != account_id:
        raise NotFound(device_id)
    _, chosen = await get_access(session, account_id, number_id)
    if chosen and device_id not in chosen:
        raise Conflict("fax_access_denied")
