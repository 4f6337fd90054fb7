"""Whose number it is, by the account's phonebook."""

from collections.abc import Collection

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import PhonebookContract, PhonebookEntry, PhonebookNumber

_entries, _numbers = PhonebookEntry.__table__, PhonebookNumber.__table__
_contracts = PhonebookContract.__table__
_NAMES = (
    select(_numbers.c.number, _entries.c.name)
    .join(_entries, _entries.c.id == _numbers.c.entry_id)
    .join(_contracts, _contracts.c.account_id == _numbers.c.account_id)
    # Where several have the number, the first of the list; the last one read counts below.
    .order_by(_entries.c.sort_key.desc(), _entries.c.id.desc())
)


def names_of(connection: Connection, account_id: str, numbers: Collection[str]) -> dict[str, str]:
    """Number (E.164) -> name, for those that the account's phonebook has; one indexed query."""
    if not numbers:
        return {}
    asked = (_numbers.c.account_id == account_id, _numbers.c.number.in_(list(numbers)))
    return {row.number: row.name for row in connection.execute(_NAMES.where(*asked))}


def name_of(connection: Connection, account_id: str, e164: str) -> str | None:
    """The name that the account's phonebook has for the number; None without one, or without the option."""
    return names_of(connection, account_id, [e164]).get(e164)


async def read_names(session: AsyncSession, account_id: str, numbers: Collection[str]) -> dict[str, str]:
    """`names_of` within a session."""
    connection = await session.connection()
    return await connection.run_sync(names_of, account_id, numbers)
