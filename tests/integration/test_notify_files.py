"""Recordings on their way: several steps, each of which can fail, and nothing shown twice for it."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from notify.outbound import may_upload_to, open_outside
from notify.service import (
    Attachment,
    BadCredential,
    BadPayload,
    Failure,
    Notice,
    Throttled,
    Unanswered,
    Unavailable,
)
from notify.services import build
from store.notification_services import Kind
from tests.doubles import slack
from tests.doubles.destinations import Destination, destination
from tests.doubles.far_side import HangUp, Refuse, StaySilent, TakeSilently, Trouble
from tests.furnishing import wav
from tests.integration.test_notify_services import QUICK, Room

pytestmark = pytest.mark.integration

AUDIO = wav(0.5)
NOTICE = Notice("留守番電話", (), "用件です。", None, Attachment("rusurepo_1.wav", "audio/wav", AUDIO))
with_audio = pytest.mark.parametrize("kind", ["slack", "chatwork", "line_works"])


@pytest.fixture
async def room(kind: Kind) -> AsyncIterator[Room]:
    async with destination(kind) as there, open_outside(there.settings, QUICK) as outside:
        yield Room(there, build(there.fields, outside), outside)


async def send_file(room: Room, **earlier: str) -> str:
    return await room.service.send("file", NOTICE, str(uuid4()), earlier)


def files(there: Destination) -> list[bytes]:
    return [taken["content"] for taken in there.double.accepted if "content" in taken]


@with_audio
async def test_the_recording_arrives_byte_for_byte(room: Room) -> None:
    text_id = await room.service.send("text", NOTICE, str(uuid4()), {})
    assert await send_file(room, text=text_id)
    assert files(room.destination) == [AUDIO]
    assert room.destination.double.accepted[-1]["name"] == "rusurepo_1.wav"
    assert len(room.destination.texts()) == 1


SHOWING = {"slack": "completeUploadExternal", "chatwork": "files", "line_works": "messages"}
BEFORE = [
    ("slack", "getUploadURLExternal"),
    ("slack", "upload/v1"),
    ("line_works", "attachments"),
    ("line_works", "upload/"),
]


@pytest.mark.parametrize(("kind", "at"), BEFORE)
@pytest.mark.parametrize("trouble", [StaySilent(), HangUp(), TakeSilently(), Refuse(500), Refuse(504)])
async def test_before_anything_shows_trouble_is_only_a_delay(room: Room, at: str, trouble: Trouble) -> None:
    room.destination.double.next(trouble, at=at)
    with pytest.raises(Unavailable):
        await send_file(room)
    assert files(room.destination) == []
    await send_file(room)
    assert files(room.destination) == [AUDIO]


@with_audio
@pytest.mark.parametrize("trouble", [StaySilent(), HangUp(), TakeSilently()])
async def test_once_it_may_show_silence_is_no_delay(room: Room, trouble: Trouble) -> None:
    room.destination.double.next(trouble, at=SHOWING[room.destination.kind])
    with pytest.raises(Unanswered):
        await send_file(room)


@pytest.mark.parametrize(
    ("kind", "at"), [*BEFORE, ("slack", "complete"), ("chatwork", "files"), ("line_works", "messages")]
)
async def test_each_step_can_be_throttled(room: Room, at: str) -> None:
    room.destination.double.next(Refuse(429, {"errors": ["x"]}, {"Retry-After": "3"}), at=at)
    with pytest.raises(Throttled) as throttled:
        await send_file(room)
    assert throttled.value.after_s == 3


@pytest.mark.parametrize("kind", ["slack"])
async def test_slack_shows_the_recording_as_a_reply(room: Room) -> None:
    ts = await room.service.send("text", NOTICE, str(uuid4()), {})
    await send_file(room, text=ts)
    assert room.destination.double.accepted[-1]["thread_ts"] == ts
    await send_file(room)
    assert room.destination.double.accepted[-1]["thread_ts"] is None


@pytest.mark.parametrize("kind", ["slack"])
async def test_slack_without_the_right_to_send_files(room: Room) -> None:
    room.destination.double.scopes = {"chat:write"}
    with pytest.raises(BadCredential) as refused:
        await send_file(room)
    assert "files:write" in refused.value.reason


@pytest.mark.parametrize(
    ("kind", "at", "answer"),
    [
        (
            "slack",
            "getUpload",
            {"ok": True, "upload_url": "https://evil.example/upload/v1/F1", "file_id": "F1"},
        ),
        ("slack", "getUpload", {"ok": True}),
        ("line_works", "attachments", {"fileId": "jp1.x", "uploadUrl": "https://evil.example/upload"}),
        ("line_works", "attachments", {}),
    ],
)
async def test_bytes_and_tokens_go_to_the_vendors_hosts_only(
    room: Room, at: str, answer: dict[str, str]
) -> None:
    room.destination.double.next(Refuse(200, answer), at=at)
    with pytest.raises(Unavailable) as refused:
        await send_file(room)
    assert "想定外" in refused.value.reason


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://files.slack.com/upload/v1/abc", True),
        ("https://slack.com/upload", True),
        ("http://files.slack.com/upload/v1/abc", False),
        ("https://files.slack.com.evil.example/", False),
        ("https://files.slack.com@evil.example/", False),
        ("https://evil.example\\@files.slack.com/", False),
        ("https://evil.example/#files.slack.com", False),
        ("https://169.254.169.254/", False),
        ("https://jp1-storage.worksmobile.com/k/x", True),
        ("https://evilworksmobile.com/", False),
        ("file:///etc/passwd", False),
        ("None", False),
        ("", False),
        ("https://[", False),
    ],
)
def test_where_uploads_may_go(url: str, allowed: bool) -> None:
    assert may_upload_to(url, "https://slack.com/api", ("files.slack.com", ".worksmobile.com")) == allowed


@pytest.mark.parametrize("kind", ["chatwork"])
async def test_chatwork_takes_no_more_than_five_megabytes(room: Room) -> None:
    largest = Attachment("a.wav", "audio/wav", b"x" * 5 * 1024 * 1024)
    larger = replace(largest, content=largest.content + b"x")
    assert room.service.steps(replace(NOTICE, attachment=larger)) == ("text",)
    notice = replace(NOTICE, attachment=largest)
    assert room.service.steps(notice) == ("text", "file")
    await room.service.send("file", notice, str(uuid4()), {})
    assert files(room.destination) == [largest.content]


@pytest.mark.parametrize("kind", ["slack", "chatwork", "line_works"])
async def test_odd_file_names_and_types(room: Room) -> None:
    odd = Attachment('留"\r\nX: y.wav', "audio/x-wav", AUDIO)
    await room.service.send("file", replace(NOTICE, attachment=odd), str(uuid4()), {})
    assert files(room.destination) == [AUDIO]
    assert room.destination.double.accepted[0]["name"].isascii()


@pytest.mark.parametrize("kind", ["line_works"])
async def test_a_token_is_bought_once(room: Room) -> None:
    for _ in range(3):
        await room.service.send("text", NOTICE, str(uuid4()), {})
    await room.other(channel_id=room.destination.given["channel_id"]).send("text", NOTICE, str(uuid4()), {})
    assert len(room.destination.double.tokens) == 1


@pytest.mark.parametrize("kind", ["line_works"])
async def test_a_token_that_is_refused_is_replaced_once(room: Room) -> None:
    there = room.destination
    await room.service.send("text", NOTICE, str(uuid4()), {})
    there.double.revoke_all()
    await room.service.send("text", NOTICE, str(uuid4()), {})
    assert len(there.double.tokens) == 2
    there.double.next(Refuse(401), Refuse(401), at="messages")
    with pytest.raises(BadCredential):
        await room.service.send("text", NOTICE, str(uuid4()), {})
    assert len(there.double.tokens) == 3
    assert len(there.texts()) == 2


@pytest.mark.parametrize("kind", ["line_works"])
@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (StaySilent(), Unavailable),
        (HangUp(), Unavailable),
        (Refuse(503), Unavailable),
        (Refuse(429, {"code": "TOO_MANY_REQUESTS"}, {"RateLimit-Reset": "5"}), Throttled),
        (Refuse(200, "no json"), BadCredential),
        (Refuse(200, {"access_token": "two\r\nlines"}), BadCredential),
        (Refuse(400, {"error": "invalid_grant"}), BadCredential),
    ],
)
async def test_where_tokens_are_bought(room: Room, trouble: Trouble, expected: type[Failure]) -> None:
    room.destination.double.next(trouble, at="token")
    with pytest.raises(expected):
        await room.service.send("text", NOTICE, str(uuid4()), {})
    await room.service.send("text", NOTICE, str(uuid4()), {})
    assert len(room.destination.texts()) == 1


@pytest.mark.parametrize("kind", ["line_works"])
async def test_line_works_says_when_to_go_on(room: Room) -> None:
    room.destination.double.next(Refuse(429, {}, {"RateLimit-Reset": "9"}), at="messages")
    with pytest.raises(Throttled) as throttled:
        await room.service.send("text", NOTICE, str(uuid4()), {})
    assert throttled.value.after_s == 9


@pytest.mark.parametrize("kind", ["chatwork"])
async def test_chatwork_limits_a_room_and_a_token(room: Room) -> None:
    per_room = {"errors": ["Rate limit for message posting per room exceeded."]}
    reset = {"x-ratelimit-reset": str(int(time.time()) + 60)}
    room.destination.double.next(Refuse(429, per_room, reset), Refuse(429, {"errors": ["Rate limit"]}, reset))
    with pytest.raises(Throttled) as by_room:
        await room.service.send("text", NOTICE, str(uuid4()), {})
    with pytest.raises(Throttled) as by_token:
        await room.service.send("text", NOTICE, str(uuid4()), {})
    assert by_room.value.after_s == 10
    assert 50 < (by_token.value.after_s or 0) <= 60


@pytest.mark.parametrize("kind", ["slack"])
async def test_slack_refuses_a_file_for_good(room: Room) -> None:
    room.destination.double.next(Refuse(200, {"ok": False, "error": "file_uploads_disabled"}), at="getUpload")
    with pytest.raises(BadPayload):
        await send_file(room)


async def test_slacks_own_client_is_content_with_the_double() -> None:
    """What the double takes and refuses is what Slack's library sends and understands."""
    async with slack.SlackDouble() as double:
        client = AsyncWebClient(slack.TOKEN, base_url=f"{double.base_url}/")
        posted = await client.chat_postMessage(channel=slack.CHANNEL, text="本文")
        await client.files_upload_v2(
            content=AUDIO,
            filename="a.wav",
            channel=slack.CHANNEL,
            thread_ts=posted["ts"],
            initial_comment="声",
        )
        message, file = double.accepted
        assert message["text"] == "本文"
        assert (file["content"], file["thread_ts"]) == (AUDIO, posted["ts"])
        with pytest.raises(SlackApiError) as refused:
            await client.chat_postMessage(channel="C0UNKNOWN", text="本文")
        assert refused.value.response["error"] == "channel_not_found"


async def test_the_doubles_are_no_pushovers() -> None:
    """An upload of another length, one that is used twice, one that nobody announced."""
    async with slack.SlackDouble() as double, ClientSession() as http:

        async def call(method: str, form: dict[str, str]) -> dict[str, Any]:
            authorization = {"Authorization": f"Bearer {slack.TOKEN}"}
            async with http.post(f"{double.base_url}/{method}", data=form, headers=authorization) as answer:
                told: dict[str, Any] = await answer.json()
                return told

        announced = await call("files.getUploadURLExternal", {"filename": "a.wav", "length": "3"})
        assert (await http.post(announced["upload_url"], data=b"four")).status == 400
        assert (await http.post(announced["upload_url"], data=b"abc")).status == 200
        assert (await http.post(announced["upload_url"], data=b"abc")).status == 404
        done = {"files": f'[{{"id":"{announced["file_id"]}"}}]', "channel_id": slack.CHANNEL}
        assert (await call("files.completeUploadExternal", done))["ok"]
        assert (await call("files.completeUploadExternal", done))["error"] == "file_not_found"
        unknown = {"files": '[{"id":"F9"}]', "channel_id": slack.CHANNEL}
        assert (await call("files.completeUploadExternal", unknown))["error"] == "file_not_found"
