"""SQLite for the asyncio engine with one trip to the connection's thread for each statement.

SQLAlchemy's own adapter makes four (a cursor, the statement, its rows, the end of the cursor) and two more
at the end of a transaction, also of one that only read. A trip costs more than most statements do.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)

T = TypeVar("T")


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()
    _awaitable_cursor_close = False

    def _make_new_cursor(self, connection: Any) -> Any:
        return connection._conn.cursor()

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        self._rows = deque(await self._at_work(_all_rows, self._cursor, operation, parameters or ()))

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        cursor: Any = self._cursor
        await self._at_work(cursor.executemany, operation, seq_of_parameters)

    async def _at_work(self, work: Callable[..., T], *arguments: Any) -> T:
        connection: Any = self._adapt_connection
        async with connection._execute_mutex:
            connection.at_work = True
            try:
                done: T = await connection._connection._execute(work, *arguments)
            except Exception:
                connection.at_work = False
                raise
            # Not so where we were given up: then the statement is still to be waited for.
            connection.at_work = False
            return done

    def close(self) -> None:
        # The statement has given all its rows, or, given up on the way, is still at work in its thread.
        self._rows.clear()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ("at_work",)
    _cursor_cls = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self.at_work = False

    def commit(self) -> None:
        if self._is_open:
            super().commit()

    def rollback(self) -> None:
        if self._is_open:
            super().rollback()
            self.at_work = False

    @property
    def _is_open(self) -> bool:
        """Whether a transaction is, or may soon be: one that has only read is none to SQLite's driver."""
        held: sqlite3.Connection | None = self._connection._connection
        return held is not None and (self.at_work or held.in_transaction)


class _Driver(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arg: Any, **kw: Any) -> AsyncAdapt_aiosqlite_connection:
        plain = super().connect(*arg, **{**kw, "check_same_thread": False})
        return _Connection(self, plain._connection)


def _all_rows(cursor: sqlite3.Cursor, operation: str, parameters: Sequence[Any]) -> list[Any]:
    cursor.execute(operation, parameters)
    return cursor.fetchall()


DRIVER = _Driver(aiosqlite, sqlite3)
