"""Faxes that are kept no longer: those past their account's time."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import select

from store.database import Database
from store.fax_submissions import UNDER_WAY
from store.faxes import delete_faxes
from store.media import Media
from store.models import Account, Fax

log = logging.getLogger(__name__)

BATCH = 500
BY = "retention"


async def purge_faxes(database: Database, media: Media, at: datetime) -> int:
    """Delete the faxes that are past their account's time as of `at`, with their files; how many went.

    The time counts from when a fax was taken in. One whose file cannot be removed stays until the next time.
    """
    async with database.session() as session:
        rows = (await session.execute(select(Account.id, Account.fax_retention_days))).all()
    gone = 0
    for account_id, days in rows:
        if days is not None:
            gone += await _purge_account(database, media, account_id, at - timedelta(days=days))
    if gone:
        log.info("%d faxes were past their time", gone, extra={"action": "purged"})
    return gone


async def _purge_account(database: Database, media: Media, account_id: str, before: datetime) -> int:
    expired = (Fax.account_id == account_id, Fax.created_at < before, Fax.state.not_in(UNDER_WAY))
    gone, after = 0, ""
    while True:
        batch = select(Fax.id).where(*expired, Fax.id > after).order_by(Fax.id).limit(BATCH)
        async with database.session() as session:
            ids = list(await session.scalars(batch))
        if not ids:
            return gone
        outcome = await delete_faxes(database.session, media, account_id, ids, BY)
        gone += list(outcome.values()).count("deleted")
        # Past those that failed, or they would come again for ever.
        after = ids[-1]
