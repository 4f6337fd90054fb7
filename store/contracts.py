"""Contracts: whom an account's invoices are addressed to, and where mail about money goes."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from store.accounts import get_account
from store.models import Contract


async def get_contract(session: AsyncSession, account_id: str) -> Contract:
    """The account's contract; where nobody wrote one, a new one in the account's name. Raises NotFound."""
    known = await session.get(Contract, account_id)
    if known is None:
        account = await get_account(session, account_id)
        known = Contract(
            account_id=account_id,
            customer_name=account.name,
            postal_code="",
            address="",
            mail_address=None,
            updated_at=account.created_at,
        )
    return known


async def change_contract(session: AsyncSession, account_id: str, changes: dict[str, Any]) -> Contract:
    """Set the columns that are given. What was issued already stays as it was."""
    contract = await get_contract(session, account_id)
    session.add(contract)
    for name, value in changes.items():
        setattr(contract, name, value)
    await session.flush()
    await session.refresh(contract)
    return contract
