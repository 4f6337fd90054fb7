"""Reading a few rows for a caller who waits: at once where that goes, and otherwise like anybody."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url

from store.database import Database, open_database
from store.models import Account
from tests.furnishing import Furnished

pytestmark = pytest.mark.integration


def names(connection: Connection) -> list[str]:
    return list(connection.scalars(select(Account.name)))


async def rename(database: Database, account_id: str, name: str) -> None:
    async with database.session() as session:
        (await session.get_one(Account, account_id)).name = name


async def test_what_was_committed_is_read(database: Database, ours: Furnished) -> None:
    for name in ("一", "二", "三"):
        await rename(database, ours.account_id, name)
        assert await database.reading(names) == [name]


async def test_a_mistake_spoils_nothing_for_the_next(database: Database, ours: Furnished) -> None:
    def mistaken(connection: Connection) -> None:
        connection.execute(select(Account.id))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.reading(mistaken)
    await rename(database, ours.account_id, "四")
    assert await database.reading(names) == ["四"]


async def test_where_the_file_is_locked_others_go_on_meanwhile(
    database: Database, database_url: str, ours: Furnished
) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("a file of SQLite")
    before = await database.reading(names)
    await database.close()
    later = open_database(database_url)
    with closing(sqlite3.connect(make_url(database_url).database or "", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE accounts SET name = name")
        question = asyncio.create_task(later.reading(names))
        await asyncio.sleep(0.2)
        assert not question.done()
        other.execute("COMMIT")
    async with asyncio.timeout(5):
        assert await question == before
    await later.close()
