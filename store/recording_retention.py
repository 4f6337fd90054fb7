"""Recordings of calls that are kept no longer, and those whose files are gone."""

import asyncio
import logging
from datetime import datetime

from sqlalchemy import select, tuple_

from store.database import Database
from store.media import Media
from store.models import Recording
from store.recordings import KEPT_FOR, Milestone, delete_recordings, note
from store.retention import BATCH, BY, Purged

log = logging.getLogger(__name__)


async def purge_recordings(database: Database, media: Media, at: datetime) -> Purged:
    """Delete the recordings that are past their thirty days as of `at`, with their files.

    A file that cannot be removed keeps its recording until the next time, and stops no other.
    """
    purged = Purged()
    key = (Recording.created_at, Recording.id)
    expired = select(Recording.account_id, *key).where(key[0] < at - KEPT_FOR).order_by(*key)
    batch = expired.limit(BATCH)
    while True:
        async with database.session() as session:
            rows = (await session.execute(batch)).all()
        if not rows:
            break
        for account_id in sorted({row.account_id for row in rows}):
            ids = [row.id for row in rows if row.account_id == account_id]
            gone = await delete_recordings(database.session, media, account_id, ids, BY)
            outcome = list(gone.values())
            deleted, failed = outcome.count("deleted"), outcome.count("failed")
            purged = Purged(purged.deleted + deleted, purged.failed + failed)
        # Past those that failed, or they would come again for ever.
        batch = expired.where(tuple_(*key) > tuple_(rows[-1].created_at, rows[-1].id)).limit(BATCH)
    if purged.deleted:
        log.info("%d recordings were past their time", purged.deleted, extra={"action": "purged"})
    if purged.failed:
        log.warning("%d recordings could not be deleted", purged.failed, extra={"action": "purge_failed"})
    return purged


async def miss_recordings(database: Database, media: Media, at: datetime) -> int:
    """Note of each recording whose file is gone since when it is missed; give how many are newly missed."""
    missed = 0
    key = (Recording.created_at, Recording.id)
    known = select(Recording).where(Recording.missing_since.is_(None)).order_by(*key)
    batch = known.limit(BATCH)
    while True:
        async with database.session() as session:
            rows = list(await session.scalars(batch))
            if not rows:
                break
            gone = await asyncio.to_thread(media.missing, [row.media for row in rows])
            for row in rows:
                if row.media in gone:
                    row.missing_since = at
                    note(session, row.call_id, [Milestone(at, "recording_missing", {"recording_id": row.id})])
                    missed += 1
        batch = known.where(tuple_(*key) > tuple_(rows[-1].created_at, rows[-1].id)).limit(BATCH)
    if missed:
        log.error("%d recordings have lost their files", missed, extra={"action": "recordings_missing"})
    return missed
