"""Accounts: the customers of the switch."""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import NotFound, Unusable
from store.models import Account
from store.pages import Page, PageRequest, read_page


async def create_account(session: AsyncSession, name: str) -> Account:
    account = Account(name=name)
    session.add(account)
    await session.flush()
    return account


async def get_account(session: AsyncSession, account_id: str) -> Account:
    """Give the account. Raises NotFound."""
    account = await session.get(Account, account_id)
    if account is None:
        raise NotFound(account_id)
    return account


async def set_message_retention(session: AsyncSession, account_id: str, days: int | None) -> None:
    """Keep the account's messages for `days`; None: until somebody deletes them."""
    changed = update(Account).where(Account.id == account_id).values(message_retention_days=days)
    await session.execute(changed)


async def set_fax_retention(session: AsyncSession, account_id: str, days: int | None) -> None:
    """Keep the account's faxes for `days`; None: until somebody deletes them."""
    changed = update(Account).where(Account.id == account_id).values(fax_retention_days=days)
    await session.execute(changed)


async def refuse_unknown(session: AsyncSession, account_id: str) -> None:
    """Raises Unusable for an account that is not there, so that no foreign key has to."""
    if await session.get(Account, account_id) is None:
        raise Unusable("account_id", "not_found")


async def list_accounts(session: AsyncSession, request: PageRequest) -> Page[Account]:
    """Give a page of all accounts, oldest first."""
    key = (Account.created_at, Account.id)
    return await read_page(session, select(Account), key, request, newest_first=False)
