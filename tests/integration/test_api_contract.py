"""What every answer has: small where it can be, safe in browsers, counted; and what no client can do."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from portal_api.main import build_app
from portal_api.routing import Parts
from settings import ApiSettings
from store.database import Database
from store.media import Media
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client, MakeClient, serving

pytestmark = pytest.mark.integration

PAGE = "https://page.example.jp"


@pytest.fixture
async def open_api(database: Database, media: Media) -> AsyncIterator[MakeClient]:
    """An API that another site's page may use."""
    parts = Parts(database, media, "test", SECRET_KEY, api=ApiSettings(cors_origins=(PAGE,)))
    async with serving(parts) as make_client:
        yield make_client


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("GZIP", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
        ("", False),
    ],
)
async def test_long_json_is_compressed_for_who_takes_it(
    database: Database, media: Media, accepted: str, coded: bool
) -> None:
    app = build_app(Parts(database, media, "test", SECRET_KEY))
    async with TestServer(app) as server, ClientSession(auto_decompress=False) as http:
        headers = {"Accept-Encoding": accepted}
        async with http.get(server.make_url("/openapi.json"), headers=headers) as answer:
            raw = await answer.read()
            assert (answer.headers.get("Content-Encoding") == "gzip") is coded
            assert "Accept-Encoding" in answer.headers["Vary"]
        assert json.loads(gzip.decompress(raw) if coded else raw)["openapi"] == "3.1.0"
        async with http.get(server.make_url("/healthz"), headers=headers) as short:
            assert "Content-Encoding" not in short.headers


async def test_every_answer_is_safe_in_a_browser(admin: Client, nobody: Client) -> None:
    for client, path in (
        (admin, "/api/v1/numbers"),
        (nobody, "/api/v1/numbers"),
        (nobody, "/docs"),
        (nobody, "/x"),
    ):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert "Strict-Transport-Security" not in headers
    behind = await admin.get("/api/v1/numbers", headers={"X-Forwarded-Proto": "https"})
    assert behind.headers["Strict-Transport-Security"].startswith("max-age=")


async def test_only_pages_that_were_named_may_ask(
    open_api: MakeClient, admin: Client, ours: Furnished
) -> None:
    client, nobody = open_api(ours.token), open_api(None)
    asking = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}
    allowed = await nobody("OPTIONS", "/api/v1/numbers", headers={"Origin": PAGE, **asking})
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert "If-Match" in allowed.headers["Access-Control-Allow-Headers"]
    assert "PATCH" in allowed.headers["Access-Control-Allow-Methods"]
    answer = await client.get("/api/v1/numbers", headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    # An error can be read there too.
    assert (await nobody.get("/api/v1/numbers", headers={"Origin": PAGE})).headers[
        "Access-Control-Allow-Origin"
    ] == PAGE
    for origin in ("https://evil.example", f"{PAGE}.evil.example", "null"):
        refused = await client.get("/api/v1/numbers", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert "Origin" in refused.headers["Vary"]
    assert (await admin("OPTIONS", "/api/v1/numbers", headers={"Origin": PAGE, **asking})).status == 405


async def test_metrics(admin: Client, nobody: Client, operator: Client, ours: Furnished) -> None:
    await admin.get(f"/api/v1/messages/{ours.message_id}")
    await admin.get("/api/v1/messages/nope")
    await nobody.get("/nowhere/at/all")
    answer = await nobody.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = answer.raw.decode().splitlines()
    route = 'method="GET",route="/api/v1/messages/{message_id}"'
    assert f'denwaban_http_requests_total{{{route},status="200"}} 1.0' in lines
    assert f'denwaban_http_requests_total{{{route},status="404"}} 1.0' in lines
    assert f"denwaban_http_request_duration_seconds_count{{{route}}} 2.0" in lines
    assert 'denwaban_http_requests_total{method="GET",route="none",status="404"} 1.0' in lines
    assert 'denwaban_part_ready{part="database"} 1.0' in lines
    assert 'denwaban_calls_up{node="test"} 0.0' in lines
    assert "denwaban_ready 0.0" in lines
    assert ours.message_id not in answer.raw.decode()
    # Through a proxy on this machine it is a stranger who asks.
    through = {"X-Forwarded-For": "203.0.113.5"}
    assert (await nobody.get("/metrics", headers=through)).status == 403
    assert (await admin.get("/metrics", headers=through)).status == 403
    assert (await operator.get("/metrics", headers=through)).status == 200


async def test_metrics_count_jobs(database: Database, nobody: Client, admin: Client, ours: Furnished) -> None:
    await admin("POST", f"/api/v1/messages/{ours.message_id}/transcript:rerun", json={})
    lines = (await nobody.get("/metrics")).raw.decode().splitlines()
    assert 'denwaban_jobs{kind="transcribe",state="waiting"} 1.0' in lines
    assert any(line.startswith('denwaban_jobs_late_seconds{kind="transcribe"}') for line in lines)


async def test_a_request_head_that_never_ends_is_given_up(database: Database, media: Media) -> None:
    server = TestServer(build_app(Parts(database, media, "test", SECRET_KEY)))
    await server.start_server(keepalive_timeout=0.3)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    await server.close()


async def test_too_long_a_head_is_refused(database: Database, media: Media) -> None:
    async with TestServer(build_app(Parts(database, media, "test", SECRET_KEY))) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n")
        async with asyncio.timeout(20):
            assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
