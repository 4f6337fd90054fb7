"""Idempotency-Key: what is sent again is answered again and not done again."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import FormData
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from store.database import Database
from store.idempotency import forget_answers
from store.models import Device, IdempotencyKey, now
from tests.furnishing import wav
from tests.integration.conftest import Answer, Client

pytestmark = pytest.mark.integration

DEVICES = "/api/v1/devices"
KEY = {"Idempotency-Key": "0b0f6f4e-4f2c-4c6e-8c1e-2f0f4a3f9d11"}


async def post(client: Client, body: Any, headers: dict[str, str] = KEY, path: str = DEVICES) -> Answer:
    return await client("POST", path, json=body, headers=headers)


async def count(client: Client) -> int:
    return len((await client.get(DEVICES)).body["items"])


async def test_what_is_sent_again_is_answered_again(
    admin: Client, other_admin: Client, database: Database
) -> None:
    before = await count(admin)
    first = await post(admin, {"name": "受付"})
    again = await post(admin, {"name": "受付"})
    assert (again.status, again.raw) == (first.status, first.raw) == (201, first.raw)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert await count(admin) == before + 1
    # The password in the answer is not kept as it is.
    async with database.session() as session:
        (kept,) = await session.scalars(select(IdempotencyKey.sealed_answer))
    assert kept is not None
    assert first.body["password"] not in kept
    # A key belongs to its token, and to its request.
    assert (await post(other_admin, {"name": "受付"})).body["id"] != first.body["id"]
    for path, body in ((DEVICES, {"name": "別"}), (f"{DEVICES}/{first.body['id']}/password", None)):
        refused = await post(admin, body, path=path)
        assert (refused.status, refused.body["code"]) == (409, "idempotency_mismatch")


async def test_many_at_once_do_it_once(admin: Client) -> None:
    before = await count(admin)
    answers = await asyncio.gather(*(post(admin, {"name": "同時"}) for _ in range(8)))
    made = {answer.body["id"] for answer in answers if answer.status == 201}
    waiting = {answer.body["code"] for answer in answers if answer.status != 201}
    assert len(made) == 1
    assert waiting <= {"idempotency_in_progress"}
    assert await count(admin) == before + 1
    assert (await post(admin, {"name": "同時"})).body["id"] in made


async def test_what_was_refused_may_be_tried_again(admin: Client) -> None:
    taken = (await admin.post(DEVICES, {"username": "taken"})).body["id"]
    assert (await post(admin, {"username": "taken"})).status == 409
    assert (await post(admin, {"username": "X"})).status == 422
    assert (await post(admin, {"username": "free"})).status == 201
    assert taken


async def test_what_broke_off_is_not_done_again(admin: Client, database: Database) -> None:
    """As if the process had been killed between its work and its answer."""
    made = await post(admin, {"name": "途中"})
    async with database.session() as session:
        await session.execute(update(IdempotencyKey).values(status=None, sealed_answer=None))
    refused = await post(admin, {"name": "途中"})
    assert (refused.status, refused.body["code"]) == (409, "idempotency_in_progress")
    assert refused.headers["Retry-After"] == "2"
    async with database.session() as session:
        await session.execute(update(IdempotencyKey).values(created_at=now() - timedelta(minutes=5)))
    refused = await post(admin, {"name": "途中"})
    assert (refused.status, refused.body["code"]) == (409, "idempotency_unknown")
    async with database.session() as session:
        await forget_answers(session, now() + timedelta(hours=25))
    assert (await post(admin, {"name": "途中"})).body["id"] != made.body["id"]


@pytest.fixture
def lost_at_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database keeps a new device, and is gone before it says so."""
    real = Database.session

    def flushed(session: Session, _: object) -> None:
        session.info["device"] = any(isinstance(row, Device) for row in session.new)

    @asynccontextmanager
    async def losing(database: Database) -> AsyncIterator[AsyncSession]:
        async with real(database) as session:
            yield session
        if session.info.get("device"):
            raise ConnectionError

    event.listen(Session, "after_flush", flushed)
    monkeypatch.setattr(Database, "session", losing)
    yield
    event.remove(Session, "after_flush", flushed)


@pytest.mark.usefixtures("lost_at_commit")
async def test_what_the_database_may_have_kept_is_not_done_again(admin: Client) -> None:
    before = await count(admin)
    codes = [(await post(admin, {"name": "消失"})).body["code"] for _ in range(2)]
    assert codes == ["database_unavailable", "idempotency_in_progress"]
    assert await count(admin) == before + 1


async def test_a_file_is_the_same_in_another_envelope(admin: Client) -> None:
    def form(table: str) -> FormData:
        # Each has a boundary of its own.
        return FormData({"file": io.BytesIO(table.encode())})

    path, table = "/api/v1/phonebook/imports", "名前,電話番号\n田中,117\n"
    first, again = [await admin("POST", path, data=form(table), headers=KEY) for _ in range(2)]
    assert (first.status, again.status) == (201, 201)
    assert first.body["id"] == again.body["id"]
    assert (first.body["lines"], again.raw) == (1, first.raw)
    other = await admin("POST", path, data=form(table + "鈴木,118\n"), headers=KEY)
    assert other.body["code"] == "idempotency_mismatch"


async def test_sound_is_simply_made_again(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def speak(*_: object) -> bytes:
        return wav()

    monkeypatch.setattr("voices.studio.Studio.speak", speak)
    for _ in range(2):
        answer = await post(admin, {"text": "はい。"}, path="/api/v1/prompts:preview")
        assert (answer.status, answer.raw[:4]) == (200, b"RIFF")
        assert "Idempotent-Replayed" not in answer.headers


async def test_a_stream_is_simply_made_again(admin: Client) -> None:
    for _ in range(2):
        answer = await post(admin, {"ids": ["x"]}, path="/api/v1/messages:download")
        assert answer.raw.startswith(b"PK")


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "あ", "a b"])
async def test_unfit_keys(admin: Client, key: str) -> None:
    refused = await post(admin, {}, {"Idempotency-Key": key})
    assert (refused.status, refused.body["code"]) == (400, "malformed_request")


async def test_other_methods_have_no_use_for_it(admin: Client) -> None:
    assert (await admin.get(DEVICES, headers=KEY)).status == 200
    assert (await admin.get(DEVICES, headers=KEY)).status == 200
