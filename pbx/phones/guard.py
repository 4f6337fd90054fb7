"""Hears of failed logins, keeps them, and has addresses that fail too often refused for a while.

Asterisk refuses a blocked address before it looks at a packet any further; that is an object in its memory,
put there and taken away without a reload. Never blocked are trunks, this machine itself, and whatever
address a device is registered from: a forged packet must not lock a customer out. What is blocked stands in
the store, so that it holds on every node and after every restart.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.phones.attempts import BLOCKED_FOR, MOST_FAILURES, Attempt, Watch, attempt_of
from pbx.phones.contacts import contact_of
from store.database import Database
from store.intruders import block, blocked, forget, gathered, note_failures
from store.models import now

log = logging.getLogger(__name__)

LOOK_S = 2.0
FORGET_EVERY_S = 3600.0
MOST_BLOCKED = 500
"""Asterisk compares every packet with each of them."""


class Guard:
    """`heard` takes AMI's security events, `run` does the rest."""

    def __init__(
        self, database: Database, node: str, ari: AriSession, ami: Ami, trusted: tuple[str, ...]
    ) -> None:
        """`trusted`: networks that are never blocked."""
        self._database, self._node = database, node
        self._ari, self._ami = ari, ami
        self._trusted = [ipaddress.ip_network(network) for network in trusted]
        self._watch = Watch()
        self._suspects: dict[str, int] = {}
        """Addresses to be blocked -> for how many failures."""

        self._told: set[str] = set()
        self._wake = asyncio.Event()

    def heard(self, event: Mapping[str, str]) -> None:
        """Take in one event."""
        attempt = attempt_of(event)
        if attempt is None:
            return
        failures = self._watch.failed(attempt, now())
        if failures >= MOST_FAILURES and self._may_be_blocked(attempt):
            self._suspects[attempt.address] = failures
            self._watch.forget(attempt.address)
            self._wake.set()

    def _may_be_blocked(self, attempt: Attempt) -> bool:
        try:
            address = ipaddress.ip_address(attempt.address)
        except ValueError:
            return False
        return not any(address in network for network in self._trusted)

    def start_over(self) -> None:
        """Asterisk may have been started anew: it knows of no blocked address."""
        self._told.clear()
        self._wake.set()

    async def run(self) -> None:
        next_forgetting = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._judge()
                await self._note()
                await self._tell()
                if loop.time() >= next_forgetting:
                    next_forgetting = loop.time() + FORGET_EVERY_S
                    async with self._database.session() as session:
                        await forget(session, now())
            except (SQLAlchemyError, OSError, AsteriskAway, AsteriskRefused, TimeoutError) as problem:
                log.warning("the guard waits: %s", type(problem).__name__, extra={"action": "guard_waits"})

    async def _judge(self) -> None:
        """Block the suspects that no device is registered from."""
        if not self._suspects:
            return
        contacts = [contact_of(*row) for row in (await self._ami.contact_rows()).items()]
        homes = {contact.address.rpartition(":")[0] for contact in contacts if contact}
        at = now()
        async with self._database.session() as session:
            for address, failures in self._suspects.items():
                if address in homes:
                    log.warning("logins fail where a device is registered", extra={"action": "not_blocked"})
                else:
                    await block(session, address, failures, at, at + BLOCKED_FOR)
                    log.warning("an address is blocked", extra={"action": "blocked"})
        self._suspects.clear()

    async def _note(self) -> None:
        failures = self._watch.take()
        if not failures:
            return
        try:
            async with self._database.session() as session:
                await note_failures(session, self._node, gathered(failures))
        except BaseException:
            self._watch.put_back(failures)
            raise

    async def _tell(self) -> None:
        """Make Asterisk refuse what is blocked now, and nothing else."""
        async with self._database.session() as session:
            wanted = {row.address for row in (await blocked(session, now()))[:MOST_BLOCKED]}
        for address in sorted(wanted - self._told):
            await self._ari.refuse_address(address)
            self._told.add(address)
        for address in sorted(self._told - wanted):
            await self._ari.admit_address(address)
            self._told.discard(address)
