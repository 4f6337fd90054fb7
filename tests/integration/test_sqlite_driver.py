"""SQLite through one trip for each statement: what it gives, and what is left when somebody gives up."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from store.database import Database, open_database

pytestmark = pytest.mark.integration

SLOW = (
    "INSERT INTO things (n) WITH RECURSIVE many(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 1000000) SELECT max(n) FROM many"
)


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    opened = open_database(f"sqlite+aiosqlite:///{tmp_path}/plain.db", busy_timeout_s=0.05)
    async with opened.session() as session:
        await session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, n INTEGER UNIQUE)"))
    return opened


async def numbers(database: Database) -> list[int]:
    async with database.session() as session:
        return list(await session.scalars(text("SELECT n FROM things ORDER BY n")))


async def test_rows_come_back_and_one_after_the_other_from_a_stream(database: Database) -> None:
    async with database.session() as session:
        many = [{"n": n} for n in range(500)]
        await session.execute(text("INSERT INTO things (n) VALUES (:n)"), many)
        told = await session.execute(text("UPDATE things SET n = n + 1000 WHERE n < 10 RETURNING n"))
        assert sorted(told.scalars()) == list(range(1000, 1010))
    async with database.session() as session:
        streamed = await session.stream(text("SELECT n FROM things ORDER BY n"))
        assert [row.n async for row in streamed] == [*range(10, 500), *range(1000, 1010)]
    await database.close()


async def test_a_refused_statement_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.session() as session:
            await session.execute(text("INSERT INTO things (n) VALUES (1)"))
            await session.execute(text("INSERT INTO things (n) VALUES (1)"))
    assert await numbers(database) == []
    await database.close()


async def test_who_gives_up_a_statement_holds_nobody_up(database: Database) -> None:
    """What was given up still runs in its thread; it must neither stay nor keep the writer's place."""

    async def write() -> None:
        async with database.session() as session:
            await session.execute(text(SLOW))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await write()
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        try:
            async with database.session() as session:
                await session.execute(text("INSERT INTO things (n) VALUES (7)"))
            break
        except OperationalError:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)
    assert await numbers(database) == [7]
    await database.close()


async def test_a_writer_waits_no_longer_than_told(database: Database) -> None:
    async with database.session() as first:
        await first.execute(text("INSERT INTO things (n) VALUES (1)"))
        with pytest.raises(OperationalError, match="locked"):
            async with database.session() as second:
                await second.execute(text("INSERT INTO things (n) VALUES (2)"))
    assert await numbers(database) == [1]
    await database.close()
