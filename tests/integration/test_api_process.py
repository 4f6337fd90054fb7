"""`python -m portal_api` and `python -m store.migrate` as processes of their own."""

import asyncio
import io
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession, FormData

from store.database import open_database
from store.media import Media
from store.migrate import migrate
from tests.furnishing import furnish

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(var: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DENWABAN_")}
    return {**kept, "PYTHONPATH": str(ROOT), "DENWABAN_VAR": str(var), "DENWABAN_API_PORT": str(port)}


@asynccontextmanager
async def running(module: str, var: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        cwd=var, env=environment(var, port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def until_alive(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    async with ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    assert answer.status == 200
                    return
            except ClientConnectionError:
                assert time.monotonic() < deadline, "the API did not start"
                await asyncio.sleep(0.05)


async def test_migrate_speaks_only_when_it_did_something(tmp_path: Path) -> None:
    for said in (b"the database is now up to date\n", b""):
        async with running("store.migrate", tmp_path, 1) as process:
            out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert (process.returncode, out, err) == (0, said, b"")


async def test_api_starts_answers_and_stops_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    async with running("portal_api", tmp_path, port) as process:
        await until_alive(port)
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0
    assert b"Traceback" not in err


def children_of(pid: int) -> list[int]:
    return [
        int(child)
        for listed in Path(f"/proc/{pid}/task").glob("*/children")
        for child in listed.read_text().split()
    ]


async def test_a_killed_api_leaves_no_synthesiser_behind(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/denwaban.db"
    await migrate(url)
    database, port = open_database(url), free_port()
    async with database.session() as session:
        ours = await furnish(session, Media(tmp_path / "media"), "株式会社あさひ", "+81312345678")
    await database.close()
    headers = {"Authorization": f"Bearer {ours.token}"}
    async with running("portal_api", tmp_path, port) as process, ClientSession(headers=headers) as http:
        await until_alive(port)
        prompts = f"http://127.0.0.1:{port}/api/v1/prompts"
        async with http.post(f"{prompts}:preview", json={"text": "はい、どうぞ。"}) as spoken:
            assert spoken.status == 200
            sound = io.BytesIO(await spoken.read())
        form = FormData({"number_id": ours.number_id, "file": sound})
        async with http.post(prompts, data=form) as uploaded:
            assert uploaded.status == 201
        (child,) = await asyncio.to_thread(children_of, process.pid)
        process.kill()
        deadline = time.monotonic() + DEADLINE_S
        while await asyncio.to_thread(Path(f"/proc/{child}/exe").exists):
            assert time.monotonic() < deadline, "the synthesiser outlives the API"
            await asyncio.sleep(0.05)


async def test_taken_port_and_bad_settings_are_told_in_a_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for given, told in ((port, f"127.0.0.1:{port}"), (0, "DENWABAN_API_PORT")):
            async with running("portal_api", tmp_path, given) as process:
                _, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
            assert process.returncode == 1
            assert told in err.decode()
            assert "Traceback" not in err.decode()
