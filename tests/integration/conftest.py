"""A running API on a real socket, and clients with tokens."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher

from billing.drawing import Draw
from billing.invoice_pdf import render
from portal_api import access_log
from portal_api.linphone import SipServer
from portal_api.main import build_app
from portal_api.routing import Parts
from store import passwords
from store.database import Database
from store.invoice_content import InvoiceContent
from store.media import Media
from store.models import Role
from store.tokens import issue_token
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.documented import Document


@dataclass(frozen=True)
class Answer:
    """A whole response; `body` is its JSON where it has one."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    body: Any

    @property
    def fields(self) -> list[str]:
        """The fields a problem complains of."""
        return [error["field"] for error in self.body["errors"]]


class Client:
    """Calls the API with one token. Every answer is checked against the API's own document."""

    def __init__(self, http: ClientSession, base: str, token: str | None, document: Document) -> None:
        self._http = http
        self._base = base
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._document = document

    async def __call__(self, method: str, path: str, **how: Any) -> Answer:
        headers = self._headers | how.pop("headers", {})
        url = f"{self._base}{path}"
        async with self._http.request(method, url, headers=headers, **how) as response:
            raw = await response.read()
            parsed = (
                await response.json(content_type=None) if "json" in response.content_type and raw else None
            )
            answer = Answer(response.status, response.headers, raw, parsed)
        self._document.check(method, path, answer.status, answer.headers, parsed)
        return answer

    async def get(self, path: str, **how: Any) -> Answer:
        return await self("GET", path, **how)

    async def post(self, path: str, json: Any, **how: Any) -> Answer:
        return await self("POST", path, json=json, **how)

    async def put(self, path: str, json: Any, **how: Any) -> Answer:
        return await self("PUT", path, json=json, **how)


def request_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the access log said so far, a line each."""
    return [json.loads(one.getMessage()) for one in caplog.records if one.name == access_log.log.name]


def answered(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, int]]:
    """Method, path and status of each."""
    return [(line["method"], line["path"], line["status"]) for line in request_lines(caplog)]


MakeClient = Callable[[str | None], Client]


@asynccontextmanager
async def serving(parts: Parts) -> AsyncIterator[MakeClient]:
    """Run the API on `parts`. Call what it gives with a token, or None, to get a client."""
    async with TestServer(build_app(parts)) as server, ClientSession() as http:
        base = str(server.make_url("")).rstrip("/")
        async with http.get(f"{base}/openapi.json") as response:
            document = Document(await response.json())
        yield lambda token: Client(http, base, token, document)


@pytest.fixture
async def api(database: Database, media: Media) -> AsyncIterator[MakeClient]:
    """A running API on the test's database, patient with a machine that does everything at once."""
    sip = SipServer("sip.example.jp", 5060, "udp")
    parts = Parts(database, media, "test", SECRET_KEY, database_timeout_s=30, sip_server=sip)
    async with serving(parts) as make_client:
        yield make_client


@pytest.fixture
def admin(api: MakeClient, ours: Furnished) -> Client:
    return api(ours.token)


@pytest.fixture
def other_admin(api: MakeClient, theirs: Furnished) -> Client:
    return api(theirs.token)


@pytest.fixture
def nobody(api: MakeClient) -> Client:
    return api(None)


@pytest.fixture
async def operator(api: MakeClient, database: Database) -> Client:
    async with database.session() as session:
        _, secret = await issue_token(session, Role.OPERATOR, None)
    return api(secret)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same argon2id, at a cost that suits tests."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords._nobodys.cache_clear()


@pytest.fixture
def drawn_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invoices are drawn in this process, for tests that issue many: another one takes a second to start."""

    @asynccontextmanager
    async def drawing() -> AsyncIterator[Draw]:
        async def draw(content: InvoiceContent) -> bytes:
            return await asyncio.to_thread(render, content)

        yield draw

    monkeypatch.setattr("billing.closing.drawing", drawing)
