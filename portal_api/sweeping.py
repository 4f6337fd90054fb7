"""Now and then: removes the files of prompts that are gone, once no call can be playing them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from aiohttp import web

from portal_api.routing import PARTS
from store.models import now
from store.prompts import sweep_files

log = logging.getLogger(__name__)

EVERY = timedelta(hours=6)
KEPT_FOR = timedelta(days=1)
"""Longer than any call that had begun when its prompt was deleted."""


async def sweeping(app: web.Application) -> AsyncIterator[None]:
    """While the app runs. Several processes may sweep the same folder."""
    task = asyncio.create_task(_sweep(app))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _sweep(app: web.Application) -> None:
    parts = app[PARTS]
    while True:
        await asyncio.sleep(EVERY.total_seconds())
        try:
            async with parts.database.session() as session:
                removed = await sweep_files(session, parts.media, now() - KEPT_FOR)
            log.info("files of deleted prompts removed: %d", removed)
        except Exception:
            # Whatever it was, the files are still there in six hours.
            log.exception("files of deleted prompts could not be removed")
