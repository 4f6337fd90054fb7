"""ETag, If-None-Match and If-Match: of two who edit the same thing, the second learns of the first.

What a single thing's GET answers is what its ETag stands for. An edit that says If-Match is done in one
transaction with reading the thing anew, and nobody else can edit it in between.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.problems import Problem
from store import revisions

TAG = re.compile(r'(W/)?("[!#-~\x80-\xff]*")')
SCOPE = "edits"
EDITS = {"PUT", "PATCH", "DELETE"}

Read = Callable[[AsyncSession], Awaitable[bytes]]


def tag_of(body: bytes) -> str:
    """The ETag of what is answered."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(if_none_match: Iterable[str], tag: str) -> bool:
    """Whether the client has it already (RFC 9110, 13.1.2: a weak comparison)."""
    said = ",".join(if_none_match)
    return said.strip() == "*" or any(found[2] == tag for found in TAG.finditer(said))


def is_meant(if_match: Iterable[str], tag: str) -> bool:
    """Whether it is what the client edits (RFC 9110, 13.1.1: a weak tag never is)."""
    said = ",".join(if_match)
    return said.strip() == "*" or any(found[2] == tag and not found[1] for found in TAG.finditer(said))


class Guard:
    """Called with each session of an edit; before the first does anything, it looks whether it may."""

    def __init__(self, path: str, if_match: list[str], read: Read) -> None:
        """`read` gives what the GET of the same path would answer."""
        self._path, self._if_match, self._read = path, if_match, read
        self._passed = False

    async def __call__(self, session: AsyncSession) -> None:
        """Raises Problem `changed_meanwhile` with the thing as it is now."""
        if self._passed:
            return
        await self._take_turn(session)
        if self._if_match:
            body = await self._read(session)
            if not is_meant(self._if_match, tag := tag_of(body)):
                current: dict[str, Any] = json.loads(body)
                raise Problem("changed_meanwhile", headers={"ETag": tag}, current=current)
            # What was read for the check must not stand in for what the edit reads.
            session.expunge_all()
        self._passed = True

    async def _take_turn(self, session: AsyncSession) -> None:
        if session.get_bind().dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock(func.hashtextextended(self._path, 0))
            await session.execute(select(lock))
        elif self._if_match:
            # SQLite's one writer: from here on it is us.
            await revisions.bump(session, SCOPE)
