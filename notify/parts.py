"""What reporting and delivering work with."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from notify.service import Service
from settings.notifications import NotificationSettings
from store.database import Database
from store.media import Media
from store.notification_services import Fields

Build = Callable[[Fields], Service]
"""Makes a destination of its fields."""


@dataclass(frozen=True)
class Parts:
    database: Database
    media: Media
    build: Build
    secret_key: str
    allowed: NotificationSettings
    portal_url: str | None
    test_sound: Path
    fan_out: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time and in the order they were taken, so that no report overtakes another."""

    sending: set["asyncio.Future[bool]"] = field(default_factory=set)
    """Steps that are out: their end is to be noted even while we stop."""

    def keep_until_done(self, step: "asyncio.Future[bool]") -> None:
        self.sending.add(step)
        step.add_done_callback(self._done)

    def _done(self, step: "asyncio.Future[bool]") -> None:
        self.sending.discard(step)
        if not step.cancelled():
            # Whoever asked for it may have been cancelled, and will not look.
            step.exception()
