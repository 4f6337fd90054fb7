"""Reading and handling messages through the API."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select

from store.database import Database
from store.media import Media
from store.models import Job
from store.signals import SIGNAL_DEVICES
from tests.furnishing import FIRST_CALL, Furnished, leave_message
from tests.integration.conftest import Answer, Client

pytestmark = pytest.mark.integration

LIST = "/api/v1/messages"
HOSTILE = (
    '<script>alert(1)</script>\n=HYPERLINK("http://x")\t\'; DROP TABLE voice_messages; -- ../../etc %s {0} 𠮷'
)


def path(account: Furnished) -> str:
    return f"{LIST}/{account.message_id}"


async def patch(client: Client, account: Furnished, **changes: Any) -> Answer:
    return await client("PATCH", path(account), json=changes)


async def leave(
    database: Database, media: Media, ours: Furnished, minutes: int, caller: str | None = "+819012345678"
) -> str:
    async with database.session() as session:
        at = FIRST_CALL + timedelta(minutes=minutes)
        return (await leave_message(session, media, ours.account_id, ours.number_id, at, caller)).id


async def found(client: Client, query: str) -> list[str]:
    return [message["id"] for message in (await client.get(f"{LIST}?{query}")).body["items"]]


async def test_who_read_it_first_stays(
    admin: Client, operator: Client, ours: Furnished, theirs: Furnished
) -> None:
    before = (await admin.get(path(ours))).body
    first = (await patch(admin, ours, read=True)).body
    assert (first["read"], first["read_by"]) == (True, ours.token_id)
    assert first["updated_at"] >= first["read_at"] > before["updated_at"]
    again = await operator("PATCH", f"{path(ours)}?account_id={ours.account_id}", json={"read": True})
    assert (again.body["read_at"], again.body["read_by"]) == (first["read_at"], first["read_by"])
    unread = (await patch(admin, ours, read=False)).body
    assert (unread["read"], unread["read_at"], unread["read_by"]) == (False, None, None)
    assert (await patch(admin, theirs, read=True)).status == 404


async def test_only_what_is_sent_changes(admin: Client, ours: Furnished) -> None:
    before = (await admin.get(path(ours))).body
    note = (await patch(admin, ours, note="折り返し済み\r\n15時")).body
    assert note == before | {"note": "折り返し済み\n15時", "updated_at": note["updated_at"]}
    status = (await patch(admin, ours, status="in_progress")).body
    assert status == note | {"status": "in_progress", "updated_at": status["updated_at"]}
    assert (await patch(admin, ours)).body == status
    assert (await patch(admin, ours, note="")).body["note"] == ""


async def test_administrators_at_once_lose_nothing(
    admin: Client, database: Database, media: Media, ours: Furnished
) -> None:
    ids = [ours.message_id, *[await leave(database, media, ours, minutes) for minutes in range(1, 10)]]
    answers = await asyncio.gather(
        patch(admin, ours, status="done"),
        patch(admin, ours, note="memo"),
        patch(admin, ours, read=True),
        *(admin.post(f"{LIST}:mark", {"ids": ids, "read": True}) for _ in range(3)),
        *(admin.post(f"{LIST}:mark", {"ids": ids[::-1], "status": "done"}) for _ in range(3)),
    )
    assert {answer.status for answer in answers} == {200}
    shown = (await admin.get(f"{LIST}?read=true&status=done")).body["items"]
    assert sorted(message["id"] for message in shown) == sorted(ids)
    mine = (await admin.get(path(ours))).body
    assert (mine["status"], mine["note"], mine["read"]) == ("done", "memo", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"read": "true"}, "read"),
        ({"read": None}, "read"),
        ({"status": "closed"}, "status"),
        ({"status": None}, "status"),
        ({"note": "あ" * 2001}, "note"),
        ({"note": "x" * 10000}, "note"),
        ({"note": "\x00"}, "note"),
        ({"note": "\x1b[31m"}, "note"),
        ({"note": None}, "note"),
        ({"caller": "+810000000"}, "caller"),
    ],
)
async def test_changes_that_cannot_be(
    admin: Client, ours: Furnished, change: dict[str, Any], field: str
) -> None:
    refused = await patch(admin, ours, **change)
    assert (refused.status, refused.body["code"], refused.fields) == (422, "invalid_body", [field])


async def test_notes_are_kept_as_they_are(admin: Client, ours: Furnished) -> None:
    for note in (HOSTILE, "あ" * 2000):
        assert (await patch(admin, ours, note=note)).body["note"] == note


async def test_marking_many_reports_each(
    admin: Client, other_admin: Client, database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    second = await leave(database, media, ours, 1)
    ids = [ours.message_id, theirs.message_id, "unknown", second, second]
    answer = await admin.post(f"{LIST}:mark", {"ids": ids, "read": True, "status": "done"})
    assert [(one["id"], one["result"]) for one in answer.body["results"]] == [
        (ours.message_id, "changed"),
        (theirs.message_id, "not_found"),
        ("unknown", "not_found"),
        (second, "changed"),
    ]
    assert await found(admin, "read=true&status=done") == [second, ours.message_id]
    assert await found(other_admin, "read=true") == []
    nothing = await admin.post(f"{LIST}:mark", {"ids": ids[:2]})
    assert [one["result"] for one in nothing.body["results"]] == ["changed", "not_found"]


async def test_lamps_are_set_anew(admin: Client, database: Database, ours: Furnished) -> None:
    async def signals() -> list[str]:
        async with database.session() as session:
            return list(await session.scalars(select(Job.subject_id).where(Job.kind == SIGNAL_DEVICES)))

    await patch(admin, ours, status="done", note="x")
    assert await signals() == []
    await patch(admin, ours, read=True)
    assert await signals() == [ours.number_id]
    await admin.post(f"{LIST}:delete", {"ids": [ours.message_id]})
    assert await signals() == [ours.number_id] * 2


async def test_filters(admin: Client, database: Database, media: Media, ours: Furnished) -> None:
    withheld = await leave(database, media, ours, 1, None)
    other = await leave(database, media, ours, 2, "+81312345670")
    await admin.post(f"{LIST}:mark", {"ids": [withheld], "read": True, "status": "in_progress"})
    assert await found(admin, "read=false") == [other, ours.message_id]
    assert await found(admin, "read=true") == [withheld]
    assert await found(admin, "status=open") == [other, ours.message_id]
    assert await found(admin, "status=in_progress&read=false") == []
    assert await found(admin, "caller_kind=withheld") == [withheld]
    for spelling in ("090-1234-5678", "０９０１２３４５６７８", "+81 90 1234 5678"):
        assert await found(admin, f"caller={quote(spelling)}") == [ours.message_id]


async def test_pages_of_a_filtered_list(
    admin: Client, database: Database, media: Media, ours: Furnished
) -> None:
    left = [await leave(database, media, ours, minutes) for minutes in (1, 2, 3, 4)]
    page = (await admin.get(f"{LIST}?read=false&limit=2")).body
    # Whoever reads what is on the first page does not lose the second.
    seen = [message["id"] for message in page["items"]]
    await admin.post(f"{LIST}:mark", {"ids": seen, "read": True})
    page = (await admin.get(f"{LIST}?read=false&limit=3&cursor={page['next']}")).body
    assert seen + [message["id"] for message in page["items"]] == [*reversed(left), ours.message_id]


@pytest.mark.parametrize("query", ["read=maybe", "status=closed", "caller=110", "caller_kind=secret"])
async def test_bad_filters_name_their_field(admin: Client, query: str) -> None:
    refused = await admin.get(f"{LIST}?{query}")
    assert (refused.status, refused.fields) == (400, [query.partition("=")[0]])


async def test_summary(
    admin: Client, operator: Client, database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    read = await leave(database, media, ours, 1)
    await admin.post(f"{LIST}:mark", {"ids": [read], "read": True})
    silent = await operator.post(
        "/api/v1/numbers", {"account_id": ours.account_id, "number": "03-1234-5670", "use": "voice"}
    )
    assert (await admin.get(f"{LIST}/summary")).body == {
        "messages": 2,
        "unread": 1,
        "numbers": [
            {"number_id": ours.number_id, "number": "+81312345678", "messages": 2, "unread": 1},
            {"number_id": silent.body["id"], "number": "+81312345670", "messages": 0, "unread": 0},
        ],
    }


async def test_sound_marks_read_only_when_asked(admin: Client, ours: Furnished) -> None:
    await admin.get(f"{path(ours)}/audio")
    await admin("HEAD", f"{path(ours)}/audio?mark_read=1")
    assert (await admin.get(path(ours))).body["read"] is False
    await admin.get(f"{path(ours)}/audio?mark_read=1")
    assert (await admin.get(path(ours))).body["read"] is True


async def test_lost_sound_is_shown(admin: Client, media: Media, ours: Furnished) -> None:
    media.remove(f"messages/2026/11/23/{ours.call_id}.wav")
    assert (await admin.get(path(ours))).body["audio"] == "missing"
    assert (await admin.get(LIST)).body["items"][0]["audio"] == "missing"
    assert (await admin("DELETE", path(ours))).status == 204


async def test_file_that_cannot_be_removed_keeps_its_message(
    admin: Client, database: Database, media: Media, ours: Furnished
) -> None:
    second = await leave(database, media, ours, 1)
    stuck = media.path(f"messages/2026/11/23/{ours.call_id}.wav")
    stuck.unlink()
    stuck.mkdir()
    answer = await admin.post(f"{LIST}:delete", {"ids": [ours.message_id, second]})
    assert [one["result"] for one in answer.body["results"]] == ["failed", "deleted"]
    assert (await admin("DELETE", path(ours))).status == 500
    assert await found(admin, "") == [ours.message_id]
    journal = (await admin.get(f"/api/v1/calls/{ours.call_id}/journal")).body["items"]
    assert "message_deleted" not in [milestone["event"] for milestone in journal]


async def test_account_settings(admin: Client, operator: Client, ours: Furnished) -> None:
    account = (await admin.get("/api/v1/account")).body
    assert (account["id"], account["message_retention_days"]) == (ours.account_id, 30)
    for days in (1, 3650, None):
        changed = await admin("PATCH", "/api/v1/account", json={"message_retention_days": days})
        assert changed.body == account | {"message_retention_days": days}
    assert (await admin("PATCH", "/api/v1/account", json={})).body["message_retention_days"] is None
    listed = (await operator.get("/api/v1/accounts")).body["items"]
    assert changed.body in listed
    for unfit in (0, -1, 3651, "30", 1.5, True):
        refused = await admin("PATCH", "/api/v1/account", json={"message_retention_days": unfit})
        assert (refused.status, refused.fields) == (422, ["message_retention_days"])
    assert (await operator.get("/api/v1/account")).body["code"] == "account_required"
    assert (await operator.get(f"/api/v1/account?account_id={ours.account_id}")).status == 200
