"""What a call from a device needs to know, in as few quick queries as can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, or_, select

from store.callback import CALLBACK_AWAITED
from store.models import (
    ON_AT_FIRST,
    DestinationClass,
    Device,
    DeviceCalling,
    NumberUse,
    OutboundSetting,
    PhoneNumber,
)
from store.upserts import insert_for


@dataclass(frozen=True)
class OwnNumber:
    """A number of the account; `line` chooses it when dialled as `*01`."""

    id: str
    e164: str
    line: int | None


@dataclass(frozen=True)
class CallingDevice:
    """A device as it calls now. `default` is None where the account has no number at all."""

    id: str
    account_id: str
    username: str
    shown_as: str
    """Its short number, or its user name where it has none."""

    numbers: tuple[OwnNumber, ...]
    default: OwnNumber | None
    hides_number: bool
    allowed: frozenset[DestinationClass]


@dataclass(frozen=True)
class Colleague:
    """Another device of the account, as it was called."""

    id: str
    username: str
    shown_as: str


_device, _calling = Device.__table__, DeviceCalling.__table__
_number, _setting = PhoneNumber.__table__, OutboundSetting.__table__
_CALLING = _device.outerjoin(_calling, _calling.c.device_id == _device.c.id)
_DEVICE = (
    select(
        _device.c.id,
        _device.c.account_id,
        _calling.c.short_number,
        _calling.c.default_number_id,
        _calling.c.hides_number,
        _calling.c.classes,
        _setting.c.classes,
    )
    .select_from(_CALLING.outerjoin(_setting, _setting.c.account_id == _device.c.account_id))
    .where(_device.c.username == bindparam("username"))
)
_NUMBERS = (
    select(_number.c.id, _number.c.e164, _number.c.line, _number.c.use)
    .where(_number.c.account_id == bindparam("account_id"))
    .order_by(_number.c.created_at, _number.c.id)
)
_COLLEAGUE = (
    select(_device.c.id, _device.c.username, _calling.c.short_number)
    .select_from(_CALLING)
    .where(
        and_(
            _device.c.account_id == bindparam("account_id"),
            or_(_calling.c.short_number == bindparam("called"), _device.c.username == bindparam("called")),
        )
    )
)


def calling_device(connection: Connection, username: str) -> CallingDevice | None:
    """The device `username` with its account's numbers, or None when there is none."""
    row = connection.execute(_DEVICE, {"username": username}).one_or_none()
    if row is None:
        return None
    device_id, account_id, short_number, default_id, hides, of_device, of_account = row
    rows = list(connection.execute(_NUMBERS, {"account_id": account_id}))
    numbers = tuple(OwnNumber(*number[:3]) for number in rows)
    return CallingDevice(
        id=device_id,
        account_id=account_id,
        username=username,
        shown_as=short_number or username,
        numbers=numbers,
        default=usual_number(numbers, [number.use for number in rows], default_id),
        hides_number=bool(hides),
        allowed=allowed_classes(of_account, of_device),
    )


def colleague(connection: Connection, account_id: str, called: str) -> Colleague | None:
    """The account's device with the short number or user name `called`; a short number comes first."""
    found = connection.execute(_COLLEAGUE, {"account_id": account_id, "called": called})
    rows = [Colleague(device_id, username, short or username) for device_id, username, short in found]
    return min(rows, key=lambda one: one.shown_as != called, default=None)


def usual_number(
    numbers: Sequence[OwnNumber], uses: Sequence[NumberUse], chosen: str | None
) -> OwnNumber | None:
    """The device's own choice, else the account's first number for voice, else its first."""
    for number in numbers:
        if number.id == chosen:
            return number
    for number, use in zip(numbers, uses, strict=True):
        if use is NumberUse.VOICE:
            return number
    return numbers[0] if numbers else None


def allowed_classes(
    of_account: Sequence[str] | None, of_device: Sequence[str] | None
) -> frozenset[DestinationClass]:
    """What may be called: what the account allows (None: the usual), of that what the device does."""
    account = ON_AT_FIRST if of_account is None else frozenset(map(DestinationClass, of_account))
    return account if of_device is None else account & frozenset(map(DestinationClass, of_device))


def await_callback(connection: Connection, account_id: str, at: datetime) -> None:
    """Somebody of the account has called an emergency service at `at`; it may call back."""
    until = at + CALLBACK_AWAITED
    noted = insert_for(connection, OutboundSetting).values(
        account_id=account_id, classes=sorted(ON_AT_FIRST), callback_until=until
    )
    noted = noted.on_conflict_do_update(index_elements=["account_id"], set_={"callback_until": until})
    connection.execute(noted)
