"""Hears of failed logins, keeps them, and has addresses that fail too often refused for a while.

Asterisk refuses a blocked address before it looks at a packet any further; that is an object in its memory,
put there and taken away without a reload. Never blocked are the trunks of the settings and of operators, and
whatever address a device is registered from: a forged packet must not lock a customer out. What is blocked
stands in the store, so that it holds on every node and after every restart.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.phones.attempts import BLOCKED_FOR, MOST_FAILURES, Watch, attempt_of
from pbx.phones.contacts import contact_of
from store.database import Database
from store.intruders import block, blocked, forget, gathered, note_failures
from store.models import now
from store.trunks import accepted_networks

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
        """`trusted`: networks that are never blocked, beside those of operators' trunks."""
        self._database, self._node = database, node
        self._ari, self._ami = ari, ami
        self._trusted = trusted
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
        if failures >= MOST_FAILURES:
            self._suspects[attempt.address] = failures
            self._watch.forget(attempt.address)
            self._wake.set()

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
                await self.look()
                if loop.time() >= next_forgetting:
                    next_forgetting = loop.time() + FORGET_EVERY_S
                    async with self._database.session() as session:
                        await forget(session, now())
            except (SQLAlchemyError, OSError, AsteriskAway, AsteriskRefused, TimeoutError) as problem:
                log.warning("the guard waits: %s", type(problem).__name__, extra={"action": "guard_waits"})

    async def look(self) -> None:
        """Do what is due. Raises what the database, Ami and AriSession raise."""
        await self._judge()
        await self._note()
        await self._tell()

    async def _judge(self) -> None:
        """Block the suspects that are no trunk's and that no device is registered from."""
        if not self._suspects:
            return
        contacts = [contact_of(*row) for row in (await self._ami.contact_rows()).items()]
        homes = {contact.address.rpartition(":")[0] for contact in contacts if contact}
        at = now()
        async with self._database.session() as session:
            trunks = await self._networks_of_trunks(session)
            for address, failures in self._suspects.items():
                if is_within(address, trunks):
                    continue
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
            rows = await blocked(session, now())
            # A trunk may have been made since.
            trunks = await self._networks_of_trunks(session) if rows else []
        wanted = {row.address for row in rows[:MOST_BLOCKED] if not is_within(row.address, trunks)}
        for address in sorted(wanted - self._told):
            await self._ari.refuse_address(address)
            self._told.add(address)
        for address in sorted(self._told - wanted):
            await self._ari.admit_address(address)
            self._told.discard(address)

    async def _networks_of_trunks(self, session: AsyncSession) -> list[str]:
        return [*self._trusted, *await accepted_networks(session)]


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether the address belongs to one of them; what is no address belongs to all, and is never blocked."""
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return True
    return any(one in ipaddress.ip_network(network, strict=False) for network in networks)
