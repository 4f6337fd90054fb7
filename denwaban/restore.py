"""Putting a back-up into an empty instance, of either kind of database."""

import json
import shutil
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, delete, func, insert, select, text

from denwaban.archive import MEDIA, TABLES, BackupRefused, Manifest, members, verified
from denwaban.backup import KEY_CHECK, ROWS_AT_ONCE, columns_of, tables_of
from denwaban.values import decoded
from store.database import open_database
from store.errors import SealBroken
from store.media import Media
from store.migrate import alembic_config, migrate
from store.sealing import unseal

MADE_BY_RUNNING = {"revisions", "chores"}
"""What an instance writes as soon as it runs: no reason to call it full."""


async def restore(url: str, media: Media, secret_key: str, source: Path, other_key: bool = False) -> Manifest:
    """Check the back-up `source`, and put it into the database at `url` and into `media`.

    All rows or none; files first, so that every row has its file. A back-up of an older release is brought
    up to date. `other_key` lets one in whose secrets this instance's key does not open. Raises BackupRefused.
    """
    manifest = verified(source)
    if not (other_key or _opens(manifest.key_check, secret_key)):
        raise BackupRefused(
            "the back-up was made with another DENWABAN_SECRET_KEY: devices' passwords and notification "
            "services could not be read. Give that key, or --other-key to set them all anew afterwards"
        )
    database = open_database(url, busy_timeout_s=30)
    try:
        async with database.engine.connect() as connection:
            await connection.run_sync(_prepare, manifest.revision)
            await connection.commit()
        _restore_media(source, media)
        async with database.engine.begin() as connection:
            await connection.run_sync(_restore_rows, source)
    except (KeyError, ValueError) as wrong:
        raise BackupRefused(f"the back-up cannot be understood: {type(wrong).__name__}: {wrong}") from None
    finally:
        await database.close()
    await migrate(url)
    return manifest


def _opens(key_check: str, secret_key: str) -> bool:
    try:
        return unseal(key_check, secret_key) == KEY_CHECK
    except SealBroken:
        return False


def _prepare(connection: Connection, revision: str) -> None:
    """Make the tables as they were when the back-up was made."""
    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known:
        raise BackupRefused(f"the back-up is of a newer release (its tables are of revision {revision})")
    there = MigrationContext.configure(connection).get_current_revision()
    if there is not None:
        _refuse_full(connection)
    if there not in (None, revision):
        raise BackupRefused(
            f"the database has tables of revision {there}, the back-up of {revision}: give it a new database"
        )
    if connection.dialect.name == "sqlite":
        connection.commit()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    command.upgrade(config, revision)


def _refuse_full(connection: Connection) -> None:
    for table in tables_of(connection):
        count = connection.scalar(select(func.count()).select_from(table))
        if count and table.name not in MADE_BY_RUNNING:
            raise BackupRefused(f"the database is not empty: {table.name} has {count} rows")


def _restore_media(source: Path, media: Media) -> None:
    for name, content in members(source):
        if name.startswith(MEDIA):
            media.write(name.removeprefix(MEDIA), partial(_copy, content))


def _copy(content: IO[bytes], draft: Path) -> None:
    with draft.open("wb") as file:
        shutil.copyfileobj(content, file)


def _restore_rows(connection: Connection, source: Path) -> None:
    if connection.dialect.name == "sqlite":
        # Checked at the commit: rows may refer to later ones.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    tables = {table.name: table for table in tables_of(connection)}
    for name in MADE_BY_RUNNING & tables.keys():
        connection.execute(delete(tables[name]))
    # Written in the order in which they refer to each other.
    for name, content in members(source):
        if name.startswith(TABLES):
            _fill(connection, tables[name.removeprefix(TABLES).removesuffix(".jsonl")], content)


def _fill(connection: Connection, table: Table, lines: IO[bytes]) -> None:
    types = {column.name: column.type for column in columns_of(table)}
    rows = ({key: decoded(value, types[key]) for key, value in json.loads(line).items()} for line in lines)
    for some in _batches(rows):
        connection.execute(insert(table), some)
    _go_on_counting(connection, table)


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    coming = iter(rows)
    while some := list(islice(coming, ROWS_AT_ONCE)):
        yield some


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL's counters know nothing of rows that came with their numbers."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        counter = select(func.pg_get_serial_sequence(f'"{table.name}"', column.name))
        if (name := connection.scalar(counter)) is not None:
            highest = connection.scalar(select(func.max(column)))
            set_to = text("SELECT setval(:name, :value, :called)")
            connection.execute(set_to, {"name": name, "value": highest or 1, "called": highest is not None})
