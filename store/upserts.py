"""Insert-or-update, which SQLAlchemy spells once per database."""

from typing import Any

from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import Base


def insert_for(session: AsyncSession, table: type[Base]) -> Any:
    """Begin an insert that understands `on_conflict_do_update` on the session's database."""
    if session.get_bind().dialect.name == "postgresql":
        # Loaded here: it costs every process on SQLite 4 MB.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)
