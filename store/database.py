"""Opening the database: one model on SQLite (WAL) and PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from store.sqlite_driver import DRIVER

T = TypeVar("T")

THREADS = 2
SQLITE_CONNECTIONS = 15
WAL_ATTEMPTS = 100


class Database:
    """An engine and its sessions. `async with database.session() as s:` commits, or rolls back on error."""

    def __init__(
        self, engine: AsyncEngine, plain: Engine | None = None, reading: Engine | None = None
    ) -> None:
        """`plain` is the same SQLite file by SQLite's own driver; `reading` too, and waits for nobody."""
        self.engine = engine
        self._reading = reading
        self._reader: Connection | None = None
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._plain = plain
        self._threads = ThreadPoolExecutor(THREADS, "database") if plain else None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions.begin() as session:
            yield session

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which must not wait for anything else, in a transaction of its own.

        For what every call needs. On SQLite it runs in one thread from beginning to end: the async driver
        changes threads for every step, which costs ten times as much. Given up, it still ends by itself.
        """
        if self._plain is None or self._threads is None:
            async with self.engine.begin() as connection:
                return await connection.run_sync(work)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _in_transaction, self._plain, work
        )

    async def reading(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which reads a few rows, for a caller who waits.

        On SQLite it is done here and now: in WAL mode nobody who writes holds it up, and to change threads
        takes longer. What does not go at once is a transaction like any other.
        """
        if self._reading is not None:
            with suppress(DBAPIError):
                return self._read_here(self._reading, work)
        return await self.transaction(work)

    def _read_here(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        """By a connection that stays open: to take one from a pool costs as much as to read."""
        reader = self._reader or engine.connect()
        self._reader = None
        try:
            found = work(reader)
        except BaseException:
            reader.close()
            raise
        self._reader = reader
        return found

    async def close(self) -> None:
        await self.engine.dispose()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._reading is not None:
            self._reading.dispose()
        if self._plain is not None and self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
            self._plain.dispose()


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def open_database(url: str, busy_timeout_s: float = 5.0) -> Database:
    """Open `url` (`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`). No connection is made yet.

    Errors do not repeat a statement's parameters: phone numbers would end in logs.
    """
    if not url.startswith("sqlite"):
        return Database(
            create_async_engine(
                url,
                hide_parameters=True,
                json_serializer=_as_json,
                pool_pre_ping=True,
                pool_size=10,
                max_overflow=10,
            )
        )
    engine = create_async_engine(
        url,
        module=DRIVER,
        hide_parameters=True,
        json_serializer=_as_json,
        connect_args={"timeout": busy_timeout_s},
        # Made when first needed, and kept: to open one costs more than most requests.
        pool_size=SQLITE_CONNECTIONS,
        max_overflow=0,
    )

    def plain(timeout_s: float, **arguments: Any) -> Engine:
        return create_engine(
            make_url(url).set(drivername="sqlite+pysqlite"),
            hide_parameters=True,
            json_serializer=_as_json,
            connect_args={"check_same_thread": False, "timeout": timeout_s},
            **arguments,
        )

    writing, reading = plain(busy_timeout_s), plain(0, isolation_level="AUTOCOMMIT")
    for one in (engine.sync_engine, writing):
        event.listen(one, "connect", _prepare)
    event.listen(reading, "connect", _only_read)
    return Database(engine, writing, reading)


def _as_json(value: object) -> str:
    return orjson.dumps(value).decode()


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    _write_ahead(cursor)
    # FULL: a message told to the caller as taken survives a power cut, not only a killed process.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _only_read(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON").close()


def _write_ahead(cursor: Any) -> None:
    """Switch a new file to WAL. SQLite does not wait for others that do the same at this moment."""
    for attempt in range(WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except Exception as locked:
            # Each driver raises an error of its own.
            if "locked" not in str(locked) or attempt == WAL_ATTEMPTS - 1:
                raise
            time.sleep(0.02)
