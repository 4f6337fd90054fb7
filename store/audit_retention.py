"""Entries of the audit log that are kept no longer."""

import logging
from datetime import datetime, timedelta

from store.aging import delete_before
from store.database import Database
from store.models import AuditEntry

log = logging.getLogger(__name__)


async def purge_audit_log(database: Database, days: int, at: datetime) -> int:
    """Delete what is older than `days` as of `at`, some at a time; how many went. 0 days: all is kept."""
    if not days:
        return 0
    gone = await delete_before(database, AuditEntry.id, AuditEntry.at, at - timedelta(days=days))
    if gone:
        log.info("%d entries of the audit log were past their time", gone, extra={"action": "purged"})
    return gone
