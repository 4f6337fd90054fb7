"""Call details that are kept no longer: legs and journals past fourteen months.

The records of calls stay: invoices stand on them.
"""

import logging
from datetime import datetime, timedelta

from store.aging import delete_before
from store.database import Database
from store.models import CallLeg, JournalEntry

log = logging.getLogger(__name__)

KEPT = timedelta(days=427)


async def purge_details(database: Database, at: datetime) -> int:
    """Delete what is past its time as of `at`, some at a time; how many rows went."""
    gone = await delete_before(database, CallLeg.id, CallLeg.started_at, at - KEPT)
    gone += await delete_before(database, JournalEntry.id, JournalEntry.at, at - KEPT)
    if gone:
        log.info("%d rows of call details were past their time", gone, extra={"action": "purged"})
    return gone
