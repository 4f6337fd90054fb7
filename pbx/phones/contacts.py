"""Where devices are registered: asked of Asterisk now and then, whatever devices do meanwhile.

A REGISTER costs nothing here. All contacts are read at once out of Asterisk's own database. How soon a
device answers is asked of some of them each time, newcomers first.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
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

TIMED_AT_ONCE = 30
REACHABLE = {"Reachable": True, "Unreachable": False}


def contact_of(key: str, value: str) -> Contact | None:
    """An entry of Asterisk's database, `<device>;@<hash>` -> JSON; None for what is no contact. Pure."""
    username, separator, _ = key.partition(";@")
    try:
        told = orjson.loads(value)
        return (
            Contact(
                username=username,
                uri=str(told["uri"]),
                user_agent=str(told.get("user_agent", "")),
                address=f"{told.get('via_addr', '')}:{told.get('via_port', '')}",
                expires_at=datetime.fromtimestamp(int(told["expiration_time"]), UTC),
            )
            if separator
            else None
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Answer:
    """How a contact answered when Asterisk asked it last."""

    reachable: bool | None = None
    latency_ms: float | None = None


def answer_of(status: str, roundtrip_us: str) -> Answer:
    """What PJSIP_CONTACT says: a word and microseconds. Pure."""
    reachable = REACHABLE.get(status)
    timed = reachable and roundtrip_us.isdecimal() and int(roundtrip_us) > 0
    return Answer(reachable, int(roundtrip_us) / 1000 if timed else None)


def next_to_ask(keys: Iterable[str], asked: Mapping[str, float], limit: int) -> list[str]:
    """Those never asked and those asked longest ago. `asked`: contact -> when, on any clock. Pure."""
    return sorted(keys, key=lambda key: asked.get(key, float("-inf")))[:limit]


class Registrations:
    """Keeps the store's registrations of this node what Asterisk has."""

    def __init__(self, database: Database, node: str, ami: Ami) -> None:
        self._database, self._node, self._ami = database, node, ami
        self._answers: dict[str, Answer] = {}
        self._asked: dict[str, float] = {}

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
        rows = await self._ami.contact_rows()
        found = {key: contact for key, value in rows.items() if (contact := contact_of(key, value))}
        await self._ask_some(found)
        contacts = []
        for key, contact in found.items():
            answer = self._answers.get(key, Answer())
            contacts.append(replace(contact, reachable=answer.reachable, latency_ms=answer.latency_ms))
        async with self._database.session() as session:
            await keep_registrations(session, self._node, contacts, now())

    async def _ask_some(self, found: Mapping[str, Contact]) -> None:
        loop = asyncio.get_running_loop()
        for gone in self._asked.keys() - found.keys():
            del self._asked[gone]
            self._answers.pop(gone, None)
        for key in next_to_ask(found, self._asked, TIMED_AT_ONCE):
            self._answers[key] = answer_of(*await self._ami.contact_status(key))
            if self._answers[key].reachable is not None:
                # Who was not asked by Asterisk yet is a newcomer still.
                self._asked[key] = loop.time()
