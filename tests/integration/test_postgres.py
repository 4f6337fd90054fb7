"""The tests' own PostgreSQL comes up, gives separate databases, and leaves nothing behind."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.postgres import create_database, running_postgres

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres() as address:
        yield address


async def execute(url: str, statement: str) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


async def test_databases_are_fresh_and_apart(server: str) -> None:
    first, second = await create_database(server), await create_database(server)
    await execute(first, "CREATE TABLE calls (id integer)")
    await execute(first, "SELECT * FROM calls")
    with pytest.raises(ProgrammingError):
        await execute(second, "SELECT * FROM calls")


def _folders() -> list[Path]:
    """Those of other tests' servers, too."""
    return list(Path(tempfile.gettempdir()).glob("denwaban-postgres-*"))


def _port_of(folder: Path) -> int | None:
    """The fourth line of PostgreSQL's own note; None where that is just coming or going."""
    try:
        return int(next(folder.rglob("postmaster.pid")).read_text().splitlines()[3])
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def test_nothing_is_left_when_it_stops() -> None:
    with running_postgres() as address:
        port = make_url(address).port
        (ours,) = [folder for folder in _folders() if _port_of(folder) == port]
    assert port is not None
    assert not ours.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
