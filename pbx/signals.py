"""App notification: the message-waiting lamp and a SIP MESSAGE, to the devices of an account.

A lamp is a mailbox of Asterisk named by the account; Asterisk tells whoever is registered for it, and
whoever registers later. Its counts are set when messages come, go or are read, for everybody after every
reconnection, for a new Asterisk knows none of them, and now and then, in case another node did the job.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Mapping
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.errors import AsteriskAway, AsteriskRefused
from store.database import Database
from store.e164 import E164, national
from store.jobs import TakenJob, finish, finish_waiting, waiting_like
from store.message_reports import report_of, short_text
from store.models import JournalEntry, PhoneNumber, VoiceMessage, now
from store.signals import SIGNAL_DEVICES, TEXT_DEVICES, Lamp, devices_of_message, lamp_of_number, lamps
from store.worker import Handler, Later

log = logging.getLogger(__name__)

LOOK_S = 60.0
RETRY_S = 1.0
LONGEST_TEXT_BYTES = 800
"""A request over UDP should not exceed 1,300 bytes (RFC 3428, 8); its headers take up to 500."""

NOWHERE = "denwaban.invalid"


class Signals:
    """Sets lamps and sends texts. `run` sets all lamps; the handlers do the jobs."""

    def __init__(
        self, database: Database, ari: AriSession, ami: Ami, host: str, portal_url: str | None
    ) -> None:
        """`host` stands in the address that texts seem to come from."""
        self._database, self._ari, self._ami = database, ari, ami
        self._host = NOWHERE if ipaddress.ip_address(host).is_unspecified else host
        self._portal_url = portal_url
        self._told: dict[str, Lamp] = {}
        self._counting = asyncio.Lock()
        """Between counting and telling nobody else may tell an older count."""

        self._asked = asyncio.Event()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {SIGNAL_DEVICES: self.set_lamp, TEXT_DEVICES: self.send_text}

    def start_over(self) -> None:
        """Asterisk may have been started anew: tell it everything."""
        self._told.clear()
        self._asked.set()

    async def run(self) -> None:
        while True:
            pause_s = LOOK_S
            try:
                await self._set_all()
            except (SQLAlchemyError, OSError, AsteriskAway, AsteriskRefused) as problem:
                log.warning("lamps wait: %s", type(problem).__name__, extra={"action": "lamps_wait"})
                pause_s = RETRY_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()

    async def _set_all(self) -> None:
        async with self._counting:
            async with self._database.session() as session:
                all_lamps = await lamps(session)
            for account_id, lamp in all_lamps.items():
                await self._tell(account_id, lamp)

    async def _tell(self, account_id: str, lamp: Lamp) -> None:
        if self._told.get(account_id) != lamp:
            await self._ami.set_lamp(account_id, lamp.new, lamp.old)
            self._told[account_id] = lamp

    async def set_lamp(self, job: TakenJob) -> None:
        """Set the lamps of a number's devices, for all that happened until now."""
        try:
            async with self._counting:
                async with self._database.session() as session:
                    # First these, then the count: what they were written for is counted.
                    others = await waiting_like(session, job)
                    found = await lamp_of_number(session, job.subject_id)
                if found:
                    await self._tell(*found)
        except (AsteriskAway, AsteriskRefused) as away:
            raise Later(f"Asterisk: {type(away).__name__}", RETRY_S, counts=False) from away
        async with self._database.session() as session:
            await finish_waiting(session, others)
            await finish(session, job)

    async def send_text(self, job: TakenJob) -> None:
        """Send the report of a message to wherever its account's devices are registered."""
        usernames = await self._database.reading(
            lambda connection: devices_of_message(connection, job.subject_id)
        )
        try:
            reachable = {username: await self._contacts(username) for username in usernames}
            # Mostly nobody is, and a busy switch has better things to do.
            sent = await self._send_texts(job.subject_id, reachable) if any(reachable.values()) else None
        except AsteriskAway as away:
            raise Later("Asterisk is away", RETRY_S) from away
        async with self._database.session() as session:
            session.add_all([sent] if sent else [])
            await finish(session, job)

    async def _contacts(self, username: str) -> list[str]:
        """Raises AsteriskAway."""
        try:
            return await self._ami.contacts(username)
        except AsteriskRefused:
            # Asterisk does not know the device yet, or no longer.
            return []

    async def _send_texts(self, message_id: str, reachable: dict[str, list[str]]) -> JournalEntry | None:
        """Send the report to every contact; what the journal is to say of it. Raises AsteriskAway."""
        async with self._database.session() as session:
            message = await session.get(VoiceMessage, message_id)
            if message is None:
                return None
            report = await report_of(session, message, self._portal_url)
            number = await session.get_one(PhoneNumber, message.number_id)
        sender = sender_of(number.e164, number.display_name, self._host)
        text = short_text(report, LONGEST_TEXT_BYTES)
        sent = 0
        for username, contacts in reachable.items():
            for contact in contacts:
                # A contact that is gone meanwhile keeps the text from nobody else.
                with suppress(AsteriskRefused):
                    await self._ari.send_message(username, contact, sender, text)
                    sent += 1
        return JournalEntry(
            call_id=message.call_id, at=now(), event="devices_told", details={"contacts": sent}
        )


def sender_of(e164: str, display_name: str, host: str) -> str:
    """The called number as the sender of a text. Pure."""
    name = "".join(sign for sign in display_name if sign not in '"\\<>' and sign.isprintable())
    uri = f"sip:{national(E164(e164))}@{f'[{host}]' if ':' in host else host}"
    return f'"{name}" <{uri}>' if name else uri
