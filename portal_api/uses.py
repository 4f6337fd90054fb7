"""When tokens were last used: noted in memory, written now and then, so that no request waits for it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from portal_api.routing import PARTS
from store.chores import claim
from store.database import Database
from store.models import now
from store.sign_in import forget_old_tries
from store.tokens import forget_ended_sessions, note_uses

log = logging.getLogger(__name__)

USES: web.AppKey[dict[str, datetime]] = web.AppKey("uses")
EVERY_S = 30.0
TIDY_EVERY = timedelta(hours=1)
SESSIONS_KEPT = timedelta(days=30)


async def noting_uses(app: web.Application) -> AsyncIterator[None]:
    """While the API runs, and once more at its end."""
    writing = asyncio.create_task(_write_now_and_then(app), name="note uses")
    yield
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await writing
    await write_uses(app)


async def write_uses(app: web.Application) -> None:
    """Write what was noted. A database that is away costs nothing but these times."""
    noted = app[USES]
    uses = dict(noted)
    noted.clear()
    if not uses:
        return
    try:
        async with asyncio.timeout(5), app[PARTS].database.session() as session:
            await note_uses(session, uses)
    except (SQLAlchemyError, OSError, TimeoutError) as away:
        log.warning("uses not noted: %s", type(away).__name__, extra={"action": "uses_not_noted"})


async def _write_now_and_then(app: web.Application) -> None:
    while True:
        await asyncio.sleep(EVERY_S)
        await write_uses(app)
        await _tidy(app[PARTS].database)


async def _tidy(database: Database) -> None:
    at = now()
    try:
        async with database.session() as session:
            if await claim(session, "tidy_sessions", at, TIDY_EVERY):
                await forget_ended_sessions(session, at - SESSIONS_KEPT)
                await forget_old_tries(session, at)
    except (SQLAlchemyError, OSError) as away:
        log.warning("not tidied: %s", type(away).__name__, extra={"action": "chore_failed"})
