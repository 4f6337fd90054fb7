"""How Alembic reaches the database.

`store.migrate` hands over its connection. The `alembic` command, used to draft a revision, has none and
opens the database of the settings.
"""

import asyncio
import os
from pathlib import Path
from typing import Literal

from alembic import context
from sqlalchemy import Connection

from settings import read_settings
from store.database import open_database
from store.models import Base, UTCDateTime


def render_type(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Draft revisions in SQLAlchemy's own types: a revision must not change when the models do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


def run(connection: Connection) -> None:
    # Batch mode, because SQLite changes a table by making it anew. Both databases roll DDL back.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=render_type,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def open_and_run() -> None:
    database = open_database(read_settings(os.environ, Path.cwd()).database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(run)
    await database.close()


handed_over = context.config.attributes.get("connection")
if handed_over is None:
    asyncio.run(open_and_run())
else:
    run(handed_over)
