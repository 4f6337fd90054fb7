"""What Asterisk must know of the store: devices, and the settings of numbers for when we are away."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.arrivals import Arrival, every_number
from store.models import Device, EntryKind, WhitelistEntry
from store.recording_settings import WantedRecording, wanted_recordings
from store.revisions import current


@dataclass(frozen=True)
class WantedDevice:
    username: str
    account_id: str
    sealed_password: str


@dataclass(frozen=True)
class Wanted:
    """Everything Asterisk must know, as of `revision`, and until when it holds."""

    revision: int
    numbers: list[Arrival]
    devices: list[WantedDevice]
    whitelists: dict[str, list[tuple[EntryKind, str]]]
    """Kind and value of the entries of every whitelist that applies now."""
    recordings: list[WantedRecording]
    until: datetime | None


async def wanted_of_asterisk(session: AsyncSession) -> Wanted:
    revision = await current(session)
    rows = await session.execute(
        select(Device.username, Device.account_id, Device.sealed_password).order_by(Device.username)
    )
    devices = [WantedDevice(*row) for row in rows]
    moment = await every_number(session)
    whitelists = await _whitelists(session, moment.numbers)
    recordings = await wanted_recordings(session)
    return Wanted(revision, moment.numbers, devices, whitelists, recordings, moment.until)


async def _whitelists(
    session: AsyncSession, numbers: list[Arrival]
) -> dict[str, list[tuple[EntryKind, str]]]:
    active = {number.rule.whitelist_id for number in numbers if number.rule and number.rule.whitelist_id}
    found: dict[str, list[tuple[EntryKind, str]]] = {whitelist_id: [] for whitelist_id in active}
    entries = select(WhitelistEntry.whitelist_id, WhitelistEntry.kind, WhitelistEntry.value)
    for whitelist_id, kind, value in await session.execute(
        entries.where(WhitelistEntry.whitelist_id.in_(active))
    ):
        found[whitelist_id].append((kind, value))
    return found
