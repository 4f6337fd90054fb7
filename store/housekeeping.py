"""Chores of one process of all: what is kept no longer goes, and so do files that no row knows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from store.audit_retention import purge_audit_log
from store.chores import claim
from store.database import Database
from store.details_retention import purge_details
from store.events import purge_events
from store.fax_retention import purge_faxes
from store.faxes import unknown_files
from store.idempotency import forget_answers
from store.media import Media
from store.models import Recording, VoiceMessage, now
from store.phonebook_imports import forget_imports
from store.recording_retention import miss_recordings, purge_recordings
from store.retention import BATCH, purge_messages

log = logging.getLogger(__name__)

PURGE_EVERY = timedelta(minutes=10)
SWEEP_EVERY = timedelta(days=1)
LOOK_S = 60.0
"""How often a process looks whether a chore is due."""

UNKNOWN_AFTER = timedelta(days=1)
"""A file may be there for a moment before its row is; not for a day."""

UNKNOWN_KEPT = timedelta(days=30)
"""How long such a file stays on disk: its row may come back, with a newer copy of the database."""

Unknown = Callable[[AsyncSession, Sequence[str]], Awaitable[set[str]]]
"""Those of some names within the media folder that no row knows."""


def _no_row_in(column: InstrumentedAttribute[str]) -> Unknown:
    async def unknown(session: AsyncSession, names: Sequence[str]) -> set[str]:
        return set(names) - set(await session.scalars(select(column).where(column.in_(names))))

    return unknown


KEEPERS: dict[str, Unknown] = {
    "messages": _no_row_in(VoiceMessage.media),
    "recordings": _no_row_in(Recording.media),
    "faxes": unknown_files,
}
"""Folder of the media folder -> who knows its files."""


@dataclass(frozen=True)
class Swept:
    """Files that no row knows of: how many went, and how many stay a while."""

    removed: int = 0
    left: int = 0


async def keep_house(database: Database, media: Media, audit_days: int) -> None:
    """Purge every ten minutes and sweep once a day; until it is cancelled.

    `audit_days` is how long the audit log is kept; 0: for good.
    """
    chores: list[tuple[str, timedelta, Callable[[], Awaitable[object]]]] = [
        ("purge_messages", PURGE_EVERY, lambda: purge_messages(database, media, now())),
        ("purge_recordings", PURGE_EVERY, lambda: purge_recordings(database, media, now())),
        ("miss_recordings", SWEEP_EVERY, lambda: miss_recordings(database, media, now())),
        ("purge_details", SWEEP_EVERY, lambda: purge_details(database, now())),
        ("purge_audit_log", SWEEP_EVERY, lambda: purge_audit_log(database, audit_days, now())),
        ("purge_faxes", PURGE_EVERY, lambda: purge_faxes(database, media, now())),
        ("sweep_files", SWEEP_EVERY, lambda: sweep_files(database, media, now())),
        ("purge_events", PURGE_EVERY, lambda: purge_events(database, now())),
        ("forget", PURGE_EVERY, lambda: _forget(database, now())),
    ]
    while True:
        for name, every, chore in chores:
            await _at_most_every(database, name, every, chore)
        await asyncio.sleep(LOOK_S)


async def _forget(database: Database, at: datetime) -> None:
    """Throw away what waited in vain: files for the phonebook, answers to requests sent again."""
    async with database.session() as session:
        await forget_imports(session, at)
        await forget_answers(session, at)


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


async def sweep_files(database: Database, media: Media, at: datetime) -> Swept:
    """Find the files that no row has known of for a day; remove those a month old."""
    swept = Swept()
    for kind, unknown in KEEPERS.items():
        one = await _sweep(database, media, at, kind, unknown)
        swept = Swept(swept.removed + one.removed, swept.left + one.left)
    return swept


async def _sweep(database: Database, media: Media, at: datetime, kind: str, unknown: Unknown) -> Swept:
    removed = left = 0
    for folder in await asyncio.to_thread(_folders, media.folder / kind):
        aged = await asyncio.to_thread(_named_before, folder, at - UNKNOWN_AFTER)
        files = {str(path.relative_to(media.folder)): path for path in aged}
        strangers = await _strangers(database, files, unknown)
        old = await asyncio.to_thread(_named_before, folder, at - UNKNOWN_KEPT)
        gone = await asyncio.to_thread(_remove, [path for path in strangers if path in old])
        removed += gone
        left += len(strangers) - gone
    if removed or left:
        log.warning(
            "%d files of no row in %s were removed, %d are left",
            removed,
            kind,
            left,
            extra={"action": "swept"},
        )
    return Swept(removed, left)


async def _strangers(database: Database, files: dict[str, Path], unknown: Unknown) -> list[Path]:
    names = list(files)
    found: set[str] = set()
    for first in range(0, len(names), BATCH):
        async with database.session() as session:
            found |= await unknown(session, names[first : first + BATCH])
    return [path for name, path in files.items() if name in found]


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
            log.warning("a file of no row stays: %s", refused.strerror, extra={"action": "sweep_failed"})
    return gone
