"""Making a back-up of a running instance: all rows as of one moment, then all files they may name.

A media file is on disk before its row and never changes, so files copied after the rows are complete.
"""

import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, inspect, select, text, types
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from denwaban.archive import MEDIA, TABLES, BackupRefused, Manifest, writing
from denwaban.values import encoded
from store.database import open_database
from store.media import NAME
from store.models import now
from store.sealing import seal
from store.tables import PASSING

KEY_CHECK = "denwaban"
ROWS_AT_ONCE = 1000
NOT_OURS = {"alembic_version"}


async def back_up(url: str, media: Path, secret_key: str, target: Path) -> Manifest:
    """Write a back-up of the database at `url` and of the folder `media` to the new file `target`.

    Needs free space for it and, on SQLite, for the database once more. Raises BackupRefused.
    """
    manifest = Manifest(now().isoformat(), "", seal(KEY_CHECK, secret_key))
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder,
        writing(target, manifest) as writer,
    ):
        async with _one_moment(url, Path(folder)) as connection:
            manifest.revision = await connection.run_sync(_revision)
            for table in await connection.run_sync(tables_of):
                path = Path(folder) / "rows"
                manifest.rows[table.name] = await _write_rows(connection, table, path)
                writer.add(f"{TABLES}{table.name}.jsonl", path)
        for name in _media_names(media):
            try:
                writer.add(f"{MEDIA}{name}", media / name)
            except FileNotFoundError:
                manifest.missing.append(name)
    return manifest


def tables_of(connection: Connection) -> list[Table]:
    """The tables as they are in this database, each after those it refers to."""
    metadata = MetaData()
    real = _real_tables(connection)
    metadata.reflect(connection, only=lambda name, _: name in real)
    tables = [table for table in metadata.sorted_tables if table.name not in PASSING | NOT_OURS]
    for table in tables:
        for column in table.columns:
            if isinstance(column.type, types.JSON) and column.nullable:
                # Else "no value" would come back as a JSON null.
                column.type = types.JSON(none_as_null=True)
    return tables


def columns_of(table: Table) -> list[Any]:
    """Those that hold something; a computed one computes itself."""
    return [column for column in table.columns if column.computed is None]


def _real_tables(connection: Connection) -> set[str]:
    """Without those that are an index's own."""
    if connection.dialect.name != "sqlite":
        return set(inspect(connection).get_table_names())
    listed = connection.execute(text("SELECT name FROM pragma_table_list WHERE type = 'table'"))
    return {name for (name,) in listed if not name.startswith("sqlite_")}


def _revision(connection: Connection) -> str:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        raise BackupRefused("the database has no tables yet")
    return revision


@asynccontextmanager
async def _one_moment(url: str, folder: Path) -> AsyncIterator[AsyncConnection]:
    """The database as of one moment, whatever is written meanwhile."""
    if url.startswith("sqlite"):
        url = _copied(Path(str(make_url(url).database)), folder)
    database = open_database(url)
    try:
        async with database.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    finally:
        await database.close()


def _copied(file: Path, folder: Path) -> str:
    """A copy by SQLite's own back-up, which waits for nobody and holds nobody up; its URL."""
    if not file.is_file():
        raise BackupRefused(f"there is no database at {file}")
    copy = folder / "copy.db"
    source, target = sqlite3.connect(file, timeout=30), sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
    return f"sqlite+aiosqlite:///{copy}"


async def _write_rows(connection: AsyncConnection, table: Table, path: Path) -> int:
    columns = columns_of(table)
    rows = 0
    with _new(path) as file:
        ordered = select(*columns).order_by(*table.primary_key.columns)
        result = await connection.stream(ordered)
        async for some in result.partitions(ROWS_AT_ONCE):
            rows += len(some)
            file.writelines(_line(columns, row) for row in some)
    return rows


def _new(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8")


def _line(columns: list[Any], row: Any) -> str:
    values = {column.name: encoded(value) for column, value in zip(columns, row, strict=True)}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"


def _media_names(media: Path) -> list[str]:
    found = (path.relative_to(media).as_posix() for path in media.rglob("*") if path.is_file())
    return sorted(name for name in found if NAME.fullmatch(name))
