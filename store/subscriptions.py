"""What an account has been sold: items and plans of the tariff, with their days."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, case, exists, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.billing_month import day_of
from store.e164 import E164, national
from store.errors import Conflict, NotFound, Unusable
from store.models import (
    Account,
    Device,
    NumberUse,
    PhonebookContract,
    PhoneNumber,
    Subscription,
    new_id,
    now,
)
from store.pages import Page, PageRequest, read_page
from store.tariffs import tariff_at

BASIC, NUMBER, DEVICE, PHONEBOOK = "basic", "number", "device", "phonebook"
"""Items of the tariff that are sold with every account, number and ID, as long as it is there; the last one
with every ID of an account that has Web電話帳."""

OPTIONS = {"rusurepo": "sells_rusurepo", "recording": "sells_recording", "fax": "sells_fax"}
"""Items that are sold with a number, each while its mark is set; a number for FAX has no other than `fax`."""

_sold: Any = Subscription.__table__
_accounts: Any = Account.__table__
_numbers: Any = PhoneNumber.__table__
_devices: Any = Device.__table__
_phonebooks: Any = PhonebookContract.__table__


def keep_up(connection: Connection, at: datetime) -> int:
    """Note what has come and gone: a fee begins with its account, number or ID, and ends with it.

    Gives how many rows changed. Doing it twice changes nothing; a subscription that somebody ended stays so.
    """
    today = day_of(at)
    return _begin(connection, at) + _end(connection, today)


def _begin(connection: Connection, at: datetime) -> int:
    fresh = []
    for item, things in (
        (
            BASIC,
            select(
                _accounts.c.id.label("account_id"), _accounts.c.id, _accounts.c.name, _accounts.c.created_at
            ),
        ),
        (NUMBER, select(_numbers.c.account_id, _numbers.c.id, _numbers.c.e164, _numbers.c.created_at)),
        (PHONEBOOK, _phonebook_devices()),
        (DEVICE, select(_devices.c.account_id, _devices.c.id, _devices.c.username, _devices.c.created_at)),
        *((option, _numbers_with(option)) for option in OPTIONS),
    ):
        for account_id, subject_id, name, created_at in connection.execute(_not_sold(things, item)):
            fresh.append(
                {
                    "id": new_id(),
                    "account_id": account_id,
                    "item": item,
                    "subject_id": None if item == BASIC else subject_id,
                    "subject_name": "" if item == BASIC else _known_as(name),
                    # Numbers of old were never asked a fee for what they came with: none for the past.
                    "starts_on": day_of(at if item in OPTIONS else created_at),
                    "ends_on": None,
                    "created_at": now(),
                }
            )
    if fresh:
        connection.execute(insert(_sold), fresh)
    return len(fresh)


def _phonebook_devices() -> Select[Any]:
    """The IDs of accounts with Web電話帳, and since when both are there."""
    later = case(
        (_phonebooks.c.since > _devices.c.created_at, _phonebooks.c.since), else_=_devices.c.created_at
    )
    return select(_devices.c.account_id, _devices.c.id, _devices.c.username, later.label("since")).join(
        _phonebooks, _phonebooks.c.account_id == _devices.c.account_id
    )


def _numbers_with(option: str) -> Select[Any]:
    sold = select(_numbers.c.account_id, _numbers.c.id, _numbers.c.e164, _numbers.c.created_at)
    return sold.where(
        _numbers.c[OPTIONS[option]], or_(_numbers.c.use == NumberUse.VOICE, literal(option) == "fax")
    )


def _not_sold(things: Select[Any], item: str) -> Select[Any]:
    """Those of `things` that were never sold this item."""
    thing = things.subquery()
    same = _sold.c.subject_id.is_(None) if item == BASIC else _sold.c.subject_id == thing.c[1]
    mine = and_(_sold.c.account_id == thing.c.account_id, _sold.c.item == item, same)
    return select(*thing.c).where(~exists().where(mine))


def _known_as(name: str) -> str:
    return national(E164(name)) if name.startswith("+") else name


def _end(connection: Connection, today: date) -> int:
    gone = and_(
        _sold.c.subject_id.is_not(None),
        _sold.c.ends_on.is_(None),
        ~exists().where(_numbers.c.id == _sold.c.subject_id),
        ~exists().where(_devices.c.id == _sold.c.subject_id),
    )
    given_up = and_(
        _sold.c.item == PHONEBOOK,
        _sold.c.ends_on.is_(None),
        ~exists().where(_phonebooks.c.account_id == _sold.c.account_id),
    )
    over = update(_sold).where(or_(gone, given_up)).values(ends_on=today)
    return int(connection.execute(over).rowcount)


async def follow_option(session: AsyncSession, number: PhoneNumber, option: str, at: datetime) -> None:
    """The mark of one of the number's options was set or taken away: its fee begins or ends today.

    One that is taken away and set again on the same day has never ended.
    """
    today = day_of(at)
    same = (
        Subscription.account_id == number.account_id,
        Subscription.item == option,
        Subscription.subject_id == number.id,
    )
    last = await session.scalar(
        select(Subscription).where(*same).order_by(Subscription.starts_on.desc()).limit(1)
    )
    is_open = last is not None and (last.ends_on is None or last.ends_on > today)
    if not getattr(number, OPTIONS[option]):
        if last is not None and is_open:
            last.ends_on = max(today, last.starts_on)
    elif last is not None and last.ends_on == today:
        last.ends_on = None
    elif not is_open and (number.use is NumberUse.VOICE or option == "fax"):
        session.add(
            Subscription(
                account_id=number.account_id,
                item=option,
                subject_id=number.id,
                subject_name=_known_as(number.e164),
                starts_on=today,
            )
        )
    await session.flush()


async def list_subscriptions(
    session: AsyncSession, account_id: str, request: PageRequest
) -> Page[Subscription]:
    """A page of all that was ever sold to the account, in the order of selling."""
    rows = select(Subscription).where(Subscription.account_id == account_id)
    key = (Subscription.created_at, Subscription.id)
    return await read_page(session, rows, key, request, newest_first=False)


async def sell(
    session: AsyncSession, account_id: str, item: str, subject_id: str | None, starts_on: date
) -> Subscription:
    """Sell an item or plan of the tariff that is in force now.

    Raises Unusable for no such item, or a subject that it is not sold for; Conflict `already_sold`.
    """
    connection = await session.connection()
    published = await connection.run_sync(lambda sync: tariff_at(sync, now()))
    known = published.tariff.items.get(item)
    if known is None and item not in published.tariff.plans:
        raise Unusable("item", "not_found")
    per = known.per if known else "device"
    name = await _subject_name(session, account_id, per, subject_id)
    same = (Subscription.account_id == account_id, Subscription.item == item)
    open_one = await session.scalar(
        select(Subscription.id).where(
            *same, Subscription.subject_id.is_not_distinct_from(subject_id), Subscription.ends_on.is_(None)
        )
    )
    if open_one:
        raise Conflict("already_sold")
    sold = Subscription(
        account_id=account_id, item=item, subject_id=subject_id, subject_name=name, starts_on=starts_on
    )
    session.add(sold)
    await session.flush()
    return sold


async def end(session: AsyncSession, account_id: str, subscription_id: str, ends_on: date) -> Subscription:
    """Let it end with that day. Raises NotFound, Unusable for a day before its first."""
    sold = await session.get(Subscription, subscription_id)
    if sold is None or sold.account_id != account_id:
        raise NotFound(subscription_id)
    if ends_on < sold.starts_on:
        raise Unusable("ends_on", "before_start")
    sold.ends_on = ends_on
    await session.flush()
    return sold


async def _subject_name(session: AsyncSession, account_id: str, per: str, subject_id: str | None) -> str:
    if per == "account":
        if subject_id is not None:
            raise Unusable("subject_id", "not_found")
        return ""
    if per == "number":
        number = await session.get(PhoneNumber, subject_id) if subject_id else None
        found = None if number is None else (number.account_id, national(E164(number.e164)))
    else:
        device = await session.get(Device, subject_id) if subject_id else None
        found = None if device is None else (device.account_id, device.username)
    if found is None or found[0] != account_id:
        raise Unusable("subject_id", "not_found")
    return found[1]
