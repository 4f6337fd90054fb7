"""Bringing the database up to date: `python -m store.migrate`, or `migrate` from a program."""

import asyncio
import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from settings import SettingsRefused, read_settings
from store.database import open_database

FOLDER = Path(__file__).parent / "migrations"
ONE_AT_A_TIME = 0x64656E77
"""PostgreSQL's advisory lock of this work; any number that nobody else takes."""


async def migrate(url: str) -> bool:
    """Upgrade the database at `url` to the newest revision, in one transaction; True if it changed.

    Several processes may start it at once: the later ones wait and find nothing to do.
    """
    if url.startswith("sqlite") and (file := url.partition(":///")[2]):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    database = open_database(url, busy_timeout_s=30)
    try:
        async with database.engine.connect() as connection:
            changed = await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await database.close()
    return changed


def _upgrade(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
    else:
        # Python's SQLite driver begins no transaction for DDL by itself.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    before = MigrationContext.configure(connection).get_current_revision()
    command.upgrade(alembic_config(connection), "head")
    return MigrationContext.configure(connection).get_current_revision() != before


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def main() -> None:
    try:
        settings = read_settings(os.environ, Path.cwd())
    except SettingsRefused as refused:
        sys.exit(str(refused))
    if asyncio.run(migrate(settings.database_url)):
        sys.stdout.write("the database is now up to date\n")


if __name__ == "__main__":
    main()
