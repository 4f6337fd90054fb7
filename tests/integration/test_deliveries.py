"""Reporting and delivering with a programmed service, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from notify.deliver import deliver
from notify.parts import Parts
from notify.report import report_message
from notify.service import (
    BadCredential,
    BadDestination,
    BadPayload,
    Failure,
    Notice,
    QuotaGone,
    Step,
    Throttled,
    Unanswered,
    Unavailable,
)
from notify.verdicts import next_month
from settings import NotificationSettings
from store.database import Database
from store.deliveries import DELIVER, REPORT_MESSAGE, resend, send_soon, to_service
from store.jobs import LeaseLost, TakenJob, enqueue, hasten, take
from store.media import Media
from store.message_reports import NO_SPEECH, NO_TEXT, NO_TEXT_YET, UNSURE
from store.messages import delete_message
from store.models import (
    Delivery,
    DeliveryPurpose,
    DeliveryState,
    Job,
    JobState,
    JournalEntry,
    NotificationRule,
    NotificationService,
    Transcript,
    TranscriptState,
    VoiceMessage,
    now,
)
from store.notification_services import Fields, MailFields, SlackFields
from store.notifications import add_service, change_service, create_rule, delete_service, get_rule
from store.rules import change_rule
from store.signals import TEXT_DEVICES
from store.worker import Later, Worker
from tests.furnishing import FIRST_CALL, SECRET_KEY, Furnished, leave_message, wav
from tests.running_switch import eventually

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0
TOKEN = "xoxb-123456789012-abcdefghijkl"


@dataclass
class Room:
    """A room of a chat: fails as it is told, then takes what it is given."""

    failures: list[Exception] = field(default_factory=list)
    knows_repeats: bool = False
    tries: list[tuple[Step, str]] = field(default_factory=list)
    taken: list[tuple[Step, Notice, str, dict[str, str]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    hold: asyncio.Event | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Programmed:
    """A service that goes to a room."""

    room: Room
    name: str

    @property
    def lane(self) -> str:
        return f"test:{self.name}"

    @property
    def knows_repeats(self) -> bool:
        return self.room.knows_repeats

    def steps(self, notice: Notice) -> tuple[Step, ...]:
        return ("text", "file") if notice.attachment else ("text",)

    async def send(self, step: Step, notice: Notice, key: str, earlier: dict[str, str]) -> str:
        self.room.tries.append((step, key))
        self.room.tried.set()
        self.room.at_once += 1
        self.room.most_at_once = max(self.room.most_at_once, self.room.at_once)
        try:
            if self.room.hold is not None:
                await self.room.hold.wait()
            await asyncio.sleep(0)
            if self.room.failures:
                raise self.room.failures.pop(0)
        finally:
            self.room.at_once -= 1
        self.room.taken.append((step, notice, key, earlier))
        return f"{step}-{len(self.room.taken)}"


@dataclass
class Office:
    """An account with a notification rule that its 留守レポ rule has chosen, and the worker's parts."""

    parts: Parts
    ours: Furnished
    media: Media
    rule_id: str
    rooms: dict[str, Room]

    @property
    def database(self) -> Database:
        return self.parts.database

    def room(self, name: str) -> Room:
        return self.rooms.setdefault(name, Room())

    async def add(self, name: str) -> str:
        async with self.database.session() as session:
            fields = SlackFields(token=TOKEN, channel_id=name)
            service = await add_service(
                session, SECRET_KEY, self.ours.account_id, self.rule_id, f"部屋{name}", fields
            )
            return service.id

    async def message(self, minute: int = 1) -> str:
        """A message that the rule took, and the job that reports it."""
        async with self.database.session() as session:
            at = FIRST_CALL + timedelta(minutes=minute)
            message = await leave_message(session, self.media, self.ours.account_id, self.ours.number_id, at)
            message.rule_id = self.ours.rule_id
            enqueue(session, REPORT_MESSAGE, message.id, self.ours.account_id)
            return message.id

    async def deliveries(self, **having: Any) -> list[Delivery]:
        async with self.database.session() as session:
            rows = select(Delivery).filter_by(**having).order_by(Delivery.created_at)
            return list(await session.scalars(rows))

    async def jobs(self, kind: str) -> list[Job]:
        async with self.database.session() as session:
            return list(await session.scalars(select(Job).where(Job.kind == kind).order_by(Job.created_at)))

    async def service(self, service_id: str) -> NotificationService:
        async with self.database.session() as session:
            return await session.get_one(NotificationService, service_id)

    async def take_one(self, kind: str) -> TakenJob:
        """Take a job by hand, however long it is to wait."""
        async with self.database.session() as session:
            await session.execute(update(Job).where(Job.kind == kind).values(run_at=now()))
        (job,) = await take(self.database, (kind,), "by hand", 30, 1)
        return job

    async def delivery_of_one_message(self) -> TakenJob:
        """A message to the one service, reported; the job to deliver it."""
        await self.message()
        await report_message(self.parts, await self.take_one(REPORT_MESSAGE))
        return await self.take_one(DELIVER)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        handlers = {
            REPORT_MESSAGE: partial(report_message, self.parts),
            DELIVER: partial(deliver, self.parts),
        }
        task = asyncio.create_task(Worker(self.database, "tested", handlers, at_once=16).run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await asyncio.gather(*self.parts.sending, return_exceptions=True)

    async def until(self, state: DeliveryState, count: int, **having: Any) -> list[Delivery]:
        async def enough() -> list[Delivery]:
            found = await self.deliveries(state=state, **having)
            return found if len(found) >= count else []

        return await eventually(enough, DEADLINE_S, f"{count} {state.value}")


def room_of(fields: Fields) -> str:
    match fields:
        case SlackFields():
            return fields.channel_id
        case MailFields():
            return fields.address
        case _:
            raise AssertionError(fields)


@pytest.fixture
async def office(database: Database, media: Media, ours: Furnished, tmp_path: Any) -> Office:
    async with database.session() as session:
        rule = await create_rule(session, ours.account_id, "営業部", [])
        await change_rule(session, ours.account_id, ours.rule_id, notification_rule_id=rule.id)
    rooms: dict[str, Room] = {}
    (tmp_path / "tone.wav").write_bytes(wav(0.2))
    parts = Parts(
        database=database,
        media=media,
        build=lambda fields: Programmed(rooms.setdefault(room_of(fields), Room()), room_of(fields)),
        secret_key=SECRET_KEY,
        allowed=NotificationSettings(),
        portal_url="https://portal.example.jp",
        test_sound=tmp_path / "tone.wav",
    )
    return Office(parts, ours, media, rule.id, rooms)


async def mail_to(office: Office, *addresses: str) -> None:
    async with office.database.session() as session:
        rule = await get_rule(session, office.ours.account_id, office.rule_id)
        rule.mail_addresses = list(addresses)


# ---- fan-out -------------------------------------------------------------------------------------


async def test_everybody_is_told_once(office: Office) -> None:
    await office.add("C01")
    await office.add("C02")
    await mail_to(office, "info@example.jp")
    message_id = await office.message()
    async with office.working():
        sent = await office.until(DeliveryState.SENT, 3)
    assert {(one.kind, one.label) for one in sent} == {
        ("slack", "部屋C01"),
        ("slack", "部屋C02"),
        ("mail", "info@example.jp"),
    }
    assert {(one.message_id, one.number_id) for one in sent} == {(message_id, office.ours.number_id)}
    (text, notice, _, _), (file, _, _, earlier) = office.room("C01").taken
    assert (text, file, earlier) == ("text", "file", {"text": "text-1"})
    assert dict(notice.facts) == {
        "発信者": "09012345678",
        "着信番号": "0312345678",
        "着信日時": "2026/11/23 09:01:00",
        "録音時間": "2秒",
    }
    assert (notice.body, notice.link) == (
        "(文字起こし待ち)",
        f"https://portal.example.jp/messages/{message_id}",
    )
    assert notice.attachment is not None
    assert notice.attachment.file_name == "rusurepo_20261123_090100.wav"
    assert notice.attachment.content == wav(2.0, b"\x05\x06")
    async with office.database.session() as session:
        call_id = (await session.get_one(VoiceMessage, message_id)).call_id
        events = await session.scalars(select(JournalEntry.event).where(JournalEntry.call_id == call_id))
        assert sorted(events)[-4:] == ["notified", "notified", "notified", "reported"]
    assert [job.subject_id for job in await office.jobs(TEXT_DEVICES)] == [message_id]


@pytest.mark.parametrize(
    ("columns", "body"),
    [
        ({"state": TranscriptState.DONE, "text": "折り返しを", "confidence": 0.9}, "折り返しを"),
        ({"state": TranscriptState.DONE, "text": "はい", "confidence": 0.2}, f"はい\n{UNSURE}"),
        (
            {"state": TranscriptState.DONE, "text": "はい", "confidence": 0.2, "corrected_text": "いいえ"},
            "いいえ",
        ),
        ({"state": TranscriptState.EMPTY}, NO_SPEECH),
        ({"state": TranscriptState.FAILED}, NO_TEXT),
        ({"state": TranscriptState.WAITING}, NO_TEXT_YET),
    ],
)
async def test_what_was_said_is_told(office: Office, columns: dict[str, Any], body: str) -> None:
    await office.add("C01")
    message_id = await office.message()
    async with office.database.session() as session:
        session.add(Transcript(message_id=message_id, **columns))
    await report_message(office.parts, await office.take_one(REPORT_MESSAGE))
    await deliver(office.parts, await office.take_one(DELIVER))
    assert office.room("C01").taken[0][1].body == body


async def test_without_a_notification_rule_only_devices_are_told(office: Office) -> None:
    await office.add("C01")
    async with office.database.session() as session:
        await change_rule(session, office.ours.account_id, office.ours.rule_id, notification_rule_id=None)
    await office.message()
    await report_message(office.parts, await office.take_one(REPORT_MESSAGE))
    assert await office.deliveries() == []
    assert len(await office.jobs(TEXT_DEVICES)) == 1


async def test_a_fan_out_that_lost_its_lease_leaves_nothing(office: Office) -> None:
    await office.add("C01")
    await office.message()
    slow = await office.take_one(REPORT_MESSAGE)
    async with office.database.session() as session:
        await session.execute(update(Job).where(Job.id == slow.id).values(leased_by="another"))
    with pytest.raises(LeaseLost):
        await report_message(office.parts, slow)
    assert (await office.deliveries(), await office.jobs(DELIVER), await office.jobs(TEXT_DEVICES)) == (
        [],
        [],
        [],
    )


async def test_a_message_that_is_gone_is_reported_to_nobody(office: Office) -> None:
    await office.add("C01")
    first, second = await office.message(1), await office.message(2)
    async with office.database.session() as session:
        await delete_message(session, office.media, office.ours.account_id, first, by="test")
    job = await office.take_one(REPORT_MESSAGE)
    assert job.subject_id == first
    await report_message(office.parts, job)
    assert await office.deliveries() == []
    await report_message(office.parts, await office.take_one(REPORT_MESSAGE))
    async with office.database.session() as session:
        await delete_message(session, office.media, office.ours.account_id, second, by="test")
    async with office.working():
        (failed,) = await office.until(DeliveryState.FAILED, 1)
    assert failed.reason_code == "message_gone"
    assert office.room("C01").tries == []


# ---- order and lanes -----------------------------------------------------------------------------


async def test_each_destination_gets_its_messages_in_order_and_a_dead_one_blocks_nobody(
    office: Office,
) -> None:
    await office.add("C01")
    await office.add("C02")
    office.room("C02").failures = [Unavailable("障害") for _ in range(50)]
    for minute in range(1, 6):
        await office.message(minute)
    async with office.working():
        await office.until(DeliveryState.SENT, 5)
    living, dead = office.room("C01"), office.room("C02")
    times = [dict(notice.facts)["着信日時"] for step, notice, _, _ in living.taken if step == "text"]
    assert times == [f"2026/11/23 09:0{minute}:00" for minute in range(1, 6)]
    assert living.most_at_once == 1
    assert dead.tries
    assert {key for _, key in dead.tries} == {dead.tries[0][1]}, "only the first is tried"


# ---- failures ------------------------------------------------------------------------------------


async def failed_try(office: Office, job: TakenJob) -> Later:
    with pytest.raises(Later) as later:
        await deliver(office.parts, job)
    return later.value


class _OfFiles(list[Exception]):
    """Failures of the file step alone."""

    def __init__(self, failures: list[Exception], room: Room) -> None:
        super().__init__(failures)
        self._room = room

    def __bool__(self) -> bool:
        return self._room.tries[-1][0] == "file" and len(self) > 0


async def test_a_step_that_was_done_is_not_repeated(office: Office) -> None:
    await office.add("C01")
    room = office.room("C01")
    job = await office.delivery_of_one_message()
    room.failures = _OfFiles([Unavailable("障害")], room)
    later = await failed_try(office, job)
    assert ([step for step, _ in room.tries], later.counts) == (["text", "file"], True)
    (waiting,) = await office.deliveries()
    assert (waiting.state, waiting.reason_code) == (DeliveryState.WAITING, "unavailable")
    await deliver(office.parts, job)
    assert [step for step, _ in room.tries] == ["text", "file", "file"]
    assert room.tries[1][1] == room.tries[2][1], "the same key when it is tried again"
    (sent,) = await office.deliveries()
    assert (sent.state, sent.reason, sent.attempts) == (DeliveryState.SENT, None, 3)


async def test_an_hour_of_trouble_ends_in_delivery(office: Office) -> None:
    """As time goes by, told by the job's age and its own waits."""
    await office.add("C01")
    room = office.room("C01")
    room.failures = [Unavailable("500") for _ in range(1000)]
    job = await office.delivery_of_one_message()
    passed_s, tries = 0.0, 0
    while passed_s < 3600:
        tries += 1
        later = await _try_as_of(office, job, passed_s, tries)
        assert later.after_s <= 300
        passed_s += later.after_s
    assert tries < 30
    room.failures = []
    await deliver(office.parts, replace(job, attempts=tries))
    assert [step for step, *_ in room.taken] == ["text", "file"]


async def _try_as_of(office: Office, job: TakenJob, passed_s: float, tries: int) -> Later:
    """The job after so many seconds and tries."""
    begun = now() - timedelta(seconds=passed_s)
    async with office.database.session() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(attempts=tries))
    return await failed_try(office, replace(job, attempts=tries, created_at=begun))


async def test_after_a_day_it_is_given_up(office: Office) -> None:
    service_id = await office.add("C01")
    office.room("C01").failures = [Unavailable("500")]
    job = await office.delivery_of_one_message()
    await deliver(office.parts, replace(job, created_at=now() - timedelta(hours=25)))
    (failed,) = await office.deliveries()
    assert (failed.state, failed.reason_code, failed.reason) == (DeliveryState.FAILED, "unavailable", "500")
    assert not (await office.service(service_id)).is_broken(now()), "it may be there again tomorrow"


async def test_a_throttle_uses_up_no_attempt(office: Office) -> None:
    await office.add("C01")
    office.room("C01").failures = [Throttled("429", 7.0), Throttled("429"), Throttled("429", 1e9)]
    job = await office.delivery_of_one_message()
    waits = [await failed_try(office, job) for _ in range(3)]
    assert [(later.after_s, later.counts) for later in waits] == [
        (7.0, False),
        (30.0, False),
        (3600.0, False),
    ]
    assert (await office.deliveries())[0].reason_code == "throttled"


@pytest.mark.parametrize(("knows_repeats", "tries"), [(False, 3), (True, 8)])
async def test_what_may_have_arrived_is_repeated_freely_only_under_a_key(
    office: Office, knows_repeats: bool, tries: int
) -> None:
    await office.add("C01")
    room = office.room("C01")
    room.knows_repeats = knows_repeats
    room.failures = [Unanswered("応答なし") for _ in range(7)]
    job = await office.delivery_of_one_message()
    while (await office.deliveries())[0].state is DeliveryState.WAITING:
        with suppress(Later):
            await deliver(office.parts, job)
    steps = [one for one in room.tries if one[0] == "text"]
    assert (len(steps), len({key for _, key in steps})) == (tries, 1)
    (ended,) = await office.deliveries()
    assert ended.state is (DeliveryState.SENT if knows_repeats else DeliveryState.FAILED)


async def test_a_mistake_of_ours_counts_as_unanswered(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.add("C01")
    office.room("C01").failures = [RuntimeError("secret words") for _ in range(3)]
    job = await office.delivery_of_one_message()
    for _ in range(2):
        await failed_try(office, job)
    await deliver(office.parts, job)
    (failed,) = await office.deliveries()
    assert (failed.state, failed.reason_code) == (DeliveryState.FAILED, "unanswered")
    assert "secret words" not in caplog.text


@pytest.mark.parametrize(
    ("failure", "code", "broken"),
    [
        (BadCredential("トークンが使えません。"), "bad_credential", True),
        (BadDestination("部屋がありません。"), "bad_destination", True),
        (QuotaGone("今月の上限です。"), "quota_gone", True),
        (BadPayload("長すぎます。"), "bad_payload", False),
    ],
)
async def test_what_will_never_work_breaks_the_service_once(
    office: Office, failure: Failure, code: str, broken: bool
) -> None:
    service_id = await office.add("C01")
    await mail_to(office, "info@example.jp")
    room, mailbox = office.room("C01"), office.room("info@example.jp")
    room.failures = [failure]
    for minute in range(1, 4):
        await office.message(minute)
    async with office.working():
        await office.until(DeliveryState.FAILED, 3 if broken else 1, kind="slack")
        await office.until(DeliveryState.SENT, 3 + broken, kind="mail")
    codes = [one.reason_code for one in await office.deliveries(kind="slack")]
    service = await office.service(service_id)
    assert service.is_broken(now()) is broken
    warnings = [notice for _, notice, _, _ in mailbox.taken if "送信できません" in notice.title]
    if broken:
        assert (codes, len(room.tries)) == ([code, "service_broken", "service_broken"], 1)
        (warning,) = warnings
        assert failure.reason in warning.body
        assert dict(warning.facts)["通知サービス"] == "Slack(部屋C01)"
        assert (service.broken_code, service.broken_reason) == (code, failure.reason)
        assert service.broken_until == (next_month(now()) if code == "quota_gone" else None)
    else:
        assert (codes, warnings) == ([code, None, None], [])
    dead = [job for job in await office.jobs(DELIVER) if job.state is JobState.DEAD]
    assert len(dead) == (3 if broken else 1)
    assert all(job.last_error for job in dead)


async def test_an_edit_meanwhile_is_not_broken_by_the_old_settings(office: Office) -> None:
    service_id = await office.add("C01")
    room = office.room("C01")
    room.failures, room.hold = [BadCredential("古いトークン")], asyncio.Event()
    job = await office.delivery_of_one_message()
    sending = asyncio.create_task(deliver(office.parts, job))
    await room.tried.wait()
    async with office.database.session() as session:
        row = await session.get_one(NotificationService, service_id)
        await change_service(session, SECRET_KEY, row, "", SlackFields(token=TOKEN, channel_id="C03"))
    room.hold.set()
    await sending
    assert not (await office.service(service_id)).is_broken(now())


async def test_a_test_that_succeeds_mends_the_service(office: Office) -> None:
    service_id = await office.add("C01")
    room = office.room("C01")

    async def send_test() -> Delivery:
        async with office.database.session() as session:
            rule = await get_rule(session, office.ours.account_id, office.rule_id)
            delivery = to_service(rule, rule.services[0], DeliveryPurpose.TEST)
            await send_soon(session, delivery)
        await deliver(office.parts, await office.take_one(DELIVER))
        return (await office.deliveries(id=delivery.id))[0]

    room.failures = [BadCredential("だめ")]
    assert (await send_test()).reason_code == "bad_credential"
    assert (await office.service(service_id)).is_broken(now())
    room.failures = [Unavailable("障害")]
    assert (await send_test()).state is DeliveryState.FAILED, "a person waits for it"
    assert (await office.service(service_id)).is_broken(now())
    sent = await send_test()
    assert (sent.state, list(sent.steps)) == (DeliveryState.SENT, ["text", "file"])
    assert not (await office.service(service_id)).is_broken(now())


async def test_what_failed_is_sent_again_from_where_it_failed(office: Office) -> None:
    service_id = await office.add("C01")
    room = office.room("C01")
    room.failures = [BadCredential("だめ")]
    await deliver(office.parts, await office.delivery_of_one_message())
    (failed,) = await office.deliveries()
    async with office.database.session() as session:
        row = await session.get_one(NotificationService, service_id)
        await change_service(session, SECRET_KEY, row, "", SlackFields(token=TOKEN, channel_id="C01"))
        await resend(session, office.ours.account_id, failed.id)
    await deliver(office.parts, await office.take_one(DELIVER))
    (sent,) = await office.deliveries()
    assert (sent.state, sent.reason) == (DeliveryState.SENT, None)
    assert [step for step, *_ in room.taken] == ["text", "file"]
    assert room.tries[0][1] == room.tries[1][1]


async def test_a_service_that_was_deleted_gets_nothing(office: Office) -> None:
    service_id = await office.add("C01")
    job = await office.delivery_of_one_message()
    async with office.database.session() as session:
        await delete_service(session, office.ours.account_id, office.rule_id, service_id)
    await deliver(office.parts, job)
    assert [one.reason_code for one in await office.deliveries()] == ["service_gone"]
    assert office.room("C01").tries == []


async def test_settings_that_cannot_be_opened_break_the_service(office: Office) -> None:
    service_id = await office.add("C01")
    async with office.database.session() as session:
        (await session.get_one(NotificationService, service_id)).sealed_config = "of another key"
    await deliver(office.parts, await office.delivery_of_one_message())
    assert [one.reason_code for one in await office.deliveries()] == ["bad_settings"]
    assert (await office.service(service_id)).is_broken(now())


async def test_a_step_that_is_out_is_noted_even_when_the_worker_stops(office: Office) -> None:
    await office.add("C01")
    room = office.room("C01")
    room.hold = asyncio.Event()
    await office.message()
    async with office.working(), asyncio.timeout(DEADLINE_S):
        await room.tried.wait()
        asyncio.get_running_loop().call_later(0.2, room.hold.set)
    (left,) = await office.deliveries()
    assert left.steps["text"]["provider_id"] == "text-1"
    assert left.state is DeliveryState.WAITING


async def test_hastened_reports_go_out_at_once(office: Office) -> None:
    await office.add("C01")
    message_id = await office.message()
    async with office.database.session() as session:
        later = now() + timedelta(minutes=1)
        await session.execute(update(Job).where(Job.kind == REPORT_MESSAGE).values(run_at=later))
    async with office.working():
        await asyncio.sleep(0.3)
        assert await office.deliveries() == []
        async with office.database.session() as session:
            await hasten(session, REPORT_MESSAGE, message_id)
        await office.until(DeliveryState.SENT, 1)


async def test_the_rule_is_the_accounts_own(office: Office, theirs: Furnished) -> None:
    """A row that names another account's rule tells nobody."""
    await office.add("C01")
    async with office.database.session() as session:
        foreign = NotificationRule(account_id=theirs.account_id, name="x", mail_addresses=["x@example.jp"])
        session.add(foreign)
        await session.flush()
        await change_rule(session, theirs.account_id, theirs.rule_id, notification_rule_id=foreign.id)
        message_id = await _message_of(session, office, theirs.rule_id)
        enqueue(session, REPORT_MESSAGE, message_id)
    await report_message(office.parts, await office.take_one(REPORT_MESSAGE))
    assert await office.deliveries() == []


async def _message_of(session: Any, office: Office, rule_id: str) -> str:
    message = await leave_message(
        session, office.media, office.ours.account_id, office.ours.number_id, FIRST_CALL
    )
    message.rule_id = rule_id
    return str(message.id)
