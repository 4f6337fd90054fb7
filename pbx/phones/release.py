"""解除: a device is logged out, and it is proven that it is.

Nothing in Asterisk removes a contact from outside; a REGISTER does. The device has a new password that only
we know: as soon as Asterisk takes it, one REGISTER of ours removes every contact. That the old password is
dead is not concluded but tried: a REGISTER with it must be refused.
"""

import asyncio
import logging

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.phones.register import Login, NoAnswer, register
from store.database import Database
from store.errors import SealBroken
from store.jobs import TakenJob, finish
from store.models import Device, DeviceRelease, ReleaseState, now
from store.registrations import keep_registrations
from store.releases import settle_release
from store.sealing import unseal
from store.worker import Later

log = logging.getLogger(__name__)

TOLD_LIMIT_S = 10.0
"""Asterisk is told a new password within half a second."""

GONE_LIMIT_S = 5.0
LOOK_S = 0.2
RETRY_S = 3.0
MOST_ATTEMPTS = 5
REFUSED = {401, 403}


class NotDone(Exception):
    """A step did not come out as it must; `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Releases:
    """Does the jobs. `host` and `port` are where Asterisk takes SIP, from this machine."""

    def __init__(
        self, database: Database, node: str, ari: AriSession, ami: Ami, host: str, port: int, secret_key: str
    ) -> None:
        self._database, self._node = database, node
        self._ari, self._ami = ari, ami
        self._host, self._port, self._secret_key = host, port, secret_key

    async def release(self, job: TakenJob) -> None:
        """Log the device of a release out and prove it; or say, after some attempts, why that cannot be."""
        async with self._database.session() as session:
            release = await session.get_one(DeviceRelease, job.subject_id)
            device = await session.get(Device, release.device_id)
        reason: str | None = None
        removed = ended = None
        if release.state is not ReleaseState.PENDING:
            reason = release.reason
        elif device is None:
            reason = "device_deleted"
        else:
            try:
                removed, ended = await self._log_out(release, device)
            except (NotDone, NoAnswer, AsteriskAway, AsteriskRefused, SealBroken, OSError) as problem:
                reason = problem.code if isinstance(problem, NotDone) else "asterisk_unavailable"
                if job.attempts < MOST_ATTEMPTS:
                    raise Later(reason, RETRY_S) from problem
        async with self._database.session() as session:
            kept = await session.get_one(DeviceRelease, job.subject_id)
            if kept.state is ReleaseState.PENDING:
                settle_release(kept, reason, removed, ended)
            await finish(session, job)
            if device is not None and reason is None:
                await keep_registrations(session, self._node, [], now(), of=device.username)
        log.info("a device was logged out: %s", reason or "verified", extra={"action": "device_released"})

    async def _log_out(self, release: DeviceRelease, device: Device) -> tuple[int, int]:
        """How many contacts were removed and how many calls ended. Raises NotDone and what it asks raises."""
        new = Login(self._host, self._port, device.username, unseal(device.sealed_password, self._secret_key))
        before = len(await self._contacts(device.username))
        await self._remove_contacts(new)
        ended = await self._end_calls(device.username) if release.end_calls else 0
        await self._until_gone(device.username, release.end_calls)
        if release.sealed_old_password:
            old_password = unseal(release.sealed_old_password, self._secret_key)
            old = Login(self._host, self._port, device.username, old_password)
            if await register(old, all_out=False) not in REFUSED:
                raise NotDone("old_password_accepted")
        # It had the time of that REGISTER to come back.
        await self._until_gone(device.username, release.end_calls)
        return before, ended

    async def _contacts(self, username: str) -> list[str]:
        try:
            return await self._ami.contacts(username)
        except AsteriskRefused:
            # Asterisk has not been told of the device yet.
            return []

    async def _remove_contacts(self, login: Login) -> None:
        """As soon as Asterisk takes the new password. Raises NotDone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TOLD_LIMIT_S
        while (status := await register(login, all_out=True)) != 200:
            if loop.time() > deadline:
                log.warning("a REGISTER of ours was answered %d", status)
                raise NotDone("new_password_not_taken")
            await asyncio.sleep(LOOK_S)

    async def _end_calls(self, username: str) -> int:
        channels = await self._channels(username)
        for channel in channels:
            await self._ari.end_channel(channel)
        return len(channels)

    async def _channels(self, username: str) -> list[str]:
        every = await self._ari.channels()
        return [channel["id"] for channel in every if channel["name"].startswith(f"PJSIP/{username}-")]

    async def _until_gone(self, username: str, calls_too: bool) -> None:
        """Raises NotDone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GONE_LIMIT_S
        while True:
            contacts = await self._contacts(username)
            channels = await self._channels(username) if calls_too else []
            if not contacts and not channels:
                return
            if loop.time() > deadline:
                raise NotDone("contact_remains" if contacts else "call_remains")
            await asyncio.sleep(LOOK_S)
