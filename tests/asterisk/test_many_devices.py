"""Many registered devices outlive a restart of either side; the benchmark does the same with 2,000."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from bench.registrations import Known, Telephones, contacts, make_devices, restart
from store.database import open_database
from store.devices import delete_device
from store.models import Device, Registration
from tests.running_switch import RunningSwitch, eventually, until

pytestmark = pytest.mark.asterisk

COUNT = 60


@pytest.fixture
async def many(switch: RunningSwitch) -> AsyncIterator[list[Known]]:
    made = await make_devices(switch, COUNT)
    yield made
    database = open_database(switch.database_url, busy_timeout_s=20)
    usernames = [device.username for device in made]
    try:
        async with database.session() as session:
            for row in (await session.scalars(select(Device).where(Device.username.in_(usernames)))).all():
                await delete_device(session, row.account_id, row.id)
    finally:
        await database.close()
    gone = usernames[-1]
    until(lambda: gone not in switch.asterisk_says("database show device"), 60, "they are gone")


async def test_registrations_outlive_either_side(switch: RunningSwitch, many: list[Known]) -> None:
    before = contacts(switch)
    database = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with Telephones(switch.sip_port) as phones:
            await phones.register_all(many)
            assert contacts(switch) == before + COUNT
            for part in ("asterisk", "controller"):
                await asyncio.wait_for(restart(switch, part, many, phones), 60)
                assert contacts(switch) == before + COUNT

            async def listed() -> bool:
                ours = select(Registration.user_agent).where(Registration.user_agent.startswith("BenchPhone"))
                async with database.session() as session:
                    return len((await session.scalars(ours)).all()) == COUNT

            await eventually(listed, 30, "every registration is listed")
            # A new password for one, while the others stay as they are.
            assert await phones.register(Known(many[0].username, "wrong")) in {401, 403}
            for device in many:
                assert await phones.register(device, expires_s=0) == 200
            assert contacts(switch) == before
    finally:
        await database.close()
