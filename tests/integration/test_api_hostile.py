"""What nobody means well by: texts of every kind in every field, and more than anybody may send."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer

from portal_api.main import build_app
from portal_api.routing import Parts
from store.database import Database
from store.media import Media
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client, MakeClient

pytestmark = pytest.mark.integration

DEADLINE_S = 20
GIGABYTE = 1 << 30
TEXTS = (
    # NUL and halves of characters, which databases refuse.
    "a\0b",
    "\udc00\ud83d",
    # Signs of no width and of much, from right to left, composed, and no characters at all.
    "\u202eabc\u2066\u200b" + "\ufdfa" * 60,
    "👩‍👩‍👧‍👦" * 20 + "e\u0301" * 50,
    "\ufeff\uffff\U0010ffff",
    # Other languages' words, and much of it.
    "'; DROP TABLE accounts; -- %s %(x)s {x} ${x}",
    "\r\nSet-Cookie: a=b",
    "x" * 70_000,
)

SLOW = {"preview_prompt", "follow_events"}
"""What speaks for seconds, or never ends."""


def with_texts(body: Any, text: str) -> Iterator[Any]:
    """`body` with `text` in the place of each of its texts, one after the other."""
    match body:
        case str():
            yield text
        case dict():
            for name, value in body.items():
                yield from ({**body, name: other} for other in with_texts(value, text))
        case list():
            for place, value in enumerate(body):
                yield from ([*body[:place], other, *body[place + 1 :]] for other in with_texts(value, text))


def operations(document: dict[str, Any], ours: Furnished) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path with our ids, and what the document says of it."""
    known = {
        "number_id": ours.number_id,
        "device_id": ours.device_id,
        "rule_id": ours.rule_id,
        "prompt_id": ours.prompt_ids[0],
        "call_id": ours.call_id,
        "message_id": ours.message_id,
        "recording_id": ours.recording_id,
    }
    for path, ways in document["paths"].items():
        for name, value in known.items():
            path = path.replace(f"{{{name}}}", value)
        for method, operation in ways.items():
            if path.startswith("/api/v1/") and operation["operationId"] not in SLOW:
                yield method.upper(), path.replace("{", "").replace("}", ""), operation


async def test_no_text_in_any_field_of_any_body_is_our_fault(admin: Client, ours: Furnished) -> None:
    document = (await admin.get("/openapi.json")).body
    asked = 0
    for method, path, operation in operations(document, ours):
        example = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        )
        for text in TEXTS:
            for body in with_texts(example, text):
                raw = json.dumps(body).encode()
                answer = await admin(method, path, data=raw, headers={"Content-Type": "application/json"})
                assert answer.status < 500, (method, path, raw[:300], answer.raw)
                asked += 1
    assert asked > 800


async def test_no_text_in_any_parameter_is_our_fault(admin: Client, ours: Furnished) -> None:
    document = (await admin.get("/openapi.json")).body
    sent = [quote(text[:500], errors="surrogatepass") for text in TEXTS] + [
        "%00",
        "%ED%A0%80",
        "%FF%FE",
        "%C0%AF",
    ]
    asked = 0
    for method, path, operation in operations(document, ours):
        names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
        for text in sent if method == "GET" else ():
            for name in names:
                answer = await admin.get(f"{path}?{name}={text}")
                assert answer.status < 500, (path, name, text, answer.raw)
                asked += 1
    for text in sent:
        for path in ("messages", "calls", "devices", "phonebook/entries", "numbers"):
            answer = await admin.get(f"/api/v1/{path}/{text}")
            assert 400 <= answer.status < 500, (path, text)
    assert asked > 500


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("devices", "application/json", "body_too_large"),
        ("prompts", "multipart/form-data; boundary=x", "file_too_large"),
        ("phonebook/imports", "multipart/form-data; boundary=x", "file_too_large"),
        ("fax/submissions", "multipart/form-data; boundary=x", "file_too_large"),
    ],
)
async def test_a_gigabyte_is_refused_before_it_is_sent(
    api: MakeClient, ours: Furnished, database: Database, media: Media, path: str, kind: str, code: str
) -> None:
    async with TestServer(build_app(Parts(database, media, "test", SECRET_KEY))) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        head = (
            f"POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ours.token}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {GIGABYTE}\r\n\r\n"
        )
        writer.write(head.encode())
        async with asyncio.timeout(DEADLINE_S):
            assert b" 413 " in await reader.readline()
            answer = await reader.readuntil(b"}")
        assert code.encode() in answer
        writer.transport.abort()
