"""`/healthz`, `/readyz`, `/openapi.json` and `/docs`."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from openapi_spec_validator import validate

from portal_api.health import reported_states
from portal_api.main import ROUTES, build_app
from portal_api.problems import TITLES
from portal_api.routing import Parts
from store import reports
from store.database import Database
from store.media import Media
from store.models import PartReport, now
from tests.furnishing import SECRET_KEY
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 23, tzinfo=UTC)


def a_report(part: str, ready: bool, age_s: float, reason: str = "") -> PartReport:
    return PartReport(part=part, ready=ready, reason=reason, reported_at=AT - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("kept", "down"),
    [
        ([], {"n.pbx": "has not reported yet"}),
        ([a_report("n.pbx", True, 5)], {}),
        ([a_report("n.pbx", True, 7)], {"n.pbx": "silent for 7 s"}),
        ([a_report("n.pbx", False, 1, "no Asterisk")], {"n.pbx": "no Asterisk"}),
        ([a_report("n.pbx", True, 1), a_report("other.pbx", True, 60)], {"other.pbx": "silent for 60 s"}),
        ([a_report("n.pbx", True, 1), a_report("retired.pbx", True, 90000)], {}),
    ],
)
def test_reports_are_judged(kept: list[PartReport], down: dict[str, str]) -> None:
    states = reported_states(kept, "n.pbx", AT)
    assert {state.part: state.reason for state in states if not state.ready} == down


async def test_ready_once_every_part_is(nobody: Client, database: Database) -> None:
    before = await nobody.get("/readyz")
    assert (before.status, before.body["ready"]) == (503, False)
    await reports.report(database, "test.pbx", True)
    after = await nobody.get("/readyz")
    assert (after.status, after.body["ready"]) == (200, True)
    assert {part["part"] for part in after.body["parts"]} == {"media", "database", "test.pbx"}
    await reports.report(database, "test.pbx", True, at=now() - timedelta(seconds=10))
    assert (await nobody.get("/readyz")).status == 503


async def test_media_folder_that_is_none(nobody: Client, media: Media) -> None:
    media.folder.touch()
    parts = (await nobody.get("/readyz")).body["parts"]
    assert parts[0]["part"] == "media"
    assert not parts[0]["ready"]


async def test_alive(nobody: Client) -> None:
    assert (await nobody.get("/healthz")).body == {"live": True}


async def test_unknown_expectation_is_answered(database: Database, media: Media) -> None:
    server = TestServer(build_app(Parts(database, media, "test", SECRET_KEY)))
    headers = {"Expect": "more"}
    async with (
        server,
        ClientSession() as http,
        http.get(server.make_url("/healthz"), headers=headers) as answer,
    ):
        assert answer.status == 417


async def test_document_is_valid_and_whole(nobody: Client) -> None:
    document: dict[str, Any] = (await nobody.get("/openapi.json")).body
    validate(document)
    assert document["openapi"].startswith("3.1")
    documented = {(method.upper(), path) for path, ways in document["paths"].items() for method in ways}
    assert documented == {(route.method, route.path) for route in ROUTES}


async def test_docs_show_everything_and_load_nothing(nobody: Client) -> None:
    page = (await nobody.get("/docs")).raw.decode()
    for route in ROUTES:
        assert route.path in page
    for code in TITLES:
        assert f'id="{code}"' in page
    assert "src=" not in page
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//|url\(|@import|<script|<link", page)
