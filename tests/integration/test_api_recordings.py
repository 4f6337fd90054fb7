"""`/recordings` and `/numbers/{id}/recording` over HTTP, on both databases."""

import asyncio
import csv
import io
import wave
from datetime import timedelta
from hashlib import sha256
from zipfile import ZipFile

import pytest
from sqlalchemy import select, update

from portal_api.resources import calls as calls_resource
from store.database import Database
from store.jobs import take
from store.media import Media
from store.models import (
    Call,
    Job,
    JobState,
    JournalEntry,
    NumberUse,
    PhoneNumber,
    Recording,
    RecordingTranscript,
    TranscriptState,
)
from store.recording_control import ControlOutcome, RecordingState, control_job, finish_control
from tests.furnishing import FIRST_CALL, Furnished, leave_recording
from tests.integration.conftest import Client
from tests.running_switch import eventually

pytestmark = pytest.mark.integration

RECORDINGS = "/api/v1/recordings"


async def leave(database: Database, media: Media, ours: Furnished, seconds: int, *more: str | None) -> str:
    async with database.session() as session:
        at = FIRST_CALL + timedelta(seconds=seconds)
        recording = await leave_recording(session, media, ours.account_id, ours.number_id, at, *more)  # type: ignore[arg-type]
        return recording.id


async def test_what_is_recorded_is_set_for_each_number(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/numbers/{ours.number_id}/recording"
    off = {
        "inbound": False,
        "outbound": False,
        "announcement": False,
        "prompt_id": None,
        "transcribe": False,
    }
    assert (await admin.get(path)).body == off
    on = {**off, "inbound": True, "announcement": True, "prompt_id": ours.prompt_ids[0]}
    assert (await admin.put(path, on)).body == on
    assert (await admin.get(path)).body == on
    refused = await admin("DELETE", f"/api/v1/prompts/{ours.prompt_ids[0]}")
    assert (refused.status, refused.body["code"]) == (409, "in_use")
    assert {"kind": "number", "id": ours.number_id, "name": ours.e164} in refused.body["used_by"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"announcement": True}, "prompt_required"),
        ({"announcement": True, "prompt_id": "unknown"}, "not_found"),
    ],
)
async def test_an_announcement_needs_a_prompt_of_the_number(
    admin: Client, ours: Furnished, change: dict[str, object], code: str
) -> None:
    body = {"inbound": True, "outbound": True, "announcement": False, **change}
    refused = await admin.put(f"/api/v1/numbers/{ours.number_id}/recording", body)
    assert (refused.status, refused.body["errors"][0]["code"]) == (422, code)
    assert refused.fields == ["prompt_id"]


async def test_another_accounts_prompt_is_unknown(admin: Client, ours: Furnished, theirs: Furnished) -> None:
    body = {"inbound": True, "outbound": True, "announcement": True, "prompt_id": theirs.prompt_ids[0]}
    refused = await admin.put(f"/api/v1/numbers/{ours.number_id}/recording", body)
    assert (refused.status, refused.fields) == (422, ["prompt_id"])


async def test_a_number_without_the_option_is_refused(
    admin: Client, database: Database, ours: Furnished
) -> None:
    async with database.session() as session:
        (await session.get_one(PhoneNumber, ours.number_id)).use = NumberUse.FAX
    body = {"inbound": True, "outbound": False, "announcement": False}
    refused = await admin.put(f"/api/v1/numbers/{ours.number_id}/recording", body)
    assert (refused.status, refused.body["code"]) == (409, "option_not_sold")


async def test_finding_recordings(
    admin: Client, database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    later = await leave(database, media, ours, 3600, "+81312340000", "outbound")
    withheld = await leave(database, media, ours, 7200, None)
    first = ours.recording_id

    async def found(query: str) -> list[str]:
        answer = await admin.get(f"{RECORDINGS}?{query}")
        assert answer.status == 200
        return [one["id"] for one in answer.body["items"]]

    assert await found("") == [withheld, later, first]
    assert await found("direction=outbound") == [later]
    assert await found("caller=090-1234-5678") == await found("other_party=09012345678") == [first]
    assert await found("from=2026-11-23T09:30:00%2B09:00&to=2026-11-23T10:30:00%2B09:00") == [later]
    assert await found(f"number_id={ours.number_id}&number=03-1234-5678") == [withheld, later, first]
    assert await found(f"number_id={theirs.number_id}") == []
    page = await admin.get(f"{RECORDINGS}?limit=2")
    assert [one["id"] for one in page.body["items"]] == [withheld, later]
    assert await found(f"limit=2&cursor={page.body['next']}") == [first]


async def test_a_recording_shows_its_evidence(admin: Client, database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        text = "相手: もしもし"
        state = TranscriptState.DONE
        session.add(RecordingTranscript(recording_id=ours.recording_id, state=state, text=text))
    shown = (await admin.get(f"{RECORDINGS}/{ours.recording_id}")).body
    assert shown["announcement"] == {
        "prompt_id": "0" * 32,
        "played_to_end": True,
        "started_at": "2026-11-23T08:59:57+09:00",
        "ended_at": "2026-11-23T09:00:00+09:00",
        "sha256": "a" * 64,
        "text": "この通話は録音されます",
        "played_to": "+819012345678",
    }
    assert shown["transcript"] == {"state": "done", "text": text}
    assert (shown["audio"], shown["complete"]) == ("stored", True)
    assert shown["sections"] == [{"from": "2026-11-23T09:00:00+09:00", "to": "2026-11-23T09:00:02+09:00"}]


async def test_listening(admin: Client, ours: Furnished) -> None:
    """WAV with ranges and a strong entity tag, MP3, and a name for a download."""
    path = f"{RECORDINGS}/{ours.recording_id}/audio"
    whole = await admin.get(path)
    assert whole.headers["ETag"] == f'"{sha256(whole.raw).hexdigest()}"'
    with wave.open(io.BytesIO(whole.raw)) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (2, 8000, 16000)
    part = await admin.get(path, headers={"Range": "bytes=44-51"})
    assert (part.status, part.raw) == (206, b"\x05\x06\x07\x08" * 2)
    assert (await admin.get(path, headers={"If-None-Match": whole.headers["ETag"]})).status == 304
    mp3 = await admin.get(f"{path}?format=mp3&download=1")
    assert mp3.headers["Content-Type"] == "audio/mpeg"
    assert "20261123_090000_09012345678.mp3" in mp3.headers["Content-Disposition"]
    # Two channels: the header's channel mode is not 3.
    frame = mp3.raw.index(b"\xff")
    assert mp3.raw[frame + 3] >> 6 != 3
    assert (await admin.get(f"{path}?format=mp3")).raw == mp3.raw


async def test_a_file_that_is_gone_shows(
    admin: Client, media: Media, database: Database, ours: Furnished
) -> None:
    async with database.session() as session:
        media.remove((await session.get_one(Recording, ours.recording_id)).media)
    assert (await admin.get(f"{RECORDINGS}/{ours.recording_id}")).body["audio"] == "missing"
    refused = await admin.get(f"{RECORDINGS}/{ours.recording_id}/audio")
    assert (refused.status, refused.body["code"]) == (404, "audio_missing")


@pytest.mark.parametrize("sound", ["wav", "mp3"])
async def test_many_in_a_zip(
    admin: Client, database: Database, media: Media, ours: Furnished, theirs: Furnished, sound: str
) -> None:
    dialled = await leave(database, media, ours, 60, "117", "outbound")
    ids = [ours.recording_id, dialled, ours.recording_id, theirs.recording_id]
    answer = await admin.post(f"{RECORDINGS}:download", {"ids": ids, "format": sound})
    archive = ZipFile(io.BytesIO(answer.raw))
    assert archive.testzip() is None
    table = archive.read("index.csv").decode("utf-8-sig")
    first, second, unknown = csv.DictReader(io.StringIO(table, newline=""))
    assert (first["方向"], first["電話番号"], first["相手"]) == ("着信", "03-1234-5678", "090-1234-5678")
    assert (first["録音前の案内"], first["案内のSHA-256"]) == ("最後まで再生", "a" * 64)
    assert (second["方向"], second["相手"]) == ("発信", "117")
    assert theirs.recording_id in unknown["備考"]
    assert archive.namelist() == [first["ファイル名"], second["ファイル名"], "index.csv"]
    assert first["ファイル名"] == f"通話録音_20261123_090000_09012345678.{sound}"
    assert len(archive.read(first["ファイル名"])) > 1000


async def test_deleting(
    admin: Client, database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    one, two = [await leave(database, media, ours, seconds) for seconds in (1, 2)]
    async with database.session() as session:
        rows = {row.id: row for row in await session.scalars(select(Recording))}
    answer = await admin.post(f"{RECORDINGS}:delete", {"ids": [one, two, one, theirs.recording_id]})
    assert {result["id"]: result["result"] for result in answer.body["results"]} == {
        one: "deleted",
        two: "deleted",
        theirs.recording_id: "not_found",
    }
    assert media.missing([rows[one].media, rows[two].media]) == {rows[one].media, rows[two].media}
    assert (await admin("DELETE", f"{RECORDINGS}/{ours.recording_id}")).status == 204
    assert (await admin.get(RECORDINGS)).body["items"] == []
    assert not media.missing([rows[theirs.recording_id].media])
    async with database.session() as session:
        told = select(JournalEntry).where(JournalEntry.call_id == rows[one].call_id)
        (entry,) = await session.scalars(told)
    assert (entry.event, entry.details["by"]) == ("recording_deleted", ours.token_id)


async def connect(database: Database, call_id: str) -> None:
    """The call goes on."""
    async with database.session() as session:
        await session.execute(update(Call).where(Call.id == call_id).values(ended_at=None))


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        (ControlOutcome(RecordingState.PAUSED), 200, "paused"),
        (ControlOutcome(None, "not_recording"), 409, "not_recording"),
    ],
)
async def test_control_goes_to_the_calls_node_and_back(
    admin: Client, database: Database, ours: Furnished, outcome: ControlOutcome, status: int, said: str
) -> None:
    await connect(database, ours.call_id)

    async def node() -> None:
        kinds = (control_job("test"),)
        (job,) = await eventually(lambda: take(database, kinds, "test", 30, 1), 5, "the job")
        assert (job.subject_id, job.payload["order"]) == (ours.call_id, "pause")
        async with database.session() as session:
            await finish_control(session, job, outcome)

    working = asyncio.create_task(node())
    answer = await admin("POST", f"/api/v1/calls/{ours.call_id}/recording:pause")
    await working
    assert (answer.status, answer.body.get("state") or answer.body["code"]) == (status, said)


async def test_a_switch_that_does_not_do_it_in_time(
    admin: Client, database: Database, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken back: nothing is paused minutes later."""
    monkeypatch.setattr(calls_resource, "CONTROL_LIMIT_S", 0.2)
    await connect(database, ours.call_id)
    answer = await admin("POST", f"/api/v1/calls/{ours.call_id}/recording:start")
    assert (answer.status, answer.body["code"]) == (503, "switch_unavailable")
    async with database.session() as session:
        (job,) = await session.scalars(select(Job).where(Job.kind == control_job("test")))
    assert job.state is JobState.DEAD
    assert await take(database, (control_job("test"),), "test", 30, 1) == []
