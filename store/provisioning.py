"""What Asterisk must know of the store: devices, and the settings of numbers for when we are away."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.arrivals import Arrival, every_number
from store.calling import OwnNumber, usual_number
from store.models import (
    BlockedCaller,
    Device,
    DeviceCalling,
    EntryKind,
    NumberUse,
    PhoneNumber,
    Treatment,
    Trunk,
    WhitelistEntry,
)
from store.recording_settings import WantedRecording, wanted_recordings
from store.revisions import current
from store.trunks import in_order


@dataclass(frozen=True)
class WantedDevice:
    username: str
    account_id: str
    sealed_password: str
    id: str = ""
    name: str = ""
    short_number: str | None = None
    own_number: str | None = None
    """What it shows of itself outside, unless it chooses another number."""

    @property
    def shown_as(self) -> str:
        return self.short_number or self.username


@dataclass(frozen=True)
class WantedBlock:
    """An entry of the block list; `owner` is the number it is for in E.164, or the account."""

    owner: str
    kind: EntryKind
    value: str
    treatment: Treatment


@dataclass(frozen=True)
class Wanted:
    """Everything Asterisk must know, as of `revision`, and until when it holds."""

    revision: int
    numbers: list[Arrival]
    devices: list[WantedDevice]
    whitelists: dict[str, list[tuple[EntryKind, str]]]
    """Kind and value of the entries of every whitelist that applies now."""
    until: datetime | None
    trunks: list[Trunk] = field(default_factory=list)
    """Those in use, in the order in which they are tried."""

    recordings: list[WantedRecording] = field(default_factory=list)
    blocks: list[WantedBlock] = field(default_factory=list)


async def wanted_of_asterisk(session: AsyncSession) -> Wanted:
    revision = await current(session)
    devices = await _devices(session)
    moment = await every_number(session)
    trunks = in_order((await session.scalars(select(Trunk))).all())
    whitelists = await _whitelists(session, moment.numbers)
    recordings = await wanted_recordings(session)
    blocks = await _blocks(session)
    return Wanted(revision, moment.numbers, devices, whitelists, moment.until, trunks, recordings, blocks)


async def _devices(session: AsyncSession) -> list[WantedDevice]:
    numbers: dict[str, list[OwnNumber]] = {}
    uses: dict[str, list[NumberUse]] = {}
    every = select(PhoneNumber).order_by(PhoneNumber.created_at, PhoneNumber.id)
    for number in await session.scalars(every):
        numbers.setdefault(number.account_id, []).append(OwnNumber(number.id, number.e164, number.line))
        uses.setdefault(number.account_id, []).append(number.use)
    rows = await session.execute(
        select(Device, DeviceCalling)
        .outerjoin(DeviceCalling, DeviceCalling.device_id == Device.id)
        .order_by(Device.username)
    )
    devices = []
    for device, calling in rows:
        of_account = numbers.get(device.account_id, [])
        chosen = calling.default_number_id if calling else None
        own = usual_number(of_account, uses.get(device.account_id, []), chosen)
        devices.append(
            WantedDevice(
                username=device.username,
                account_id=device.account_id,
                sealed_password=device.sealed_password,
                id=device.id,
                name=device.name,
                short_number=calling.short_number if calling else None,
                own_number=own.e164 if own else None,
            )
        )
    return devices


async def _blocks(session: AsyncSession) -> list[WantedBlock]:
    rows = select(BlockedCaller, PhoneNumber.e164).outerjoin(
        PhoneNumber, PhoneNumber.id == BlockedCaller.number_id
    )
    return [
        WantedBlock(e164 or entry.account_id, entry.kind, entry.value, entry.treatment)
        for entry, e164 in await session.execute(rows)
    ]


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
