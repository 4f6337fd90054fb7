"""Keeps Asterisk's own copy of what it must know equal to the store: devices, and numbers' settings.

Devices go in through ARI's dynamic configuration, one by one and without a reload, into Asterisk's own
database; numbers' settings beside them, for the dialplan to work with while we are away. Only what differs
is written: a restart of either side costs a comparison.
"""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.dialplan import names
from pbx.dialplan.render import device_objects
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.routing.inbound import Action, decide
from settings import Settings
from store.arrivals import Arrival, Listed
from store.database import Database
from store.errors import SealBroken
from store.models import EntryKind, now
from store.provisioning import Wanted, WantedDevice, wanted_of_asterisk
from store.revisions import asterisk_revision
from store.sealing import unseal

log = logging.getLogger(__name__)

LOOK_S = 0.5
DEVICE_FAMILY = "device"
"""Asterisk-database family: user name -> fingerprints of what was written for it, by kind."""

Sound = Callable[[str], Path]
"""SHA-256 of a prompt -> name of the sound, without suffix."""


def number_settings(number: Arrival, devices: list[WantedDevice], sound: Sound) -> dict[str, str]:
    """What the dialplan must know of a number: `<E.164>/<key>` -> value. Pure."""
    ring = "&".join(
        f"PJSIP/{device.username}" for device in devices if device.account_id == number.account_id
    )
    rule = number.rule
    values = {
        names.KEY_USE: number.use.value,
        names.KEY_RUSUREPO: "on" if rule else "off",
        names.KEY_RULE: rule.id if rule else "",
        names.KEY_START_PROMPT: str(sound(rule.start_prompt)) if rule else "",
        names.KEY_END_PROMPT: str(sound(rule.end_prompt)) if rule else "",
        names.KEY_DEVICES: ring,
        names.KEY_RING_FIRST: _rings_before_message(number, None),
        names.KEY_RING_LISTED: _rings_before_message(number, Listed(EntryKind.NUMBER, "", "")),
    }
    return {f"{number.e164}/{key}": value for key, value in values.items() if value}


def _rings_before_message(number: Arrival, listed: Listed | None) -> str:
    """For how many seconds, as the dialplan reads it; empty where no message follows the ringing."""
    decision = decide(replace(number, listed=listed))
    return f"{decision.ring_s:02d}" if decision.action is Action.RING_THEN_MESSAGE else ""


def whitelisted(number: Arrival, entries: list[tuple[EntryKind, str]]) -> dict[str, str]:
    """Whom the dialplan lets through to a number: `<E.164>/<caller>` -> "1". Pure."""
    return {f"{number.e164}/{_caller_key(kind, value)}": "1" for kind, value in entries}


def _caller_key(kind: EntryKind, value: str) -> str:
    match kind:
        case EntryKind.NUMBER:
            return value
        case EntryKind.PREFIX:
            return f"{value}*"
        case _:
            return kind.value


class Provisioner:
    """Compares and writes: whenever the store or a schedule's rule changed, and after every reconnection."""

    def __init__(
        self, settings: Settings, database: Database, ari: AriSession, ami: Ami, sound: Sound
    ) -> None:
        self._settings, self._sound = settings, sound
        self._database, self._ari, self._ami = database, ari, ami
        self._told: int | None = None
        self._marks: dict[WantedDevice, str] = {}
        """Devices we have looked at before -> their fingerprints."""

        self._until: datetime | None = None
        """When a schedule's next rule applies."""
        self.problem = "Asterisk was not told yet"

    @property
    def ready(self) -> bool:
        """Asterisk has been told everything at least once on this connection."""
        return self._told is not None

    def start_over(self) -> None:
        """Asterisk may have been started anew: compare again."""
        self._told = None

    async def run(self) -> None:
        while True:
            try:
                await self._look()
                self.problem = ""
            except (SQLAlchemyError, OSError, TimeoutError, AsteriskAway, AsteriskRefused) as problem:
                said = f"{type(problem).__name__}: {problem}"
                if said != self.problem:
                    log.warning("Asterisk is not told: %s", said, extra={"action": "provisioning_waits"})
                self.problem = said
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        due = self._until is not None and now() >= self._until
        if await self._database.transaction(asterisk_revision) == self._told and not due:
            return
        async with self._database.session() as session:
            wanted = await wanted_of_asterisk(session)
        await self._tell_numbers(wanted)
        await self._tell_whitelists(wanted)
        await self._tell_devices(wanted)
        await self._ami.put(names.TOLD_FAMILY, names.KEY_REVISION, str(wanted.revision))
        self._told, self._until = wanted.revision, wanted.until

    async def _tell_numbers(self, wanted: Wanted) -> None:
        target: dict[str, str] = {}
        for number in wanted.numbers:
            target |= number_settings(number, wanted.devices, self._sound)
        await self._tell(names.NUMBER_FAMILY, target)

    async def _tell_whitelists(self, wanted: Wanted) -> None:
        target: dict[str, str] = {}
        for number in wanted.numbers:
            if number.rule is not None and number.rule.whitelist_id is not None:
                target |= whitelisted(number, wanted.whitelists[number.rule.whitelist_id])
        await self._tell(names.WHITELIST_FAMILY, target)

    async def _tell(self, family: str, target: dict[str, str]) -> None:
        told = await self._ami.read_family(family)
        for key, value in target.items():
            if told.get(key) != value:
                await self._ami.put(family, key, value)
        for key in told.keys() - target.keys():
            await self._ami.remove(family, key)

    async def _tell_devices(self, wanted: Wanted) -> None:
        told = await self._ami.read_family(DEVICE_FAMILY)
        self._marks = {device: self._marks[device] for device in wanted.devices if device in self._marks}
        for device in wanted.devices:
            if device not in self._marks or self._marks[device] != told.get(device.username):
                await self._tell_device(device, told.get(device.username, ""))
        for username in told.keys() - {device.username for device in wanted.devices}:
            await self._ami.forget_contacts(username)
            for kind in ("endpoint", "aor", "auth"):
                await self._ari.delete_object(kind, username)
            await self._ami.remove(DEVICE_FAMILY, username)

    async def _tell_device(self, device: WantedDevice, told: str) -> None:
        # Opening a password takes a moment; with thousands of devices, calls come between.
        await asyncio.sleep(0)
        try:
            password = unseal(device.sealed_password, self._settings.secret_key)
        except SealBroken:
            log.error("a device's password cannot be read", extra={"action": "seal_broken"})
            return
        objects = device_objects(self._settings, device.username, password, device.account_id)
        marks = [f"{kind}={self._fingerprint(fields)}" for kind, fields in objects]
        for (kind, fields), mark in zip(objects, marks, strict=True):
            if mark not in told.split():
                await self._put_object(kind, device.username, fields)
        self._marks[device] = " ".join(marks)
        if told != self._marks[device]:
            await self._ami.put(DEVICE_FAMILY, device.username, self._marks[device])

    async def _put_object(self, kind: str, username: str, fields: dict[str, str]) -> None:
        if kind == "aor":
            # Changed in place, it would take where the device is registered now for a contact of its own,
            # for good: a device that was logged out would go on ringing.
            await self._ari.delete_object(kind, username)
        await self._ari.put_object(kind, username, fields)

    def _fingerprint(self, fields: dict[str, str]) -> str:
        text = json.dumps(fields, sort_keys=True).encode()
        return hmac.new(self._settings.secret_key.encode(), text, hashlib.sha256).hexdigest()[:32]
