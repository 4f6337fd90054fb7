"""What is kept no longer: messages past their account's time, and files that no row knows of."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from store.chores import claim
from store.database import Database
from store.details_retention import purge_details
from store.media import Media
from store.messages import delete_messages
from store.models import Account, VoiceMessage, now

log = logging.getLogger(__name__)

PURGE_EVERY = timedelta(minutes=10)
SWEEP_EVERY = timedelta(days=1)
LOOK_S = 60.0
"""How often a process looks whether the chore is due."""

BATCH = 500
BY = "retention"
MESSAGES = "messages"
UNKNOWN_AFTER = timedelta(days=1)
"""A file may be there for a moment before its row is; not for a day."""

UNKNOWN_KEPT = timedelta(days=30)
"""How long such a file stays on disk: its row may come back, with a newer copy of the database."""


@dataclass(frozen=True)
class Purged:
    """How many messages went, and how many should have gone but could not."""

    deleted: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Swept:
    """Files that no row knows of: how many went, and how many stay a while."""

    removed: int = 0
    left: int = 0


async def keep_house(database: Database, media: Media) -> None:
    """Purge every ten minutes and sweep once a day, in one process of all; until it is cancelled."""
    while True:
        await _at_most_every(
            database, "purge_messages", PURGE_EVERY, lambda: purge_messages(database, media, now())
        )
        await _at_most_every(database, "purge_details", SWEEP_EVERY, lambda: purge_details(database, now()))
        await _at_most_every(
            database, "sweep_files", SWEEP_EVERY, lambda: sweep_files(database, media, now())
        )
        await asyncio.sleep(LOOK_S)


async def _at_most_every(
    database: Database, name: str, every: timedelta, chore: Callable[[], Awaitable[object]]
) -> None:
    try:
        async with database.session() as session:
            ours = await claim(session, name, now(), every)
        if ours:
            await chore()
    except (SQLAlchemyError, OSError) as away:
        said = str(away).partition("\n")[0]
        log.warning("%s: %s: %s", name, type(away).__name__, said, extra={"action": "chore_failed"})
    except Exception:
        # Whatever it is: this task must outlive it, and the next period tries again.
        log.exception("%s failed", name, extra={"action": "chore_failed"})


async def purge_messages(database: Database, media: Media, at: datetime) -> Purged:
    """Delete the messages that are past their account's time as of `at`, with their files.

    The time counts from when a message was taken in: one that waited in a spool can still be read.
    A file that cannot be removed keeps its message until the next time, and stops no other.
    """
    async with database.session() as session:
        rows = (await session.execute(select(Account.id, Account.message_retention_days))).all()
    purged = Purged()
    for account_id, days in rows:
        if days is None:
            continue
        one = await _purge_account(database, media, account_id, at - timedelta(days=days))
        purged = Purged(purged.deleted + one.deleted, purged.failed + one.failed)
    if purged.deleted:
        log.info("%d messages were past their time", purged.deleted, extra={"action": "purged"})
    if purged.failed:
        log.warning("%d messages could not be deleted", purged.failed, extra={"action": "purge_failed"})
    return purged


async def _purge_account(database: Database, media: Media, account_id: str, before: datetime) -> Purged:
    deleted = failed = 0
    key = (VoiceMessage.created_at, VoiceMessage.id)
    expired = select(*key).where(VoiceMessage.account_id == account_id, key[0] < before).order_by(*key)
    batch = expired.limit(BATCH)
    while True:
        async with database.session() as session:
            rows = (await session.execute(batch)).all()
        if not rows:
            return Purged(deleted, failed)
        ids = [row.id for row in rows]
        outcome = list((await delete_messages(database.session, media, account_id, ids, BY)).values())
        deleted += outcome.count("deleted")
        failed += outcome.count("failed")
        # Past those that failed, or they would come again for ever.
        batch = expired.where(tuple_(*key) > tuple_(*rows[-1])).limit(BATCH)


async def sweep_files(database: Database, media: Media, at: datetime) -> Swept:
    """Find the message files that no row has known of for a day; remove those a month old."""
    removed = left = 0
    for folder in await asyncio.to_thread(_folders, media.folder / MESSAGES):
        aged = await asyncio.to_thread(_named_before, folder, at - UNKNOWN_AFTER)
        unknown = await _without_row(database, {str(path.relative_to(media.folder)): path for path in aged})
        old = await asyncio.to_thread(_named_before, folder, at - UNKNOWN_KEPT)
        gone = await asyncio.to_thread(_remove, [path for path in unknown if path in old])
        removed += gone
        left += len(unknown) - gone
    if removed or left:
        log.warning(
            "%d files of no message were removed, %d are left", removed, left, extra={"action": "swept"}
        )
    return Swept(removed, left)


async def _without_row(database: Database, files: dict[str, Path]) -> list[Path]:
    names = list(files)
    known: set[str] = set()
    for first in range(0, len(names), BATCH):
        asked = VoiceMessage.media.in_(names[first : first + BATCH])
        async with database.session() as session:
            known |= set(await session.scalars(select(VoiceMessage.media).where(asked)))
    return [path for name, path in files.items() if name not in known]


def _folders(top: Path) -> list[Path]:
    return [path for path in top.rglob("*") if path.is_dir()]


def _named_before(folder: Path, moment: datetime) -> set[Path]:
    """The files of `folder` that got their name before then."""
    # The change time, not the modification time: a recording that waited in the spool is old itself.
    return {
        path
        for path in folder.iterdir()
        if path.is_file() and path.stat(follow_symlinks=False).st_ctime < moment.timestamp()
    }


def _remove(paths: list[Path]) -> int:
    """Remove them, and say how many of them went."""
    gone = 0
    for path in paths:
        try:
            path.unlink(missing_ok=True)
            gone += 1
        except OSError as refused:
            log.warning("a file of no message stays: %s", refused.strerror, extra={"action": "sweep_failed"})
    return gone
