"""The notification process itself, killed in the middle of each step: nothing lost, nothing doubled."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from store.database import Database
from store.deliveries import REPORT_MESSAGE
from store.jobs import enqueue
from store.media import Media
from store.models import Delivery, DeliveryState, Job, JobState
from store.notification_services import LineFields, SlackFields
from store.notifications import add_service, create_rule
from store.rules import change_rule
from tests.doubles import line, slack
from tests.doubles.far_side import FarSide, StaySilent, TakeSilently, Trouble
from tests.doubles.line import LineDouble
from tests.doubles.slack import SlackDouble
from tests.furnishing import FIRST_CALL, SECRET_KEY, Furnished, leave_message
from tests.running_switch import eventually
from tests.service_process import running_service, service_environment

pytestmark = pytest.mark.integration

LIMIT_S = 30.0


class Scene:
    """An account whose messages go to one service, its far side, and the process."""

    def __init__(self, var: Path, database: Database, url: str, media: Media, ours: Furnished) -> None:
        self.var, self.database, self.media, self.ours = var, database, media, ours
        self.environment = service_environment(var, url)

    async def tell(self, fields: SlackFields | LineFields) -> None:
        """The rule that takes calls tells this service."""
        account_id = self.ours.account_id
        async with self.database.session() as session:
            rule = await create_rule(session, account_id, "営業部", [])
            await add_service(session, SECRET_KEY, account_id, rule.id, "電話", fields)
            await change_rule(session, account_id, self.ours.rule_id, notification_rule_id=rule.id)

    async def message(self, minute: int = 1) -> None:
        async with self.database.session() as session:
            at = FIRST_CALL + timedelta(minutes=minute)
            ours = self.ours
            message = await leave_message(session, self.media, ours.account_id, ours.number_id, at)
            message.rule_id = ours.rule_id
            enqueue(session, REPORT_MESSAGE, message.id, ours.account_id)

    async def sent(self, count: int = 1) -> list[Delivery]:
        """Wait for so many deliveries to be made."""

        async def look() -> list[Delivery]:
            async with self.database.session() as session:
                made = select(Delivery).where(Delivery.state == DeliveryState.SENT)
                found = list(await session.scalars(made))
            return found if len(found) >= count else []

        return await eventually(look, LIMIT_S, f"{count} deliveries")

    def running(self) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return running_service("notify", self.environment)


@pytest.fixture
async def scene(
    tmp_path: Path, database: Database, database_url: str, media: Media, ours: Furnished
) -> AsyncIterator[Scene]:
    yield Scene(tmp_path, database, database_url, media, ours)


async def killed_in_the_middle(scene: Scene, far: FarSide, trouble: Trouble, at: str) -> None:
    """Start, wait until the request at `at` is out and unanswered, kill -9, start again, wait for the end."""
    far.next(trouble, at=at)
    await scene.message()

    async def met() -> bool:
        taken = not isinstance(trouble, TakeSilently) or bool(far.accepted)
        return taken and any(at in path for path in far.requests)

    with scene.running() as process:
        await eventually(met, LIMIT_S, f"a request for {at}")
        process.send_signal(signal.SIGKILL)
    async with scene.database.session() as session:
        (job,) = await session.scalars(select(Job).where(Job.kind == "deliver"))
        assert job.state is JobState.RUNNING
    with scene.running():
        await scene.sent()


# What depends on the database is tried with both in `test_killed_again_and_again`.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
@pytest.mark.parametrize("at", ["chat.postMessage", "upload/v1", "completeUploadExternal"])
async def test_killed_before_the_far_side_took_it(scene: Scene, at: str) -> None:
    async with SlackDouble() as far:
        scene.environment["DENWABAN_SLACK_URL"] = far.base_url
        await scene.tell(SlackFields(token=slack.TOKEN, channel_id=slack.CHANNEL))
        await killed_in_the_middle(scene, far, StaySilent(), at)
        text, file = far.accepted
    assert "09012345678" in text["text"]
    assert file["thread_ts"] == text["ts"]
    assert file["content"][:4] == b"RIFF"


@on_sqlite
async def test_killed_after_a_far_side_that_knows_keys_took_it(scene: Scene) -> None:
    async with LineDouble() as far:
        scene.environment["DENWABAN_LINE_URL"] = far.url
        await scene.tell(LineFields(token=line.TOKEN, to=line.GROUP))
        await killed_in_the_middle(scene, far, TakeSilently(), "push")
    assert len(far.requests) == 2
    assert len(far.accepted) == 1, "the second came with the key of the first"


@on_sqlite
async def test_killed_after_a_far_side_without_keys_took_it(scene: Scene) -> None:
    """Nobody can know whether it arrived: it is said once more, and no step besides."""
    async with SlackDouble() as far:
        scene.environment["DENWABAN_SLACK_URL"] = far.base_url
        await scene.tell(SlackFields(token=slack.TOKEN, channel_id=slack.CHANNEL))
        await killed_in_the_middle(scene, far, TakeSilently(), "chat.postMessage")
    assert [("file" in taken) for taken in far.accepted] == [False, False, True]


async def test_killed_again_and_again(scene: Scene) -> None:
    """At any moment, fan-out included: each message arrives, once, for the far side knows keys."""
    async with LineDouble() as far:
        scene.environment["DENWABAN_LINE_URL"] = far.url
        await scene.tell(LineFields(token=line.TOKEN, to=line.GROUP))
        for minute in range(12):
            await scene.message(minute)
        for life_s in (0.9, 1.0, 1.1, 1.2):
            with scene.running() as process:
                await asyncio.sleep(life_s)
                process.kill()
        with scene.running():
            await scene.sent(12)
    times = [
        next(row for row in taken["texts"][0].splitlines() if "着信日時" in row) for taken in far.accepted
    ]
    assert [time[-8:] for time in times] == [f"09:{minute:02}:00" for minute in range(12)]


@on_sqlite
async def test_an_orderly_stop_sees_the_end_of_what_is_out(scene: Scene) -> None:
    async with SlackDouble() as far:
        scene.environment["DENWABAN_SLACK_URL"] = far.base_url
        await scene.tell(SlackFields(token=slack.TOKEN, channel_id=slack.CHANNEL))
        for minute in range(5):
            await scene.message(minute)
        with scene.running() as process:
            await eventually(lambda: _true(bool(far.accepted)), LIMIT_S, "the first text")
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        with scene.running():
            await scene.sent(5)
    assert sum("file" not in taken for taken in far.accepted) == 5, "no text twice"


async def _true(value: bool) -> bool:
    return value
