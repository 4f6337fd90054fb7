"""A line of JSON for each request: what was asked, by whom, how it went; never a secret, never a query."""

import json
import logging
import time
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from aiohttp.typedefs import Handler

from portal_api.addresses import address_of
from portal_api.card_free import may_be_a_card
from portal_api.routing import ACCOUNT, IDENTITY, PARTS, REQUEST_ID
from store.models import now

log = logging.getLogger("portal_api.access")

FILE = "access.log"
SECRET_PATH = "/provisioning/"
LEFT = 499
"""The client did not wait for the answer."""


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log the request once its answer is made; one that is streamed, once it is sent."""
    began, response = time.monotonic(), None
    try:
        response = await handler(request)
    finally:
        if log.isEnabledFor(logging.INFO):
            line = _line(request, response, time.monotonic() - began)
            log.info("%s", json.dumps(line), extra={"action": "request"})
    return response


def _line(request: web.Request, response: web.StreamResponse | None, took_s: float) -> dict[str, Any]:
    """What is not known of a request is left out."""
    identity = request.get(IDENTITY)
    route = request.match_info.route.resource
    line = {
        "at": now().isoformat(timespec="milliseconds"),
        "request_id": request.get(REQUEST_ID),
        "method": request.method,
        "path": shown_path(request),
        "route": route.canonical if route is not None else None,
        "status": LEFT if response is None else response.status,
        "ms": round(took_s * 1000, 1),
        "bytes": None if response is None else _length(response),
        "call_id": request.match_info.get("call_id"),
        "account_id": request.get(ACCOUNT) or (identity.account_id if identity else None),
        "token_id": identity.token_id if identity else None,
        "user_id": identity.user_id if identity else None,
        "address": address_of(request, request.app[PARTS].access.trusted_proxies),
    }
    return {name: value for name, value in line.items() if value is not None}


def _length(response: web.StreamResponse) -> int:
    """Bytes of the body, before it is made smaller for the way."""
    if isinstance(response, web.Response):
        return len(response.body) if isinstance(response.body, bytes) else 0
    return response.body_length if response.prepared else 0


def shown_path(request: web.Request) -> str:
    """The path without its query, which holds phone numbers, without what opens a device's settings, and
    without a card's number.
    """
    path = request.rel_url.raw_path
    if path.startswith(SECRET_PATH):
        return f"{SECRET_PATH}…"
    return "/".join("…" if may_be_a_card(unquote(part)) else part for part in path.split("/"))
