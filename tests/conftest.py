"""What many tests stand on: a migrated database of either kind, a media folder, a furnished account."""

import asyncio
import gc
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from xdist.scheduler import LoadScopeScheduling

from store.database import Database, open_database
from store.media import Media
from store.migrate import migrate
from store.models import Base
from tests.furnishing import FIRST_CALL, Furnished, furnish
from tests.postgres import create_database, running_postgres

ONE_PROCESS = ("asterisk", "acceptance")
"""Tiers that wait for real time more than they work: each has a process of its own beside the others."""


class ByTier(LoadScopeScheduling):  # type: ignore[misc]
    """Deals tests out one by one, and those of `ONE_PROCESS` together."""

    def _split_scope(self, nodeid: str) -> str:
        tier = nodeid.split("/")[1]
        return tier if tier in ONE_PROCESS else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByTier:
    return ByTier(config, log)


@pytest.fixture(scope="module", autouse=True)
def quick_collector() -> Iterator[None]:
    """What modules leave stays to the end of the run: to look through all of it stopped tests for seconds."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_prefix() -> Iterator[str]:
    """A PostgreSQL server of our own; its URL up to the database's name."""
    with running_postgres() as prefix:
        yield prefix


@pytest.fixture(scope="session")
def migrated_postgres(postgres_prefix: str) -> str:
    """One migrated database, emptied after each test that used it."""
    url = asyncio.run(create_database(postgres_prefix))
    asyncio.run(migrate(url))
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that each test copies."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database of either kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("migrated_postgres"))
    shutil.copyfile(request.getfixturevalue("migrated_sqlite"), tmp_path / "denwaban.db")
    return f"sqlite+aiosqlite:///{tmp_path}/denwaban.db"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url)
    yield database
    if database_url.startswith("postgresql"):
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        async with database.session() as session:
            await session.execute(text(f"TRUNCATE {tables}"))
    await database.close()


@pytest.fixture
def media(tmp_path: Path) -> Media:
    return Media(tmp_path / "media")


@pytest.fixture
def day_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock by which calls are shown for six months stands a day after the first call."""
    monkeypatch.setattr("store.calls.now", lambda: FIRST_CALL + timedelta(days=1))


@pytest.fixture
async def ours(database: Database, media: Media, day_after: None) -> Furnished:
    async with database.session() as session:
        return await furnish(session, media, "株式会社あさひ", "+81312345678")


@pytest.fixture
async def theirs(database: Database, media: Media, day_after: None) -> Furnished:
    """Another customer's account."""
    async with database.session() as session:
        return await furnish(session, media, "有限会社ゆうひ", "+81612345678")
