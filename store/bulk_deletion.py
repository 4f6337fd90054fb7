"""Deleting many things that have files: some together in a transaction, each with an outcome of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import NotRemoved
from store.media import Media

log = logging.getLogger(__name__)

TOGETHER = 100
"""Rows per transaction: a few hundredths of a second."""

T = TypeVar("T")
OpenSession = Callable[[], AbstractAsyncContextManager[AsyncSession]]
DeleteSome = Callable[[AsyncSession, Sequence[str]], Awaitable[dict[str, T]]]
"""Deletes what it is given the ids of and says of each how it went, or raises NotRemoved and is undone."""


async def delete_many(
    open_session: OpenSession, delete_some: DeleteSome[T], ids: Sequence[str], failed: T
) -> dict[str, T]:
    """Delete all of `ids`, each once. `failed` are those whose file stays: they stop nobody else."""
    outcome: dict[str, T] = {}
    for first in range(0, len(ids), TOGETHER):
        together = ids[first : first + TOGETHER]
        try:
            async with open_session() as session:
                outcome |= await delete_some(session, together)
        except NotRemoved:
            for one in together:
                outcome[one] = await _delete_if_possible(open_session, delete_some, one, failed)
    return outcome


async def _delete_if_possible(
    open_session: OpenSession, delete_some: DeleteSome[T], one: str, failed: T
) -> T:
    try:
        async with open_session() as session:
            return (await delete_some(session, [one]))[one]
    except NotRemoved:
        return failed


async def remove_files(media: Media, names: Iterable[str]) -> None:
    """Remove them, before the commit. Raises NotRemoved.

    A crash in between leaves rows without their files, which can be deleted again, and never a voice or a
    page on disk that no row knows of.
    """
    try:
        await asyncio.to_thread(media.remove, *names)
    except OSError as refused:
        log.error("a file stays: %s", refused.strerror, extra={"action": "media_not_removed"})
        raise NotRemoved from refused
