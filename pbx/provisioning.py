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
from pbx.dialplan.devices import device_objects
from pbx.dialplan.render import Objects
from pbx.dialplan.trunks import endpoint_of, told_of_trunks, trunk_objects
from pbx.errors import AsteriskAway, AsteriskRefused
from pbx.routing.inbound import Action, decide
from settings import Settings
from store.arrivals import Arrival, Listed
from store.database import Database
from store.errors import SealBroken
from store.models import EntryKind, FaxUse, now
from store.provisioning import Wanted, WantedBlock, WantedDevice, wanted_of_asterisk
from store.recording_settings import WantedRecording
from store.revisions import asterisk_revision
from store.sealing import unseal

log = logging.getLogger(__name__)

KINDS = ("registration", "identify", "endpoint", "aor", "auth")
"""Types of dynamic objects in the order in which they are taken away."""

LOOK_S = 0.5
LONGEST_RING_S = 99
DEVICE_FAMILY = "device"
"""Asterisk-database family: user name -> fingerprints of what was written for it, by kind."""

TRUNK_OBJECTS_FAMILY = "trunk-objects"
"""The same for trunks, by the names of their endpoints."""

Sound = Callable[[str], Path]
"""SHA-256 of a prompt -> name of the sound, without suffix."""


def number_settings(number: Arrival, devices: list[WantedDevice], sound: Sound) -> dict[str, str]:
    """What the dialplan must know of a number: `<E.164>/<key>` -> value. Pure."""
    rule = number.rule or number.unanswered_rule
    values = {
        names.KEY_USE: number.use.value,
        names.KEY_RUSUREPO: "on" if number.rule else "off",
        names.KEY_RULE: rule.id if rule else "",
        names.KEY_START_PROMPT: str(sound(rule.start_prompt)) if rule else "",
        names.KEY_END_PROMPT: str(sound(rule.end_prompt)) if rule else "",
        names.KEY_DEVICES: turns(number, devices),
        names.KEY_RING: f"{number.ringing.ring_s:02d}",
        **own_times(number, devices),
        names.KEY_CHANNELS: "" if number.channels is None else str(number.channels),
        names.KEY_ACCOUNT: number.account_id,
        names.KEY_FAX: "" if number.fax is FaxUse.NONE else number.fax.value,
        names.KEY_RING_FIRST: _rings_before_message(number, None),
        names.KEY_RING_LISTED: _rings_before_message(number, Listed(EntryKind.NUMBER, "", "")),
    }
    return {f"{number.e164}/{key}": value for key, value in values.items() if value}


def turns(number: Arrival, devices: list[WantedDevice]) -> str:
    """Who rings for the number, as the dialplan reads it. Pure."""
    chosen = _ringing(number, devices)
    if number.ringing.in_turn:
        return "|".join(f"{ring_s}:PJSIP/{username}" for username, ring_s in chosen)
    if not chosen:
        return ""
    # They ring for as long as the call's rule or the plan says, and no longer than each may.
    own = f":{names.OWN_TIMES}" if any(ring_s for _, ring_s in chosen) else ""
    return f"{LONGEST_RING_S}:{'&'.join(f'PJSIP/{username}' for username, _ in chosen)}{own}"


def own_times(number: Arrival, devices: list[WantedDevice]) -> dict[str, str]:
    """For how long devices ring that do so at once, where that is their own: key -> seconds. Pure."""
    if number.ringing.in_turn:
        return {}
    timed = [(username, ring_s) for username, ring_s in _ringing(number, devices) if ring_s]
    return {f"{names.OWN_TIME_KEYS}/{username}": str(ring_s) for username, ring_s in timed}


def _ringing(number: Arrival, devices: list[WantedDevice]) -> list[tuple[str, int | None]]:
    """User names of who rings, each with its own time."""
    of_account = {one.id: one.username for one in devices if one.account_id == number.account_id}
    if not number.ringing.devices:
        return [(username, None) for username in of_account.values()]
    return [(of_account[one], ring_s) for one, ring_s in number.ringing.devices if one in of_account]


def _rings_before_message(number: Arrival, listed: Listed | None) -> str:
    """For how many seconds, as the dialplan reads it; empty where no message follows the ringing."""
    decision = decide(replace(number, listed=listed))
    return f"{decision.ring_s:02d}" if decision.action is Action.RING_THEN_MESSAGE else ""


def as_they_call(devices: list[WantedDevice]) -> tuple[dict[str, str], dict[str, str]]:
    """What the dialplan must know of devices as they call: of each itself, and of whom it may call. Pure."""
    callers: dict[str, str] = {}
    internal: dict[str, str] = {}
    for device in devices:
        values = {names.KEY_ACCOUNT: device.account_id, names.KEY_NUMBER: device.own_number or ""}
        callers |= {f"{device.username}/{key}": value for key, value in values.items() if value}
        internal.setdefault(f"{device.account_id}/{device.username}", device.username)
        if device.short_number:
            # It comes before another device's user name.
            internal[f"{device.account_id}/{device.short_number}"] = device.username
    return callers, internal


def whitelisted(number: Arrival, entries: list[tuple[EntryKind, str]]) -> dict[str, str]:
    """Whom the dialplan lets through to a number: `<E.164>/<caller>` -> "1". Pure."""
    return {f"{number.e164}/{_caller_key(kind, value)}": "1" for kind, value in entries}


def blocked(entries: list[WantedBlock]) -> dict[str, str]:
    """Whom the dialplan does not put through: `<E.164 or account>/<caller>` -> treatment. Pure."""
    return {f"{one.owner}/{_caller_key(one.kind, one.value)}": one.treatment.value for one in entries}


def _caller_key(kind: EntryKind, value: str) -> str:
    match kind:
        case EntryKind.NUMBER:
            return value
        case EntryKind.PREFIX:
            return f"{value}*"
        case _:
            return kind.value


def recorded(number: WantedRecording, sound: Sound) -> dict[str, str]:
    """What the dialplan must know of a number's recording: `<E.164>/<key>` -> value. Pure."""
    values = {
        names.KEY_OPTION: "on",
        names.KEY_INBOUND: "on" if number.inbound else "",
        names.KEY_OUTBOUND: "on" if number.outbound else "",
        names.KEY_PROMPT: number.prompt_id or "",
        names.KEY_ANNOUNCEMENT: str(sound(number.prompt)) if number.prompt else "",
    }
    return {f"{number.e164}/{key}": value for key, value in values.items() if value}


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
        if await self._database.reading(asterisk_revision) == self._told and not due:
            return
        async with self._database.session() as session:
            wanted = await wanted_of_asterisk(session)
        if self._told is None:
            # What was to be shown of calls that have ended since.
            await self._tell(names.SHOWN_FAMILY, {})
        await self._tell_numbers(wanted)
        await self._tell_whitelists(wanted)
        await self._tell(names.BLOCK_FAMILY, blocked(wanted.blocks))
        await self._tell_recordings(wanted)
        await self._tell_devices(wanted)
        callers, internal = as_they_call(wanted.devices)
        await self._tell(names.CALLER_FAMILY, callers)
        await self._tell(names.INTERNAL_FAMILY, internal)
        await self._tell_trunks(wanted)
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

    async def _tell_recordings(self, wanted: Wanted) -> None:
        target: dict[str, str] = {}
        for number in wanted.recordings:
            target |= recorded(number, self._sound)
        await self._tell(names.RECORD_FAMILY, target)

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
            before = told.get(device.username, "")
            if device in self._marks and self._marks[device] == before:
                continue
            # Opening a password takes a moment; with thousands of devices, calls come between.
            await asyncio.sleep(0)
            password = self._opened(device.sealed_password)
            if password is not None:
                objects = device_objects(self._settings, device, password)
                self._marks[device] = await self._tell_one(DEVICE_FAMILY, device.username, objects, before)
        for username in told.keys() - {device.username for device in wanted.devices}:
            await self._ami.forget_contacts(username)
            await self._take_away(DEVICE_FAMILY, username)

    async def _tell_trunks(self, wanted: Wanted) -> None:
        told = await self._ami.read_family(TRUNK_OBJECTS_FAMILY)
        for trunk in wanted.trunks:
            sealed, name = trunk.sealed_password, endpoint_of(trunk)
            password = self._opened(sealed) if sealed is not None else None
            if (sealed is None) == (password is None):
                objects = trunk_objects(self._settings, trunk, password)
                before = told.get(name, "")
                marks = await self._tell_one(TRUNK_OBJECTS_FAMILY, name, objects, before)
                if trunk.registers and before not in {"", marks}:
                    # It may have been refused with what was wrong before, and would try again in a minute.
                    await self._ami.register_again(name)
        for name in told.keys() - {endpoint_of(trunk) for trunk in wanted.trunks}:
            await self._take_away(TRUNK_OBJECTS_FAMILY, name)
        # A trunk is dialled only once it is there.
        await self._tell(names.TRUNK_FAMILY, told_of_trunks(wanted.trunks))

    def _opened(self, sealed: str) -> str | None:
        try:
            return unseal(sealed, self._settings.secret_key)
        except SealBroken:
            log.error("a password of SIP cannot be read", extra={"action": "seal_broken"})
            return None

    async def _tell_one(self, family: str, name: str, objects: Objects, before: str) -> str:
        """Write what differs from what was told `before`: fingerprints by kind, as it gives them anew."""
        marks = [f"{kind}={self._fingerprint(fields)}" for kind, fields in objects]
        told = before.split()
        gone = {mark.partition("=")[0] for mark in told} - {kind for kind, _ in objects}
        for kind in KINDS:
            if kind in gone:
                await self._ari.delete_object(kind, name)
        for (kind, fields), mark in zip(objects, marks, strict=True):
            if mark not in told:
                await self._put_object(kind, name, fields)
        if told != marks:
            await self._ami.put(family, name, " ".join(marks))
        return " ".join(marks)

    async def _put_object(self, kind: str, name: str, fields: dict[str, str]) -> None:
        if kind == "aor":
            # Changed in place, it would take where the device is registered now for a contact of its own,
            # for good: a device that was logged out would go on ringing.
            await self._ari.delete_object(kind, name)
        await self._ari.put_object(kind, name, fields)

    async def _take_away(self, family: str, name: str) -> None:
        for kind in KINDS:
            await self._ari.delete_object(kind, name)
        await self._ami.remove(family, name)

    def _fingerprint(self, fields: dict[str, str]) -> str:
        text = json.dumps(fields, sort_keys=True).encode()
        return hmac.new(self._settings.secret_key.encode(), text, hashlib.sha256).hexdigest()[:32]
