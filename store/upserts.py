"""Insert-or-update, which SQLAlchemy spells once per database."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import Base


def insert_for(session: AsyncSession | Connection, table: type[Base]) -> Any:
    """Begin an insert that understands `on_conflict_do_update` on the session's database."""
    bind = session if isinstance(session, Connection) else session.get_bind()
    if bind.dialect.name == "postgresql":
        # Loaded here: it costs every process on SQLite 4 MB.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)
