"""Prompts through the API: spoken, uploaded, tried out, renamed and deleted."""

import asyncio
import io
import os
import signal
import time
import wave
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import IO, Any

import pytest
from aiohttp import FormData

from portal_api.routing import Parts
from store.database import Database
from store.media import Media
from store.models import Prompt, now
from store.prompts import MOST_PROMPTS, media_name, sweep_files
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Answer, Client, serving
from voices.limits import LARGEST_UPLOAD_BYTES, LONGEST_TEXT
from voices.studio import CHECKOUT, Studio

pytestmark = pytest.mark.integration

SPEECH = (CHECKOUT / "launch" / "demo" / "end.wav").read_bytes()
GOOD_START = "発信音の後に、50秒以内でお話しください。終わりましたら、#を押してください。"
DEADLINE_S = 30.0


def new(account: Furnished, **more: Any) -> dict[str, Any]:
    """The body of a prompt to be spoken."""
    return {
        "number_id": account.number_id,
        "name": "夜間",
        "text": "はい、どうぞ。",
        "voice": "female-1",
        **more,
    }


async def upload(
    client: Client, account: Furnished, content: bytes, name: str = "案内.wav", **more: str
) -> Answer:
    form = FormData({"number_id": account.number_id, **more})
    form.add_field("file", io.BytesIO(content), filename=name)
    return await client("POST", "/api/v1/prompts", data=form)


def seconds(wav: bytes) -> float:
    with wave.open(io.BytesIO(wav)) as audio:
        assert (audio.getframerate(), audio.getsampwidth(), audio.getnchannels()) == (8000, 2, 1)
        return float(audio.getnframes() / 8000)


async def test_life_of_a_spoken_prompt(admin: Client, ours: Furnished) -> None:
    tried = await admin.post("/api/v1/prompts:preview", {"text": GOOD_START, "voice": "male-1"})
    assert (tried.status, tried.headers["Content-Type"], tried.headers["X-Prompt-Warnings"]) == (
        200,
        "audio/wav",
        "",
    )
    made = await admin.post("/api/v1/prompts", new(ours, text=GOOD_START, voice="male-1"))
    assert made.status == 201
    assert {
        name: made.body[name] for name in ("name", "text", "voice", "purpose", "file_name", "warnings")
    } == {
        "name": "夜間",
        "text": GOOD_START,
        "voice": "male-1",
        "purpose": "start",
        "file_name": None,
        "warnings": [],
    }
    path = f"/api/v1/prompts/{made.body['id']}"
    assert (await admin.get(path)).body == made.body
    heard = await admin.get(f"{path}/audio")
    assert heard.raw == tried.raw
    assert seconds(heard.raw) == pytest.approx(made.body["duration_s"])
    renamed = await admin("PATCH", path, json={"name": " 深夜 ", "purpose": "closed"})
    assert renamed.body == {**made.body, "name": "深夜", "purpose": "closed"}
    listed = await admin.get(f"/api/v1/prompts?number_id={ours.number_id}")
    assert listed.body["items"][-1] == renamed.body
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(path)).status == 404


async def test_start_prompts_are_warned_about(admin: Client, ours: Furnished) -> None:
    text = "ただいま留守です。終わりましたら、シャープを押してください。"
    tried = await admin.post("/api/v1/prompts:preview", {"text": text})
    assert tried.headers["X-Prompt-Warnings"] == "limit_not_mentioned"
    bare = (await admin.post("/api/v1/prompts", new(ours))).body
    assert [warning["code"] for warning in bare["warnings"]] == ["limit_not_mentioned", "hash_not_mentioned"]
    assert "50秒" in bare["warnings"][0]["detail"]
    end = (await admin.post("/api/v1/prompts", new(ours, purpose="end"))).body
    assert end["warnings"] == []
    # Made for the end, but chosen for the start.
    change = {"start_prompt_id": end["id"]}
    assert (await admin("PATCH", f"/api/v1/rules/{ours.rule_id}", json=change)).status == 200
    codes = [
        warning["code"] for warning in (await admin.get(f"/api/v1/prompts/{end['id']}")).body["warnings"]
    ]
    assert codes == ["limit_not_mentioned", "hash_not_mentioned"]
    listed = {prompt["id"]: prompt for prompt in (await admin.get("/api/v1/prompts")).body["items"]}
    assert len(listed[end["id"]]["warnings"]) == 2
    assert listed[ours.prompt_ids[0]]["warnings"] == []


async def test_voices_and_templates(admin: Client) -> None:
    voices = (await admin.get("/api/v1/prompts/voices")).body["items"]
    assert [voice["id"] for voice in voices] == ["female-1", "female-2", "male-1", "male-2"]
    templates = (await admin.get("/api/v1/prompts/templates")).body["items"]
    assert {template["purpose"] for template in templates} == {"start", "end", "closed", "recording"}
    for template in templates:
        if template["purpose"] == "start":
            assert "50秒" in template["text"] and "#" in template["text"]


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"text": "★"}, "text", "unreadable"),
        ({"text": " \n"}, "text", "string_too_short"),
        ({"text": "あ" * (LONGEST_TEXT + 1)}, "text", "string_too_long"),
        ({"text": "a\0b"}, "text", "text"),
        ({"text": 1}, "text", "string_type"),
        ({"voice": "robot"}, "voice", "literal_error"),
        ({"purpose": "other"}, "purpose", "enum"),
        ({"name": ""}, "name", "string_too_short"),
        ({"number_id": "unknown"}, "number_id", "not_found"),
        ({"file": "x"}, "file", "extra_forbidden"),
    ],
)
async def test_unfit_texts_are_refused_in_japanese(
    admin: Client, ours: Furnished, change: dict[str, Any], field: str, code: str
) -> None:
    refused = await admin.post("/api/v1/prompts", new(ours, **change))
    assert (refused.status, refused.body["code"], refused.fields) == (422, "invalid_body", [field])
    assert refused.body["errors"][0]["code"] == code
    assert not refused.body["errors"][0]["detail"].isascii()


async def test_upload(admin: Client, ours: Furnished) -> None:
    made = await upload(admin, ours, SPEECH, "../../録音/昼の案内.wav", purpose="end", text="失礼します")
    assert made.status == 201
    shown = ("name", "file_name", "text", "voice", "purpose", "warnings")
    assert [made.body[one] for one in shown] == ["昼の案内", "昼の案内.wav", "失礼します", None, "end", []]
    heard = await admin.get(f"/api/v1/prompts/{made.body['id']}/audio")
    assert seconds(heard.raw) == pytest.approx(seconds(SPEECH), abs=0.3)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"%PDF-1.7\n", "not_audio"), (b"", "not_audio"), (b"OggS" + bytes(99), "damaged_audio")],
)
async def test_unfit_uploads_are_refused_in_japanese(
    admin: Client, ours: Furnished, content: bytes, code: str
) -> None:
    refused = await upload(admin, ours, content)
    assert (refused.status, refused.body["code"]) == (422, code)
    assert not refused.body["title"].isascii() and not refused.body["detail"].isascii()


async def test_too_large_an_upload_is_refused(admin: Client, ours: Furnished) -> None:
    refused = await upload(admin, ours, b"RIFF" + bytes(LARGEST_UPLOAD_BYTES))
    assert (refused.status, refused.body["code"]) == (413, "file_too_large")

    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(LARGEST_UPLOAD_BYTES // 2**20 + 2):
            yield bytes(2**20)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    unsized = await admin("POST", "/api/v1/prompts", data=endless(), headers=headers)
    assert (unsized.status, unsized.body["code"]) == (413, "file_too_large")


async def test_a_file_is_closed_however_the_request_ends(
    admin: Client, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[IO[bytes]] = []

    def remembered() -> IO[bytes]:
        kept.append(io.BytesIO())
        return kept[-1]

    monkeypatch.setattr("portal_api.forms.tempfile", SimpleNamespace(TemporaryFile=remembered))
    form = {"number_id": "nope", "name": "x"}
    for key in ("no key", "one", "one"):
        fields = FormData(form)
        fields.add_field("file", b"RIFF", filename="a.wav")
        answer = await admin("POST", "/api/v1/prompts", data=fields, headers={"Idempotency-Key": key})
        assert 400 <= answer.status < 500
    assert [one.closed for one in kept] == [True] * 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_request"),
        (b"nonsense", "malformed_request"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF',
            "malformed_request",
        ),
        (b"--x\r\n\r\nno name\r\n--x--\r\n", "malformed_request"),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--x--\r\n', "malformed_request"),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--x--\r\n', "invalid_body"),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + b"a" * 20_000, "body_too_large"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 2 + b"--x--\r\n", "invalid_body"),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n", "malformed_request"),
    ],
)
async def test_broken_forms_are_refused(admin: Client, body: bytes, code: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = await admin("POST", "/api/v1/prompts", data=body, headers=headers)
    assert (400 <= refused.status < 500, refused.body["code"]) == (True, code)
    without = await admin(
        "POST", "/api/v1/prompts", data=body, headers={"Content-Type": "multipart/form-data"}
    )
    assert (without.status, without.body["code"]) == (400, "malformed_request")
    other = await admin("POST", "/api/v1/prompts", data=body, headers={"Content-Type": "text/plain"})
    assert (other.status, other.body["code"]) == (415, "unsupported_media_type")


async def test_another_accounts_number_gets_no_prompt(
    admin: Client, ours: Furnished, theirs: Furnished, media: Media
) -> None:
    before = sorted(media.folder.rglob("*.wav"))
    spoken = await admin.post("/api/v1/prompts", new(theirs))
    sent = await upload(admin, theirs, SPEECH)
    assert [(one.status, one.fields) for one in (spoken, sent)] == [(422, ["number_id"])] * 2
    assert sorted(media.folder.rglob("*.wav")) == before


async def test_a_number_has_room_for_so_many(admin: Client, database: Database, ours: Furnished) -> None:
    row = {"account_id": ours.account_id, "number_id": ours.number_id, "sha256": "0" * 64, "duration_s": 1.0}
    async with database.session() as session:
        session.add_all([Prompt(name=f"{number}", **row) for number in range(MOST_PROMPTS - 2)])
    refused = await admin.post("/api/v1/prompts", new(ours))
    assert (refused.status, refused.body["code"]) == (409, "too_many_prompts")


async def test_deletion_names_the_rules_and_spares_what_they_play(
    admin: Client, ours: Furnished, theirs: Furnished
) -> None:
    start, end = ours.prompt_ids
    refused = await admin("DELETE", f"/api/v1/prompts/{start}")
    used_by = [{"kind": "rule", "id": ours.rule_id, "name": "昼休み"}]
    assert (refused.status, refused.body["code"], refused.body["used_by"]) == (409, "in_use", used_by)
    free = (await upload(admin, ours, SPEECH)).body["id"]
    ids = [free, end, theirs.prompt_ids[0], "unknown", free]
    results = (await admin.post("/api/v1/prompts:delete", {"ids": ids})).body["results"]
    assert [(one["id"], one["result"]) for one in results] == [
        (free, "deleted"),
        (end, "in_use"),
        (theirs.prompt_ids[0], "not_found"),
        ("unknown", "not_found"),
    ]
    assert results[1]["used_by"] == used_by
    kept = [prompt["id"] for prompt in (await admin.get("/api/v1/prompts")).body["items"]]
    assert kept == [start, end]


async def test_files_go_a_day_after_the_last_prompt_that_named_them(
    admin: Client, database: Database, media: Media, ours: Furnished
) -> None:
    ids = [(await upload(admin, ours, SPEECH)).body["id"] for _ in range(2)]
    async with database.session() as session:
        row = await session.get(Prompt, ids[0])
        assert row is not None
    file = media.path(media_name(row.sha256))

    async def sweep(later: timedelta) -> bool:
        async with database.session() as session:
            await sweep_files(session, media, now() + later)
        return file.exists()

    await admin("DELETE", f"/api/v1/prompts/{ids[0]}")
    assert await sweep(timedelta(days=1)), "the other prompt has the same content"
    os.utime(file, (0, 0))
    await admin("DELETE", f"/api/v1/prompts/{ids[1]}")
    assert await sweep(-timedelta(hours=1)), "a call may be playing it"
    assert not await sweep(timedelta(seconds=1))
    for prompt_id in ours.prompt_ids:
        assert (await admin.get(f"/api/v1/prompts/{prompt_id}/audio")).status == 200


async def test_a_rule_and_a_deletion_at_once_leave_no_rule_without_its_prompt(
    admin: Client, ours: Furnished
) -> None:
    prompt_id = (await upload(admin, ours, SPEECH)).body["id"]
    rule = {
        "number_id": ours.number_id,
        "name": "同時",
        "start_prompt_id": prompt_id,
        "end_prompt_id": prompt_id,
    }
    made, deleted = await asyncio.gather(
        admin.post("/api/v1/rules", rule), admin("DELETE", f"/api/v1/prompts/{prompt_id}")
    )
    assert (made.status, deleted.status) in {(201, 409), (422, 204)}


async def test_full_disk(
    admin: Client, ours: Furnished, media: Media, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media, "put", full)
    refused = await upload(admin, ours, SPEECH)
    assert (refused.status, refused.body["code"]) == (507, "storage_full")
    assert len((await admin.get("/api/v1/prompts")).body["items"]) == 2


async def test_a_synthesiser_killed_in_the_middle_is_a_clear_problem(
    database: Database, media: Media, ours: Furnished
) -> None:
    studio = Studio()
    async with serving(Parts(database, media, "test", SECRET_KEY, studio=studio)) as make_client:
        admin = make_client(ours.token)
        asked = asyncio.create_task(
            admin.post("/api/v1/prompts", new(ours, text="ありがとうございます。" * 40))
        )
        deadline = time.monotonic() + DEADLINE_S
        while (pid := studio.synthesiser_pid) is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        refused = await asked
        assert (refused.status, refused.body["code"]) == (503, "voices_unavailable")
        assert refused.headers["Retry-After"]
        assert (await admin.post("/api/v1/prompts", new(ours))).status == 201
        pid = studio.synthesiser_pid
        assert pid is not None
    # The API's end is the child's end.
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
