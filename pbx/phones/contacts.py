"""Where devices are registered: asked of Asterisk now and then, whatever devices do meanwhile.

A REGISTER costs nothing here. What is read is the whole of it, and how often depends on how long that takes.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.errors import AsteriskAway, AsteriskRefused
from store.database import Database
from store.models import now
from store.registrations import Contact, keep_registrations

log = logging.getLogger(__name__)

LOOK_S = 3.0
SHARE = 20
"""One part in so many of the time is spent on reading, at most."""

REACHABLE = {"Reachable": True, "Unreachable": False}


def contact_of(event: Mapping[str, str]) -> Contact | None:
    """What AMI's ContactList says of one contact; None for a trunk's and for what is no contact. Pure."""
    username = event.get("Endpoint", "") or event.get("ObjectName", "").partition(";")[0]
    expires = event.get("ExpirationTime", "0")
    if not username or not expires.isdecimal() or not 0 < int(expires) < 4_000_000_000:
        return None
    roundtrip = event.get("RoundtripUsec", "")
    status = REACHABLE.get(event.get("Status", ""))
    return Contact(
        username=username,
        uri=event.get("Uri", ""),
        user_agent=event.get("UserAgent", ""),
        address=f"{event.get('ViaAddr', '')}:{event.get('ViaPort', '')}".strip(":"),
        expires_at=datetime.fromtimestamp(int(expires), UTC),
        latency_ms=int(roundtrip) / 1000 if status and roundtrip.isdecimal() else None,
        reachable=status,
    )


class Registrations:
    """Keeps the store's registrations of this node what Asterisk has."""

    def __init__(self, database: Database, node: str, ami: Ami) -> None:
        self._database, self._node, self._ami = database, node, ami

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.read()
            except (SQLAlchemyError, OSError, AsteriskAway, AsteriskRefused, TimeoutError) as problem:
                log.info("registrations wait: %s", type(problem).__name__)
            await asyncio.sleep(max(LOOK_S, SHARE * (loop.time() - began)))

    async def read(self) -> None:
        """Read all once. Raises what Ami and the database raise."""
        contacts = [contact for event in await self._ami.all_contacts() if (contact := contact_of(event))]
        async with self._database.session() as session:
            await keep_registrations(session, self._node, contacts, now())
