"""Lamps as the store counts them, and the jobs that set them."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from store.database import Database
from store.jobs import finish, finish_waiting, release, take, waiting_like
from store.media import Media
from store.messages import delete_message
from store.models import Device, Job, JobState, Registration, VoiceMessage, now
from store.signals import SIGNAL_DEVICES, Lamp, devices_of_message, lamp_of_number, lamps, signal
from tests.furnishing import FIRST_CALL, Furnished, leave_message

pytestmark = pytest.mark.integration


async def states(database: Database) -> list[JobState]:
    async with database.session() as session:
        rows = select(Job.state).where(Job.kind == SIGNAL_DEVICES).order_by(Job.created_at)
        return list(await session.scalars(rows))


async def test_lamps_count_each_accounts_own(
    database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        for minute in range(3):
            at = FIRST_CALL + timedelta(minutes=minute)
            message = await leave_message(session, media, ours.account_id, ours.number_id, at)
        message.read_at = now()
    async with database.session() as session:
        assert await lamps(session) == {ours.account_id: Lamp(3, 1), theirs.account_id: Lamp(1, 0)}
        assert await lamp_of_number(session, ours.number_id) == (ours.account_id, Lamp(3, 1))
        assert await lamp_of_number(session, "gone") is None


async def test_a_message_is_shown_on_the_accounts_devices_that_are_logged_in(
    database: Database, ours: Furnished, theirs: Furnished
) -> None:
    async def shown_on() -> list[str]:
        return await database.reading(lambda c: devices_of_message(c, ours.message_id))

    assert await shown_on() == []
    at = {"since": now(), "seen_at": now(), "expires_at": now(), "read_at": now()}
    async with database.session() as session:
        for device_id, contacts in ((ours.device_id, 2), (theirs.device_id, 1)):
            for number in range(contacts):
                session.add(Registration(node="n", device_id=device_id, uri=f"sip:{number}", **at))
    async with database.session() as session:
        assert await shown_on() == [(await session.get_one(Device, ours.device_id)).username]
    assert await database.reading(lambda c: devices_of_message(c, "gone")) == []


async def test_an_account_without_messages_has_its_lamp_off(
    database: Database, media: Media, ours: Furnished
) -> None:
    async with database.session() as session:
        await delete_message(session, media, ours.account_id, ours.message_id, by="test")
    async with database.session() as session:
        assert await session.scalar(select(VoiceMessage)) is None
        assert await lamps(session) == {ours.account_id: Lamp(0, 0)}
    assert await states(database) == [JobState.WAITING]


async def test_one_job_does_what_waited_when_it_counted(database: Database, ours: Furnished) -> None:
    async def one_more() -> None:
        async with database.session() as session:
            await signal(session, ours.number_id)

    for _ in range(3):
        await one_more()
    (job,) = await take(database, (SIGNAL_DEVICES,), "w", 30, 1)
    async with database.session() as session:
        others = await waiting_like(session, job)
    await one_more()
    async with database.session() as session:
        await finish_waiting(session, others)
        await finish(session, job)
    assert await states(database) == [JobState.DONE] * 3 + [JobState.WAITING], "the last came after the count"


async def test_a_new_life_need_not_wait_for_its_old_leases(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        await signal(session, ours.number_id)
    (job,) = await take(database, (SIGNAL_DEVICES,), "test.pbx", 30, 1)
    await release(database, "another")
    assert await take(database, (SIGNAL_DEVICES,), "test.pbx", 30, 1) == []
    await release(database, "test.pbx")
    (again,) = await take(database, (SIGNAL_DEVICES,), "test.pbx", 30, 1)
    assert (again.id, again.attempts) == (job.id, 2)
