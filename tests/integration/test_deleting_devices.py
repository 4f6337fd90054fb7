"""A device that is taken away takes along what refers to it, wherever that is."""

from collections.abc import Callable

import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.database import Database
from store.devices import create_device, delete_device
from store.errors import InUse
from store.models import (
    Base,
    Call,
    Device,
    DeviceCalling,
    DevicePhonebook,
    FaxAccess,
    PhonebookLink,
    ProvisioningLink,
    Registration,
    Role,
    User,
    UserDevice,
    now,
)
from store.ringing import Plan, get_plan, set_plan
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

REFERRING: dict[str, Callable[[Furnished, str], Base]] = {
    "device_calling": lambda ours, device: DeviceCalling(device_id=device, account_id=ours.account_id),
    "device_phonebooks": lambda _, device: DevicePhonebook(device_id=device),
    "fax_access": lambda ours, device: FaxAccess(number_id=ours.number_id, device_id=device),
    "phonebook_links": lambda ours, device: PhonebookLink(
        digest=device, device_id=device, account_id=ours.account_id, expires_at=now()
    ),
    "provisioning_links": lambda _, device: ProvisioningLink(
        device_id=device, digest=device, expires_at=now()
    ),
    "registrations": lambda _, device: Registration(
        node="n", device_id=device, uri="sip:x", since=now(), seen_at=now(), expires_at=now(), read_at=now()
    ),
    "user_devices": lambda ours, device: UserDevice(user_id=f"user-{ours.account_id}"[:32], device_id=device),
}
"""A row of each table that refers to devices, beside the records of calls."""


def referring() -> dict[str, Table]:
    return {
        key.parent.table.name: key.parent.table
        for table in Base.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table.name == "devices"
    }


async def furnish_device(session: AsyncSession, ours: Furnished) -> str:
    """A device to which every table refers."""
    device, _ = await create_device(session, SECRET_KEY, ours.account_id)
    user_id = f"user-{ours.account_id}"[:32]
    if await session.get(User, user_id) is None:
        fields = {"login": user_id, "password_hash": "x"}
        session.add(User(id=user_id, account_id=ours.account_id, role=Role.MEMBER, **fields))
        await session.flush()
    session.add_all(make(ours, device.id) for make in REFERRING.values())
    (await session.get_one(Call, ours.call_id)).device_id = device.id
    await session.flush()
    return device.id


async def test_all_that_refers_to_it_goes_with_it(database: Database, ours: Furnished) -> None:
    tables = referring()
    assert tables.keys() == {*REFERRING, "calls"}, "a new table wants a row here, and a thought in the store"
    async with database.session() as session:
        kept = await furnish_device(session, ours)
        gone = await furnish_device(session, ours)
        plan = Plan(in_turn=True, devices=((gone, 10), (kept, 20)))
        await set_plan(session, ours.account_id, ours.number_id, plan)
    async with database.session() as session:
        await delete_device(session, ours.account_id, gone)
    async with database.session() as session:
        assert await session.get(Device, gone) is None
        for name, table in tables.items():
            rows = select(func.count()).select_from(table).where(table.c.device_id == gone)
            assert await session.scalar(rows) == 0, name
        for name in REFERRING:
            rows = select(func.count()).select_from(tables[name])
            assert await session.scalar(rows.where(tables[name].c.device_id == kept)) == 1, name
        assert (await get_plan(session, ours.account_id, ours.number_id)).devices == ((kept, 20),)
        assert await session.get(Call, ours.call_id) is not None


@pytest.mark.parametrize("chosen", ["fax", "ring plan"])
async def test_the_only_one_chosen_is_in_use(
    admin: Client, database: Database, ours: Furnished, chosen: str
) -> None:
    """Or, with none chosen, all devices could use the number's faxes, or would ring."""
    async with database.session() as session:
        await create_device(session, SECRET_KEY, ours.account_id)
        if chosen == "fax":
            session.add(FaxAccess(number_id=ours.number_id, device_id=ours.device_id))
        else:
            plan = Plan(devices=((ours.device_id, 20),))
            await set_plan(session, ours.account_id, ours.number_id, plan)
    refused = await admin("DELETE", f"/api/v1/devices/{ours.device_id}")
    assert (refused.status, refused.body["code"]) == (409, "in_use")
    (use,) = refused.body["used_by"]
    assert (use["kind"], use["id"]) == ("number", ours.number_id)
    async with database.session() as session:
        with pytest.raises(InUse):
            await delete_device(session, ours.account_id, ours.device_id)
