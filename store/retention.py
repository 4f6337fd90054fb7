"""Messages that are kept no longer: those past their account's time."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, tuple_

from store.database import Database
from store.media import Media
from store.messages import delete_messages
from store.models import Account, VoiceMessage

log = logging.getLogger(__name__)

BATCH = 500
BY = "retention"


@dataclass(frozen=True)
class Purged:
    """How many went, and how many should have gone but could not."""

    deleted: int = 0
    failed: int = 0


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
