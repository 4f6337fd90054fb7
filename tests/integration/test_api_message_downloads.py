"""Messages as MP3, and many in a ZIP."""

import asyncio
import contextlib
import csv
import io
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from portal_api import mp3, zip_stream
from portal_api.main import build_app
from portal_api.routing import Parts
from settings.tools import tool_command
from store.database import Database
from store.media import Media
from store.messages import change_messages
from store.models import VoiceMessage
from tests.furnishing import FIRST_CALL, SECRET_KEY, Furnished, leave_message, wav
from tests.integration.conftest import Answer, Client

pytestmark = pytest.mark.integration

DEADLINE_S = 10.0
DOWNLOAD = "/api/v1/messages:download"
HOSTILE = '=HYPERLINK("http://x")\n<b>\t../../etc/passwd, "あ"'
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def leave(
    database: Database, media: Media, ours: Furnished, seconds: int, caller: str | None = "+819012345678"
) -> VoiceMessage:
    async with database.session() as session:
        at = FIRST_CALL + timedelta(seconds=seconds)
        return await leave_message(session, media, ours.account_id, ours.number_id, at, caller)


def opened(answer: Answer) -> tuple[ZipFile, list[dict[str, str]]]:
    archive = ZipFile(io.BytesIO(answer.raw))
    assert archive.testzip() is None
    index = archive.read("index.csv")
    assert index.startswith(b"\xef\xbb\xbf")
    return archive, list(csv.DictReader(io.StringIO(index.decode("utf-8-sig"), newline="")))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 (nothing tells of a file that is closed)
            await asyncio.sleep(0.02)


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    links = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(link.readlink())
    return path in links


async def test_zip_with_index(
    admin: Client,
    database: Database,
    media: Media,
    ours: Furnished,
    theirs: Furnished,
    tmp_path: Path,
) -> None:
    twin = await leave(database, media, ours, 0)
    withheld = await leave(database, media, ours, 61, None)
    lost = await leave(database, media, ours, 120, "+14155550123")
    media.remove(lost.media)
    async with database.session() as session:
        await change_messages(session, ours.account_id, [withheld.id], "t", note=HOSTILE)
    ids = [ours.message_id, twin.id, withheld.id, lost.id, theirs.message_id, "=1+1", withheld.id]
    answer = await admin.post(DOWNLOAD, {"ids": ids})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="messages.zip"')
    archive, rows = opened(answer)
    names = [
        "留守レポ_20261123_090000_09012345678.wav",
        "留守レポ_20261123_090000_09012345678_2.wav",
        "留守レポ_20261123_090101_非通知.wav",
    ]
    assert archive.namelist() == [*names, "index.csv"]
    assert {archive.read(name) for name in names} == {wav(2.0, b"\x05\x06")}
    assert rows[0] == {
        "日時": "2026-11-23 09:00:00",
        "着信番号": "03-1234-5678",
        "発信者": "090-1234-5678",
        "発信者名": "",
        "秒数": "2.0",
        "終了理由": "#",
        "状態": "未対応",
        "文字起こし": "",
        "ファイル名": names[0],
        "メモ": "",
        "備考": "",
    }
    assert [row["ファイル名"] for row in rows] == [*names, "", "", ""]
    assert (rows[2]["発信者"], rows[2]["メモ"]) == ("非通知", f"'{HOSTILE}")
    assert rows[3]["発信者"].startswith("'+1 ")
    remarks = ["音声ファイルがありません", f"見つかりません: {theirs.message_id}", "見つかりません: =1+1"]
    assert [row["備考"] for row in rows[3:]] == remarks
    file = tmp_path / "messages.zip"
    file.write_bytes(answer.raw)
    if shutil.which("unzip"):
        await asyncio.to_thread(subprocess.run, ["unzip", "-tqq", str(file)], check=True)


async def test_zip_of_nothing_but_the_index(admin: Client, theirs: Furnished) -> None:
    archive, rows = opened(await admin.post(DOWNLOAD, {"ids": [theirs.message_id]}))
    assert archive.namelist() == ["index.csv"]
    assert len(rows) == 1


async def test_unfit_downloads(admin: Client, ours: Furnished) -> None:
    for body in (
        {"ids": list[str]()},
        {"ids": ["x"] * 1001},
        {"ids": ["x"], "format": "exe"},
        dict[str, object](),
    ):
        assert (await admin.post(DOWNLOAD, body)).status == 422


@only_sqlite
async def test_memory_stays_flat(
    database: Database, media: Media, ours: Furnished, api: Callable[[str], Client]
) -> None:
    minute = wav(50.0)
    media.put(minute, "messages/2026/11/23/shared.wav")
    async with database.session() as session:
        left = [
            await leave_message(session, media, ours.account_id, ours.number_id, FIRST_CALL)
            for _ in range(300)
        ]
        for message in left:
            message.media = "messages/2026/11/23/shared.wav"
    async with (
        TestServer(build_app(Parts(database, media, "test", SECRET_KEY))) as server,
        ClientSession(headers={"Authorization": f"Bearer {ours.token}"}) as http,
    ):
        tracemalloc.start()
        try:
            body = {"ids": [message.id for message in left]}
            async with http.post(server.make_url(DOWNLOAD), json=body) as response:
                received = sum([len(chunk) async for chunk in response.content.iter_chunked(65536)])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert received > 300 * len(minute)
    assert peak < 20_000_000


@only_sqlite
@pytest.mark.parametrize("goes_away", [True, False])
async def test_slow_client_holds_nothing(
    database: Database, media: Media, ours: Furnished, goes_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_stream, "STALLED_S", DEADLINE_S * 2 if goes_away else 0.3)
    large = media.path("messages/2026/11/23/large.wav")
    media.put(bytes(30_000_000), "messages/2026/11/23/large.wav")
    async with database.session() as session:
        (await session.get_one(VoiceMessage, ours.message_id)).media = "messages/2026/11/23/large.wav"
    async with (
        TestServer(build_app(Parts(database, media, "test", SECRET_KEY))) as server,
        ClientSession(headers={"Authorization": f"Bearer {ours.token}"}) as http,
        http.post(server.make_url(DOWNLOAD), json={"ids": [ours.message_id]}) as response,
    ):
        await until(lambda: is_open(large))
        pool = database.engine.pool
        assert pool.checkedout() == 0  # type: ignore[attr-defined]
        if goes_away:
            response.close()
        await until(lambda: not is_open(large))


async def test_mp3_is_the_same_sound_every_time(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/messages/{ours.message_id}/audio?format=mp3"
    answer = await admin.get(f"{path}&download=1")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/mpeg")
    assert answer.headers["Content-Disposition"].endswith(".mp3")
    decoder = [
        *tool_command("ffmpeg"),
        *["-v", "error", "-f", "mp3", "-i", "pipe:0", "-f", "s16le", "-ar", "8000", "pipe:1"],
    ]
    decoded = await asyncio.to_thread(
        subprocess.run, decoder, input=answer.raw, capture_output=True, check=True
    )
    samples = decoded.stdout
    assert 2.0 <= len(samples) / 16000 < 2.3
    part = await admin.get(path, headers={"Range": "bytes=100-299", "If-Range": answer.headers["ETag"]})
    assert (part.status, part.raw) == (206, answer.raw[100:300])
    known = await admin.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status, known.raw) == (304, b"")
    whole = await admin("HEAD", path)
    assert (whole.status, whole.headers["Content-Length"]) == (200, str(len(answer.raw)))
    assert (await admin.get(path.replace("mp3", "ogg"))).fields == ["format"]


async def test_zip_of_mp3(admin: Client, database: Database, media: Media, ours: Furnished) -> None:
    broken = await leave(database, media, ours, 5)
    media.path(broken.media).write_bytes(b"no sound")
    answer = await admin.post(DOWNLOAD, {"ids": [ours.message_id, broken.id], "format": "mp3"})
    archive, rows = opened(answer)
    name = "留守レポ_20261123_090000_09012345678.mp3"
    assert archive.namelist() == [name, "index.csv"]
    alone = await admin.get(f"/api/v1/messages/{ours.message_id}/audio?format=mp3")
    assert archive.read(name) == alone.raw
    assert [row["備考"] for row in rows] == ["", "音声を変換できませんでした"]


@only_sqlite
async def test_converter_that_hangs_is_ended(
    admin: Client, ours: Furnished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "pid"
    script = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(mp3, "tool_command", lambda _name: [sys.executable, "-c", script])
    monkeypatch.setattr(mp3, "LIMIT_S", 1.0)
    began = time.monotonic()
    answer = await admin.get(f"/api/v1/messages/{ours.message_id}/audio?format=mp3")
    assert (answer.status, answer.body["code"]) == (503, "conversion_unavailable")
    assert time.monotonic() - began < DEADLINE_S
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


async def test_mp3_of_lost_sound(admin: Client, media: Media, ours: Furnished) -> None:
    media.remove(f"messages/2026/11/23/{ours.call_id}.wav")
    answer = await admin.get(f"/api/v1/messages/{ours.message_id}/audio?format=mp3")
    assert (answer.status, answer.body["code"]) == (404, "audio_missing")
