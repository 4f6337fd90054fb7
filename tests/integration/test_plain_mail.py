"""Mail that other parts write, through the notification process and a real mail server."""

import asyncio
import signal
import socket
import subprocess
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from store.database import Database
from store.mails import SEND_MAIL, WrittenMail, send_mail
from store.models import Job, JobState, now
from tests.doubles.mail import MailDouble
from tests.furnishing import Furnished
from tests.running_switch import eventually
from tests.service_process import running_service, service_environment

pytestmark = [
    pytest.mark.integration,
    # What depends on the database is tried with both where deliveries are.
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

LIMIT_S = 30.0
MAIL = WrittenMail(
    "keiri@asahi.example",
    "2026年11月分の請求書を発行しました",
    (("請求書番号", "202611-ABC"), ("ご請求金額(税込)", "28,306円")),
    "請求書は、お客様ページからダウンロードできます。",
)


class Scene:
    """Mails that are written, and the process that sends them."""

    def __init__(self, var: Path, database: Database, url: str, ours: Furnished) -> None:
        self.var, self.database, self.ours = var, database, ours
        self.environment = service_environment(var, url)

    async def write(self) -> str:
        """One mail; its id."""
        return await self.database.transaction(
            lambda connection: send_mail(connection, self.ours.account_id, MAIL)
        )

    async def jobs(self) -> list[Job]:
        async with self.database.session() as session:
            return list(await session.scalars(select(Job).where(Job.kind == SEND_MAIL)))

    async def until(self, state: JobState) -> Job:
        async def found() -> Job | None:
            (job,) = await self.jobs()
            return job if job.state is state else None

        job = await eventually(found, LIMIT_S, f"the mail is {state}")
        assert job is not None
        return job

    async def until_tried(self, times: int) -> Job:
        """So many tries are over, and another is to come."""

        async def tried() -> Job | None:
            (job,) = await self.jobs()
            return job if job.state is JobState.WAITING and job.attempts >= times else None

        job = await eventually(tried, LIMIT_S, f"{times} tries")
        assert job is not None
        return job

    async def next_try(self) -> None:
        async with self.database.session() as session:
            await session.execute(update(Job).values(run_at=now() - timedelta(seconds=1)))

    def running(self, server: str) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return running_service("notify", {**self.environment, "DENWABAN_SMTP_URL": server})


@pytest.fixture
def scene(tmp_path: Path, database: Database, database_url: str, ours: Furnished) -> Scene:
    return Scene(tmp_path, database, database_url, ours)


async def test_a_refusal_for_now_is_tried_again_and_one_for_good_is_not(scene: Scene) -> None:
    async with MailDouble() as server:
        server.answers["RCPT"] += ["450 4.2.0 greylisted"]
        server.answers["DATA"] += ["421 4.3.2 shutting down"]
        mail_id = await scene.write()
        with scene.running(server.url):
            for times in (1, 2):
                job = await scene.until_tried(times)
                assert (job.last_error or "").startswith("unavailable")
                assert server.accepted == []
                await scene.next_try()
            await scene.until(JobState.DONE)
        (sent,) = server.accepted
        assert sent.recipients == [MAIL.address]
        assert sent.message["Subject"] == MAIL.title
        assert str(sent.message["Message-ID"]).startswith(f"<{mail_id}@")
        text = sent.message.get_content()
        assert "28,306円" in text and MAIL.body in text

    async with scene.database.session() as session:
        await session.execute(update(Job).values(state=JobState.WAITING, run_at=now(), attempts=0))
    async with MailDouble() as server:
        server.answers["RCPT"] += ["550 5.1.1 no such user"]
        with scene.running(server.url):
            job = await scene.until(JobState.DEAD)
        assert "bad_destination" in (job.last_error or "")
        # Why, for the operator; not to whom.
        assert "550" in (job.last_error or "") and MAIL.address not in (job.last_error or "")
        assert server.accepted == []


async def test_a_server_that_is_away_is_waited_for(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        away = f"smtp://127.0.0.1:{nobody.getsockname()[1]}"
    await scene.write()
    with scene.running(away):
        await scene.until_tried(1)
    async with MailDouble() as server:
        await scene.next_try()
        with scene.running(server.url):
            await scene.until(JobState.DONE)
        assert len(server.accepted) == 1


async def test_killed_while_the_server_has_it_the_same_mail_follows(scene: Scene) -> None:
    """Nobody can know whether it was taken: it goes again, under the same Message-ID."""
    async with MailDouble() as server:
        server.silent_after_data = True
        await scene.write()
        with scene.running(server.url) as process:
            await eventually(lambda: taken(server, 1), LIMIT_S, "the server has it")
            process.send_signal(signal.SIGKILL)
        (job,) = await scene.jobs()
        assert job.state is JobState.RUNNING
        server.silent_after_data = False
        with scene.running(server.url):
            await scene.until(JobState.DONE)
        first, second = server.accepted
        assert first.message["Message-ID"] == second.message["Message-ID"]


async def test_an_orderly_stop_sees_the_end_of_what_is_out(scene: Scene) -> None:
    """The server takes its time to answer; the mail is not sent again."""
    async with MailDouble() as server:
        server.slow_after_data_s = 1.5
        await scene.write()
        with scene.running(server.url) as process:
            await eventually(lambda: taken(server, 1), LIMIT_S, "the server has it")
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        (job,) = await scene.jobs()
        assert job.state is JobState.DONE
        with scene.running(server.url):
            await asyncio.sleep(1)
        assert len(server.accepted) == 1


async def taken(server: MailDouble, count: int) -> bool:
    return len(server.accepted) >= count
