"""Messages, their sound, calls and journals through the API."""

import asyncio
from datetime import timedelta
from urllib.parse import quote, unquote

import pytest

from store.database import Database
from store.media import Media
from tests.furnishing import FIRST_CALL, Furnished, leave_message, wav
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

SOUND = wav(2.0, b"\x05\x06")


def audio(account: Furnished) -> str:
    return f"/api/v1/messages/{account.message_id}/audio"


async def leave(database: Database, media: Media, ours: Furnished, minutes: int, caller: str | None) -> str:
    async with database.session() as session:
        at = FIRST_CALL + timedelta(minutes=minutes)
        return (await leave_message(session, media, ours.account_id, ours.number_id, at, caller)).id


async def test_message_has_the_promised_fields(admin: Client, ours: Furnished) -> None:
    message = (await admin.get(f"/api/v1/messages/{ours.message_id}")).body
    assert message == {
        "id": ours.message_id,
        "call_id": ours.call_id,
        "number_id": ours.number_id,
        "number": "+81312345678",
        "caller": "+819012345678",
        "caller_kind": "number",
        "caller_name": None,
        "started_at": "2026-11-23T09:00:00+09:00",
        "duration_s": 2.0,
        "ended_by": "hash",
        "source": "control_plane",
        "audio": "stored",
        "transcript": {"state": "waiting", "text": None},
        "read": False,
        "read_at": None,
        "read_by": None,
        "status": "open",
        "note": "",
        "updated_at": message["updated_at"],
    }
    assert (await admin.get("/api/v1/messages")).body == {"items": [message], "next": None}


async def test_caller_without_number(
    admin: Client, database: Database, media: Media, ours: Furnished
) -> None:
    withheld = await leave(database, media, ours, 1, None)
    message = (await admin.get(f"/api/v1/messages/{withheld}")).body
    assert (message["caller"], message["caller_kind"]) == (None, "withheld")
    sound = await admin.get(f"/api/v1/messages/{withheld}/audio?download=1")
    assert unquote(sound.headers["Content-Disposition"]).endswith("留守レポ_20261123_090100_非通知.wav")


@pytest.mark.parametrize(
    "spelling", ["03-1234-5678", "０３１２３４５６７８", "+81 3 1234 5678", "00813-1234-5678"]
)
async def test_number_filter_takes_every_spelling(
    admin: Client, ours: Furnished, theirs: Furnished, spelling: str
) -> None:
    listed = await admin.get(f"/api/v1/messages?number={quote(spelling)}")
    assert [message["id"] for message in listed.body["items"]] == [ours.message_id]
    assert (await admin.get("/api/v1/messages?number=06-1234-5678")).body["items"] == []


@pytest.mark.parametrize(
    ("period", "found"),
    [
        ("from=2026-11-23T09:00:00%2B09:00", 1),
        ("from=2026-11-23T09:00:00+09:00", 1),
        ("from=2026-11-23T00:00:00Z&to=2026-11-23T00:00:01Z", 1),
        ("from=2026-11-23T00:00:00.000001Z", 0),
        ("to=2026-11-23T09:00:00%2B09:00", 0),
        ("to=2026-11-22T19:00:01-05:00", 1),
    ],
)
async def test_period(admin: Client, ours: Furnished, period: str, found: int) -> None:
    assert len((await admin.get(f"/api/v1/messages?{period}")).body["items"]) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-11-23", "from"),
        ("from=2026-11-23T09:00:00", "from"),
        ("from=1763859600", "from"),
        ("from=0001-01-01T00:00:00%2B09:00", "from"),
        ("to=9999-12-31T23:59:59-09:00", "to"),
        ("to=2026-13-23T09:00:00Z", "to"),
        ("to=%00", "to"),
        ("since=2026-11-23T09:00:00Z", "since"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=1&limit=2", "limit"),
        ("number=110", "number"),
        ("number=%FF%FE", "number"),
        ("number_id=%00", "number_id"),
        ("order=asc", "order"),
        ("%00=1", "\x00"),
    ],
)
async def test_bad_queries_name_their_field(admin: Client, query: str, field: str) -> None:
    refused = await admin.get(f"/api/v1/messages?{query}")
    assert (refused.status, refused.body["code"], refused.fields) == (400, "invalid_query", [field])


@pytest.mark.parametrize("cursor", ["x", "", "%00", "あ", "MjAyNi0xMS0yMw", "fHg", "%2e%2e", "0" * 200])
async def test_bad_cursors(admin: Client, cursor: str) -> None:
    refused = await admin.get(f"/api/v1/messages?cursor={cursor}")
    assert (refused.status, refused.body["code"]) == (400, "bad_cursor")


async def test_walk_through_pages_while_messages_arrive(
    admin: Client, database: Database, media: Media, ours: Furnished
) -> None:
    there = [await leave(database, media, ours, minutes, "+819012345678") for minutes in (1, 2, 3, 4)]
    page = (await admin.get("/api/v1/messages?limit=2")).body
    seen = page["items"]
    await leave(database, media, ours, 60, "+819012345678")
    await admin("DELETE", f"/api/v1/messages/{seen[0]['id']}")
    page = (await admin.get(f"/api/v1/messages?limit=2&cursor={page['next']}")).body
    seen += page["items"]
    page = (await admin.get(f"/api/v1/messages?limit=2&cursor={page['next']}")).body
    seen += page["items"]
    assert [message["id"] for message in seen] == [*reversed(there), ours.message_id]
    assert page["next"] is None


async def test_whole_sound(admin: Client, ours: Furnished) -> None:
    answer = await admin.get(audio(ours))
    assert (answer.status, answer.raw, answer.headers["Content-Type"]) == (200, SOUND, "audio/wav")
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == "inline"
    head = await admin("HEAD", audio(ours))
    assert (head.status, head.raw, head.headers["Content-Length"]) == (200, b"", str(len(SOUND)))
    assert head.headers["ETag"] == answer.headers["ETag"]


async def test_one_range(admin: Client, ours: Furnished) -> None:
    answer = await admin.get(audio(ours), headers={"Range": "bytes=44-99"})
    assert (answer.status, answer.raw) == (206, SOUND[44:100])
    assert answer.headers["Content-Range"] == f"bytes 44-99/{len(SOUND)}"
    tail = await admin.get(audio(ours), headers={"Range": "bytes=-10"})
    assert tail.raw == SOUND[-10:]
    head = await admin("HEAD", audio(ours), headers={"Range": "bytes=0-9"})
    assert (head.status, head.headers["Content-Length"], head.raw) == (206, "10", b"")


@pytest.mark.parametrize("wanted", [f"bytes={len(SOUND)}-", "bytes=-0", "bytes=0-1,4-5"])
async def test_range_that_cannot_be(admin: Client, ours: Furnished, wanted: str) -> None:
    answer = await admin.get(audio(ours), headers={"Range": wanted})
    assert (answer.status, answer.body["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(SOUND)}"


async def test_sound_is_not_sent_again_to_who_has_it(admin: Client, ours: Furnished) -> None:
    tag = (await admin("HEAD", audio(ours))).headers["ETag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = await admin.get(audio(ours), headers={"If-None-Match": known})
        assert (answer.status, answer.raw, answer.headers["ETag"]) == (304, b"", tag)
    assert (await admin.get(audio(ours), headers={"If-None-Match": '"other"'})).status == 200


async def test_half_of_another_content_is_not_continued(admin: Client, ours: Furnished) -> None:
    tag = (await admin("HEAD", audio(ours))).headers["ETag"]
    asked = {"Range": "bytes=10-"}
    assert (await admin.get(audio(ours), headers={**asked, "If-Range": tag})).status == 206
    for other in ('"other"', f"W/{tag}", "Mon, 23 Nov 2026 00:00:00 GMT"):
        assert (await admin.get(audio(ours), headers={**asked, "If-Range": other})).raw == SOUND


async def test_sound_that_is_gone_from_disk(admin: Client, media: Media, ours: Furnished) -> None:
    media.remove(f"messages/2026/11/23/{ours.call_id}.wav")
    answer = await admin.get(audio(ours))
    assert (answer.status, answer.body["code"]) == (404, "audio_missing")


async def test_deleting(admin: Client, media: Media, ours: Furnished) -> None:
    path = f"/api/v1/messages/{ours.message_id}"
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(path)).status == 404
    assert (await admin("DELETE", path)).status == 404
    assert not media.path(f"messages/2026/11/23/{ours.call_id}.wav").exists()
    told = (await admin.get(f"/api/v1/calls/{ours.call_id}/journal")).body["items"]
    assert [milestone["event"] for milestone in told] == ["arrived", "answered", "ended", "message_deleted"]
    assert told[-1]["details"] == {"message_id": ours.message_id, "by": ours.token_id}


async def test_one_of_two_who_delete_at_once_does(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/messages/{ours.message_id}"
    answers = await asyncio.gather(*(admin("DELETE", path) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [204, 404, 404, 404]
    told = (await admin.get(f"/api/v1/calls/{ours.call_id}/journal")).body["items"]
    assert [milestone["event"] for milestone in told].count("message_deleted") == 1


async def test_deleting_many_reports_each(
    admin: Client, other_admin: Client, database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    second = await leave(database, media, ours, 1, None)
    ids = [ours.message_id, theirs.message_id, "unknown", second, second]
    answer = await admin.post("/api/v1/messages:delete", {"ids": ids})
    assert [(one["id"], one["result"]) for one in answer.body["results"]] == [
        (ours.message_id, "deleted"),
        (theirs.message_id, "not_found"),
        ("unknown", "not_found"),
        (second, "deleted"),
    ]
    assert (await admin.get("/api/v1/messages")).body["items"] == []
    assert len((await other_admin.get("/api/v1/messages")).body["items"]) == 1


@pytest.mark.parametrize("ids", [[], ["x"] * 1001, "x", None, [1], [None], ["\x00"], ["\ud800"], {"0": "x"}])
async def test_unfit_selections(admin: Client, ids: object) -> None:
    refused = await admin.post("/api/v1/messages:delete", {"ids": ids})
    assert refused.status in (400, 422)


async def test_calls(admin: Client, ours: Furnished, theirs: Furnished) -> None:
    call = (await admin.get(f"/api/v1/calls/{ours.call_id}")).body
    assert call.pop("legs") == []
    assert (await admin.get("/api/v1/calls")).body["items"] == [call]
    assert (await admin.get(f"/api/v1/calls?number_id={theirs.number_id}")).body["items"] == []
    assert call == {
        "id": ours.call_id,
        "direction": "inbound",
        "number_id": ours.number_id,
        "number": "+81312345678",
        "device_id": None,
        "other_party": "+819012345678",
        "caller_kind": "number",
        "started_at": "2026-11-23T09:00:00+09:00",
        "answered_at": "2026-11-23T09:00:01+09:00",
        "ended_at": "2026-11-23T09:00:12.500000+09:00",
        "billed_s": 12,
        "result": "message",
        "destination_class": None,
        "charge": 0,
    }
