"""Call details that are kept no longer: legs and journals past fourteen months.

The records of calls stay: invoices stand on them.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from store.database import Database
from store.models import CallLeg, JournalEntry

log = logging.getLogger(__name__)

KEPT = timedelta(days=427)
BATCH = 1000


async def purge_details(database: Database, at: datetime) -> int:
    """Delete what is past its time as of `at`, some at a time; how many rows went."""
    gone = 0
    for table, moment in ((CallLeg, CallLeg.started_at), (JournalEntry, JournalEntry.at)):
        old = select(table.id).where(moment < at - KEPT).limit(BATCH)
        while True:
            async with database.session() as session:
                ids = list(await session.scalars(old))
                await session.execute(delete(table).where(table.id.in_(ids)))
            gone += len(ids)
            if len(ids) < BATCH:
                break
    if gone:
        log.info("%d rows of call details were past their time", gone, extra={"action": "purged"})
    return gone
