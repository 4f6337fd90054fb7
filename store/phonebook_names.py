"""What the phonebook calls a caller."""

from sqlalchemy import Connection


def name_of(connection: Connection, account_id: str, e164: str) -> str | None:
    """The name of `e164` in the account's phonebook. There is no phonebook yet: always None."""
    return None
