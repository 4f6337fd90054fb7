"""Whatever is wrong, the answer is a problem, soon."""

import asyncio
import logging
import time
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from portal_api import binding
from portal_api.routing import Parts
from store.database import Database, open_database
from store.media import Media
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client, answered, request_lines, serving

pytestmark = pytest.mark.integration

AS_JSON = {"Content-Type": "application/json"}
NOT_JSON = [
    b"",
    b"{",
    b"nope",
    b'{"name": "x"',
    b"\xff\xfe",
    b'{"name": "\xe3\x81"}',
    b'{"name": "\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
]
NOT_RULES: list[Any] = [[], "x", 1, True, {}, {"name": 1}, {"name": "x", "surprise": 1}, {"name": 10**400}]


@pytest.mark.parametrize("raw", NOT_JSON, ids=lambda raw: repr(raw[:12]))
async def test_what_is_no_json(admin: Client, raw: bytes) -> None:
    refused = await admin("POST", "/api/v1/rules", data=raw, headers=AS_JSON)
    assert (refused.status, refused.body["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("body", NOT_RULES, ids=lambda body: repr(body)[:20])
async def test_json_of_another_shape(admin: Client, body: Any) -> None:
    refused = await admin.post("/api/v1/rules", body)
    assert refused.status in (400, 422)
    assert not any(error["detail"].isascii() for error in refused.body["errors"])


async def test_nothing_is_converted(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/numbers/{ours.number_id}/rusurepo"
    unlike_a_switch: list[Any] = ["true", 1, 0, None, "on", []]
    for enabled in unlike_a_switch:
        refused = await admin.put(path, {"enabled": enabled, "rule_id": None})
        assert (refused.status, refused.fields) == (422, ["enabled"])
    assert (await admin.put(path, {"enabled": True})).fields == ["rule_id"]


async def test_no_more_than_some_errors_are_told(admin: Client) -> None:
    refused = await admin.post("/api/v1/devices", {f"field{number}": 1 for number in range(5000)})
    assert (refused.status, len(refused.body["errors"])) == (422, 50)


async def test_too_large_a_body(admin: Client) -> None:
    raw = BytesIO(b'{"name": "' + b"x" * 1024 * 1024 + b'"}')
    refused = await admin("POST", "/api/v1/devices", data=raw, headers=AS_JSON)
    assert (refused.status, refused.body["code"]) == (413, "body_too_large")


async def test_other_media_types(admin: Client) -> None:
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        refused = await admin("POST", "/api/v1/devices", data=b"{}", headers={"Content-Type": content_type})
        assert (refused.status, refused.body["code"]) == (415, "unsupported_media_type")


async def test_wrong_paths_and_methods(admin: Client, ours: Furnished) -> None:
    for path in ("/", "/api", "/api/v1/", "/api/v1/nope", "/api/v1/numbers/", "/api/v2/numbers", "/%2e%2e/x"):
        answer = await admin.get(path)
        assert (answer.status, answer.body["code"]) == (404, "not_found"), path
    answer = await admin("DELETE", f"/api/v1/numbers/{ours.number_id}")
    assert (answer.status, answer.body["code"], answer.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET,HEAD,PATCH",
    )


async def test_request_id_is_given_or_made(admin: Client) -> None:
    answer = await admin.get("/api/v1/nope", headers={"X-Request-Id": "abc-123"})
    assert answer.headers["X-Request-Id"] == answer.body["request_id"] == "abc-123"
    for unfit in ("a b", "x" * 65, "あ"):
        answer = await admin.get("/api/v1/nope", headers={"X-Request-Id": unfit})
        assert answer.headers["X-Request-Id"] != unfit


async def test_log_has_no_query_and_no_token(
    admin: Client, ours: Furnished, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="portal_api"):
        await admin.get("/api/v1/messages?number=0312345678")
    assert answered(caplog) == [("GET", "/api/v1/messages", 200)]
    assert "0312345678" not in caplog.text
    assert ours.token not in caplog.text


async def test_a_line_of_the_log_says_who_asked_for_what(
    admin: Client, nobody: Client, ours: Furnished, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/api/v1/calls/{ours.call_id}/journal"
    with caplog.at_level(logging.INFO, logger="portal_api"):
        answer = await admin.get(path, headers={"X-Request-Id": "mine"})
        await nobody.get(path)
        await admin.get("/nowhere/%00%ED%A0%80")
    known, unknown, lost = request_lines(caplog)
    assert datetime.fromisoformat(known.pop("at")).tzinfo is not None
    assert 0 <= known.pop("ms") < 60_000
    assert known == {
        "request_id": "mine",
        "method": "GET",
        "path": path,
        "route": "/api/v1/calls/{call_id}/journal",
        "status": 200,
        "bytes": len(answer.raw),
        "call_id": ours.call_id,
        "account_id": ours.account_id,
        "token_id": ours.token_id,
        "address": "127.0.0.1",
    }
    assert (unknown["status"], unknown["call_id"]) == (401, ours.call_id)
    assert {"token_id", "account_id"}.isdisjoint(unknown)
    assert lost["status"] == 404 and "route" not in lost


async def test_unexpected_error_is_a_problem_without_details(
    admin: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("portal_api.resources.devices.devices.list_devices", broken)
    answer = await admin.get("/api/v1/devices")
    assert (answer.status, answer.body["code"]) == (500, "internal_error")
    assert b"secret detail" not in answer.raw
    assert "secret detail" in caplog.text


async def test_locked_database_is_answered_soon(
    database: Database, database_url: str, media: Media, ours: Furnished
) -> None:
    """Another process holds the write lock. Reading goes on; writing is told to come back, then works."""
    lock = "BEGIN IMMEDIATE" if database_url.startswith("sqlite") else "LOCK TABLE revisions"
    path, body = f"/api/v1/numbers/{ours.number_id}/rusurepo", {"enabled": False, "rule_id": None}
    impatient = open_database(database_url, busy_timeout_s=0.3)
    parts = Parts(impatient, media, "test", SECRET_KEY, database_timeout_s=1.0)
    async with serving(parts) as make_client, database.engine.connect() as connection:
        admin = make_client(ours.token)
        await connection.execute(text(lock))
        began = time.monotonic()
        refused = await admin.put(path, body)
        assert (refused.status, refused.body["code"]) == (503, "database_unavailable")
        assert refused.headers["Retry-After"] == "2"
        assert time.monotonic() - began < 3
        assert (await admin.get(path)).status == 200
        await connection.rollback()
        assert (await admin.put(path, body)).status == 200
    await impatient.close()


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://nobody@127.0.0.1:1/none", "sqlite+aiosqlite:////nonexistent/folder/x.db"]
)
async def test_absent_database_is_answered_soon(url: str, tmp_path: Path) -> None:
    database = open_database(url)
    async with serving(Parts(database, Media(tmp_path), "test", SECRET_KEY)) as make_client:
        client = make_client("any")
        assert (await client.get("/api/v1/numbers")).body["code"] == "database_unavailable"
        readiness = await client.get("/readyz")
        assert readiness.status == 503
        ready = {part["part"]: part["ready"] for part in readiness.body["parts"]}
        assert ready == {"media": True, "database": False}
        assert (await client.get("/healthz")).status == 200
    await database.close()


async def test_database_that_goes_away_and_comes_back(
    postgres_prefix: str, migrated_postgres: str, media: Media
) -> None:
    """Every connection is cut by the server; the next request works on a new one."""
    database = open_database(migrated_postgres)
    async with serving(Parts(database, media, "test", SECRET_KEY)) as make_client:
        client = make_client("any")
        assert (await client.get("/api/v1/numbers")).status == 401
        other = open_database(f"{postgres_prefix}postgres")
        name = migrated_postgres.rpartition("/")[2]
        async with other.session() as session:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            await session.execute(text(cut), {"name": name})
        assert (await client.get("/api/v1/numbers")).status == 401
        await other.close()
        nowhere = open_database(f"{postgres_prefix}there_is_none")
    async with serving(Parts(nowhere, media, "test", SECRET_KEY)) as make_client:
        assert (await make_client("any").get("/api/v1/numbers")).status == 503
    await nowhere.close()
    await database.close()


async def test_body_that_never_ends_is_given_up(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "BODY_TIMEOUT_S", 0.2)

    async def drip() -> Any:
        yield b'{"name": '
        await asyncio.sleep(30)

    answer = await asyncio.wait_for(admin("POST", "/api/v1/devices", data=drip(), headers=AS_JSON), 5)
    assert (answer.status, answer.body["code"]) == (408, "body_too_slow")
