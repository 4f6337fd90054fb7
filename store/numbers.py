"""The customers' phone numbers and their 留守レポ setting."""

from typing import TypedDict, Unpack

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store import accounts, revisions
from store.e164 import E164
from store.errors import Conflict, NotFound, Unusable
from store.models import NumberUse, PhoneNumber, RusurepoRule, RusurepoSetting, now
from store.pages import Page, PageRequest, read_page
from store.subscriptions import OPTIONS, follow_option

MOST_LINES = 99
"""A line is dialled with two digits."""


def _of_account(account_id: str) -> Select[PhoneNumber]:
    numbers = select(PhoneNumber).where(PhoneNumber.account_id == account_id)
    return numbers.options(joinedload(PhoneNumber.rusurepo), joinedload(PhoneNumber.schedule))


async def list_numbers(session: AsyncSession, account_id: str, request: PageRequest) -> Page[PhoneNumber]:
    """Give a page of the account's numbers, oldest first, each with its `rusurepo` and `schedule`."""
    key = (PhoneNumber.created_at, PhoneNumber.id)
    return await read_page(session, _of_account(account_id), key, request, newest_first=False)


async def get_number(session: AsyncSession, account_id: str, number_id: str) -> PhoneNumber:
    """Give the number with its `rusurepo` and `schedule`. Raises NotFound."""
    number = await session.scalar(_of_account(account_id).where(PhoneNumber.id == number_id))
    if number is None:
        raise NotFound(number_id)
    return number


async def number_id_of(session: AsyncSession, account_id: str, e164: E164) -> str | None:
    """The id of the account's number."""
    ours = (PhoneNumber.account_id == account_id, PhoneNumber.e164 == e164)
    return await session.scalar(select(PhoneNumber.id).where(*ours))


async def add_number(
    session: AsyncSession, account_id: str, e164: E164, use: NumberUse, display_name: str = ""
) -> PhoneNumber:
    """Give the account a number, 留守レポ off.

    Raises Conflict `number_taken`, Unusable for no such account.
    """
    await revisions.bump(session)
    await accounts.refuse_unknown(session, account_id)
    if await session.scalar(select(PhoneNumber.id).where(PhoneNumber.e164 == e164)):
        raise Conflict("number_taken")
    number = PhoneNumber(
        account_id=account_id,
        e164=e164,
        use=use,
        display_name=display_name,
        line=await _free_line(session, account_id),
    )
    session.add(number)
    await session.flush()
    session.add(RusurepoSetting(number_id=number.id))
    await session.flush()
    return await get_number(session, account_id, number.id)


async def _free_line(session: AsyncSession, account_id: str) -> int | None:
    """The smallest that is free; None where all two digits are taken."""
    taken = set(await session.scalars(select(PhoneNumber.line).where(PhoneNumber.account_id == account_id)))
    return next((line for line in range(1, MOST_LINES + 1) if line not in taken), None)


def refuse_unsold(sold: bool) -> None:
    """Raises Conflict `option_not_sold` where the number comes without the option."""
    if not sold:
        raise Conflict("option_not_sold")


class NumberFields(TypedDict, total=False):
    """What of a number may be changed; all but the first two by an operator only."""

    display_name: str
    line: int | None
    sells_recording: bool
    sells_rusurepo: bool
    sells_fax: bool
    channels: int | None


async def change_number(
    session: AsyncSession, account_id: str, number_id: str, **changes: Unpack[NumberFields]
) -> PhoneNumber:
    """Set what is given and leave the rest; an option that is sold no longer is switched off, its fee ends.

    Raises NotFound, Conflict `line_taken`.
    """
    await revisions.bump(session)
    number = await get_number(session, account_id, number_id)
    line = changes.get("line")
    if line is not None and line != number.line:
        others = select(PhoneNumber.id).where(PhoneNumber.account_id == account_id, PhoneNumber.line == line)
        if await session.scalar(others):
            raise Conflict("line_taken")
    before = {option: getattr(number, mark) for option, mark in OPTIONS.items()}
    for field, value in changes.items():
        setattr(number, field, value)
    for option, mark in OPTIONS.items():
        if getattr(number, mark) != before[option]:
            await follow_option(session, number, option, now())
    if not number.sells_rusurepo and number.rusurepo is not None:
        number.rusurepo.enabled = False
    await session.flush()
    return number


async def set_rusurepo(
    session: AsyncSession, account_id: str, number_id: str, enabled: bool, rule_id: str | None
) -> RusurepoSetting:
    """Switch the number's 留守レポ and choose its rule, which must be of this number.

    Raises NotFound for the number, Conflict `option_not_sold`, Unusable `rule_required` for ON without a
    rule, Unusable `not_found` for a rule that is not this number's.
    """
    await revisions.bump(session)
    number = await get_number(session, account_id, number_id)
    if rule_id is None and enabled:
        raise Unusable("rule_id", "rule_required")
    if rule_id is not None:
        rule = await session.get(RusurepoRule, rule_id)
        if rule is None or rule.number_id != number.id:
            raise Unusable("rule_id", "not_found")
    if enabled:
        refuse_unsold(number.sells_rusurepo)
    setting = number.rusurepo or RusurepoSetting(number_id=number_id)
    setting.enabled = enabled
    setting.rule_id = rule_id
    session.add(setting)
    await session.flush()
    return setting
