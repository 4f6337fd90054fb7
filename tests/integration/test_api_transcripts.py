"""Transcripts through the API: reading, correcting, another run, searching."""

from urllib.parse import quote

import pytest
from sqlalchemy import select

from store.database import Database
from store.models import Job
from store.transcripts import TRANSCRIBE, Recognition, keep_failure, keep_recognition
from tests.furnishing import Furnished
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

WORDS = [
    {"word": "Ｔｅｓｔ", "start": 0.5, "end": 0.9, "confidence": 1.0},
    {"word": "田中", "start": 1.0, "end": 1.4, "confidence": 0.6},
]
MARKUP = '<script>alert("田中")</script> & 100%_\\ <!channel>'


def path(account: Furnished) -> str:
    return f"/api/v1/messages/{account.message_id}/transcript"


async def recognised(database: Database, account: Furnished, text: str = "Ｔｅｓｔ田中です") -> None:
    async with database.session() as session:
        await keep_recognition(
            session, account.message_id, Recognition(text, "vosk", "vosk-model-small-ja-0.22", WORDS)
        )


async def found(client: Client, text: str) -> int:
    answer = await client.get(f"/api/v1/messages?text={quote(text)}")
    assert answer.status == 200
    return len(answer.body["items"])


async def test_before_and_after_the_recognition(admin: Client, database: Database, ours: Furnished) -> None:
    before = (await admin.get(path(ours))).body
    assert (before["state"], before["text"], before["correction"]) == ("waiting", None, None)
    assert before["recognition"]["words"] == []
    await recognised(database, ours)
    after = (await admin.get(path(ours))).body
    assert (after["message_id"], after["state"], after["text"]) == (
        ours.message_id,
        "done",
        "Ｔｅｓｔ田中です",
    )
    recognition = after["recognition"]
    assert (recognition["confidence"], recognition["low_confidence"]) == (0.8, True)
    assert (recognition["engine"], recognition["model"]) == ("vosk", "vosk-model-small-ja-0.22")
    assert recognition["recognised_at"].endswith("+09:00")
    assert recognition["words"] == [
        {"word": "Ｔｅｓｔ", "start_s": 0.5, "end_s": 0.9, "confidence": 1.0, "low_confidence": False},
        {"word": "田中", "start_s": 1.0, "end_s": 1.4, "confidence": 0.6, "low_confidence": True},
    ]
    message = (await admin.get(f"/api/v1/messages/{ours.message_id}")).body
    assert message["transcript"] == {"state": "done", "text": "Ｔｅｓｔ田中です"}


async def test_nothing_said_and_failed(admin: Client, database: Database, ours: Furnished) -> None:
    await recognised(database, ours, "")
    assert (await admin.get(path(ours))).body["state"] == "empty"
    async with database.session() as session:
        await keep_failure(session, ours.message_id, "音声ファイルを読み取れません。")
    told = (await admin.get(path(ours))).body
    assert (told["state"], told["recognition"]["failure"]) == ("failed", "音声ファイルを読み取れません。")


async def test_correcting_and_taking_it_back(admin: Client, database: Database, ours: Furnished) -> None:
    await recognised(database, ours)
    corrected = await admin("PATCH", path(ours), json={"text": "  テストの田中です\n折り返してください "})
    assert corrected.status == 200
    assert corrected.body["text"] == "テストの田中です\n折り返してください"
    assert corrected.body["correction"]["corrected_by"] == ours.token_id
    assert corrected.body["recognition"]["text"] == "Ｔｅｓｔ田中です"
    assert (await admin.get(path(ours))).body == corrected.body
    back = (await admin("PATCH", path(ours), json={"text": None})).body
    assert (back["text"], back["correction"]) == ("Ｔｅｓｔ田中です", None)
    journal = (await admin.get(f"/api/v1/calls/{ours.call_id}/journal")).body["items"]
    told = [(entry["event"], entry["details"].get("by")) for entry in journal if "transcri" in entry["event"]]
    assert told == [
        ("transcribed", None),
        ("transcript_corrected", ours.token_id),
        ("transcript_correction_removed", ours.token_id),
    ]
    assert "田中" not in str(journal)


async def test_a_message_without_text_can_be_written_down(admin: Client, ours: Furnished) -> None:
    corrected = (await admin("PATCH", path(ours), json={"text": "聞き取った文"})).body
    assert (corrected["state"], corrected["text"]) == ("done", "聞き取った文")
    assert corrected["recognition"]["state"] == "waiting"
    assert (await admin("PATCH", path(ours), json={"text": None})).body["state"] == "waiting"


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "  "}, {"text": "x" * 5001}, {"text": "\x00"}, {"text": 1}, []]
)
async def test_unfit_corrections(admin: Client, ours: Furnished, body: object) -> None:
    assert (await admin("PATCH", path(ours), json=body)).status == 422


async def test_another_run_is_one_job_and_keeps_the_correction(
    admin: Client, database: Database, ours: Furnished
) -> None:
    await recognised(database, ours)
    await admin("PATCH", path(ours), json={"text": "正しい文"})
    for _ in range(2):
        asked = await admin.post(f"{path(ours)}:rerun", {})
        assert asked.status == 202
        assert (asked.body["text"], asked.body["recognition"]["state"]) == ("正しい文", "waiting")
    async with database.session() as session:
        jobs = list(await session.scalars(select(Job).where(Job.kind == TRANSCRIBE)))
    assert [(job.subject_id, job.account_id) for job in jobs] == [(ours.message_id, ours.account_id)]
    dropped = (await admin.post(f"{path(ours)}:rerun", {"keep_correction": False})).body
    assert (dropped["state"], dropped["correction"]) == ("waiting", None)
    assert await found(admin, "正しい") == 0


async def test_another_account_sees_and_changes_nothing(
    admin: Client, other_admin: Client, database: Database, ours: Furnished
) -> None:
    await recognised(database, ours)
    for answer in (
        await other_admin.get(path(ours)),
        await other_admin("PATCH", path(ours), json={"text": "わるい文"}),
        await other_admin.post(f"{path(ours)}:rerun", {}),
        await admin.get("/api/v1/messages/unknown/transcript"),
        await admin("PATCH", "/api/v1/messages/unknown/transcript", json={"text": "文"}),
        await admin.post("/api/v1/messages/unknown/transcript:rerun", {}),
    ):
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert await found(other_admin, "田中") == 0
    assert (await admin.get(path(ours))).body["state"] == "done"


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("田中", 1),
        ("test田中", 1),
        ("ＴＥＳＴ 田中", 1),
        ("田中です", 1),
        ("山田", 0),
        ("%", 0),
        ("_", 0),
        ("t%t", 0),
        ("\\", 0),
        ("' OR 1=1 --", 0),
        ("ﾃｽﾄ", 0),
    ],
)
async def test_searching_by_text(
    admin: Client, database: Database, ours: Furnished, theirs: Furnished, text: str, hits: int
) -> None:
    await recognised(database, ours)
    await recognised(database, theirs)
    assert await found(admin, text) == hits


async def test_searches_see_the_correction_and_kana_of_any_width(admin: Client, ours: Furnished) -> None:
    await admin("PATCH", path(ours), json={"text": "テスト商会 ストラッセ Straße"})
    for text in ("ﾃｽﾄ商会", "テスト商会ストラッセ", "STRASSE"):
        assert await found(admin, text) == 1


async def test_markup_is_just_text(admin: Client, database: Database, ours: Furnished) -> None:
    await recognised(database, ours, MARKUP)
    assert (await admin.get(path(ours))).body["text"] == MARKUP
    assert (await admin("PATCH", path(ours), json={"text": MARKUP})).body["text"] == MARKUP
    for text in (MARKUP, "100%_\\", "<!channel>"):
        assert await found(admin, text) == 1
    assert (await admin.get(path(ours))).headers["Content-Type"].startswith("application/json")
