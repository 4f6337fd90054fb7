"""Entries of the audit log that are kept no longer."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from store.database import Database
from store.models import AuditEntry

log = logging.getLogger(__name__)

BATCH = 1000


async def purge_audit_log(database: Database, days: int, at: datetime) -> int:
    """Delete what is older than `days` as of `at`, some at a time; how many went. 0 days: all is kept."""
    if not days:
        return 0
    old = select(AuditEntry.id).where(AuditEntry.at < at - timedelta(days=days)).limit(BATCH)
    gone = 0
    while True:
        async with database.session() as session:
            ids = list(await session.scalars(old))
            await session.execute(delete(AuditEntry).where(AuditEntry.id.in_(ids)))
        gone += len(ids)
        if len(ids) < BATCH:
            break
    if gone:
        log.info("%d entries of the audit log were past their time", gone, extra={"action": "purged"})
    return gone
