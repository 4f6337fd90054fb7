"""Idempotency-Key: a POST that is sent again is answered again, and not done again.

A key is claimed before the work begins and given back where nothing was done. Who dies in between leaves
a claim without an answer: what became of that request nobody knows, so it is refused, never repeated.
Only where the work keeps the key itself, as a top-up does, is it asked again: it does nothing twice.
"""

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import BaseModel

from portal_api.forms import Form, ReceivedFile
from portal_api.problems import Problem
from store import idempotency
from store.errors import StoreError
from store.models import now
from voices.errors import VoicesError

if TYPE_CHECKING:
    from portal_api.routing import Ask

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
JSON = "application/json"
REPLAYED = "Idempotent-Replayed"
KEY = re.compile(r"[!-~]{1,255}")
UNDER_WAY = timedelta(seconds=150)
"""Longer than any request takes."""

COMMITTING = web.RequestKey("committing", bool)
"""A transaction of the request has come as far as its commit."""

Respond = Callable[[], Awaitable[web.StreamResponse]]


async def once(ask: "Ask", body: BaseModel | None, respond: Respond, keyed: bool) -> web.StreamResponse:
    """Answer the request, or as it was answered before; `keyed` work knows its key. Raises Problem."""
    key = ask.request.headers[HEADER]
    if not KEY.fullmatch(key):
        raise Problem("malformed_request", f"{HEADER}は255文字までのASCII文字にしてください。")
    digest = await asyncio.to_thread(_digest, ask.request, body, await _raw(ask.request, body))
    token_id, secret_key = ask.identity.token_id, ask.parts.secret_key
    async with ask.session() as session:
        known = await idempotency.claim(session, secret_key, token_id, key, digest)
    lost = known is not None and known.answer is None and known.digest == digest
    if known is not None and not (keyed and lost):
        return _again(known, digest)
    ask.request[COMMITTING] = False
    try:
        response = await respond()
    except (Problem, StoreError, VoicesError, web.HTTPException) as refusal:
        if not _may_be_done(ask, refusal):
            await _give_back(ask, key)
        raise
    if isinstance(response, web.Response) and response.status < 300 and _can_be_kept(response):
        kept = json.dumps({"body": response.text or "", "content_type": response.content_type})
        with suppress(Problem):
            async with ask.session() as session:
                await idempotency.keep_answer(session, secret_key, token_id, key, response.status, kept)
    else:
        await _give_back(ask, key)
    return response


def _may_be_done(ask: "Ask", refusal: Exception) -> bool:
    """A database lost at a commit, or after one, does not say what it has kept."""
    lost = isinstance(refusal, Problem) and refusal.code == "database_unavailable"
    return lost and bool(ask.request[COMMITTING])


def _can_be_kept(response: web.Response) -> bool:
    """Not a file: it is simply made again."""
    return response.content_type == JSON or response.body is None


def _again(known: idempotency.Answered, digest: str) -> web.Response:
    if known.digest != digest:
        raise Problem("idempotency_mismatch")
    if known.answer is None or known.status is None:
        under_way = now() - known.claimed_at < UNDER_WAY
        code = "idempotency_in_progress" if under_way else "idempotency_unknown"
        raise Problem(code, headers={"Retry-After": "2"} if under_way else {})
    kept: dict[str, Any] = json.loads(known.answer)
    return web.Response(
        status=known.status,
        body=kept["body"].encode(),
        content_type=kept["content_type"],
        headers={REPLAYED: "true"},
    )


async def _give_back(ask: "Ask", key: str) -> None:
    # Where that fails the key stays claimed; a new one does no harm.
    with suppress(Problem):
        async with ask.session() as session:
            await idempotency.give_back(session, ask.identity.token_id, key)


async def _raw(request: web.Request, body: BaseModel | None) -> bytes:
    return b"" if isinstance(body, Form) else await request.read()


def _digest(request: web.Request, body: BaseModel | None, raw: bytes) -> str:
    """What tells a request from another; a form's boundary is made anew each time and counts for nothing."""
    digest = hashlib.sha256(f"{request.method} {request.path_qs}\n".encode("utf-8", "surrogatepass"))
    digest.update(raw)
    for name, value in body if isinstance(body, Form) else ():
        digest.update(f"{name}\n".encode())
        if isinstance(value, ReceivedFile):
            value.content.seek(0)
            while chunk := value.content.read(1024 * 1024):
                digest.update(chunk)
            value.content.seek(0)
        else:
            digest.update(json.dumps(value, default=str).encode())
    return digest.hexdigest()
