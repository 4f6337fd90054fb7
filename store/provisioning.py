"""What Asterisk must know of the store: devices, and the settings of numbers for when we are away."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.arrivals import Arrival, every_number
from store.models import Device
from store.revisions import current


@dataclass(frozen=True)
class WantedDevice:
    username: str
    account_id: str
    sealed_password: str


@dataclass(frozen=True)
class Wanted:
    """Everything Asterisk must know, as of `revision`."""

    revision: int
    numbers: list[Arrival]
    devices: list[WantedDevice]


async def wanted_of_asterisk(session: AsyncSession) -> Wanted:
    revision = await current(session)
    rows = await session.execute(
        select(Device.username, Device.account_id, Device.sealed_password).order_by(Device.username)
    )
    return Wanted(revision, await every_number(session), [WantedDevice(*row) for row in rows])
