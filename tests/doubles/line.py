"""LINE's Messaging API: push, with retry keys. Bodies are read by LINE's own Python library."""

import json
from typing import Any
from uuid import UUID

from aiohttp import web
from linebot.v3.messaging import PushMessageRequest, TextMessage
from pydantic import ValidationError

from tests.doubles.far_side import FarSide, bearer

TOKEN = "line+channel/access-token-of-a-test=" * 4
GROUP = "C0123456789abcdef0123456789abcdef"
LONGEST_TEXT = 5000
LARGEST_REQUEST = 2 * 1024 * 1024


class LineDouble(FarSide):
    """`accepted` has a dict per push: `to`, `texts`, `key`."""

    def __init__(self) -> None:
        self.accepted_keys: dict[str, str] = {}
        super().__init__()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v2/bot/message/push", self._push)

    async def _push(self, request: web.Request) -> web.Response:
        if bearer(request) != TOKEN:
            return _error(401, "Authentication failed. Confirm that the access token is valid.")
        if request.content_type != "application/json":
            return _error(415, "Unsupported media type")
        body = await request.read()
        if len(body) > LARGEST_REQUEST:
            return _error(413, "Request entity too large")
        try:
            given = json.loads(body)
            push = PushMessageRequest.from_dict(given)
            texts = [_text(message) for message in push.messages]
        except (ValidationError, ValueError, AttributeError):
            return _error(400, "The request body has 1 error(s)", "messages[0].text")
        if not 1 <= len(texts) <= 5:
            return _error(400, "The request body has 1 error(s)", "messages")
        if push.to != GROUP:
            return _error(400, "The property, 'to', in the request body is invalid (line: -, column: -)")
        return self._accept(push.to, texts, request.headers.get("X-Line-Retry-Key"))

    def _accept(self, to: str, texts: list[str], key: str | None) -> web.Response:
        if key is not None and not _is_uuid(key):
            return _error(400, "Invalid retry key")
        if key in self.accepted_keys:
            first = self.accepted_keys[key]
            body = {"message": "The retry key is already accepted", "sentMessages": [{"id": first}]}
            return web.json_response(body, status=409, headers={"X-Line-Accepted-Request-Id": f"r{first}"})
        self.accepted.append({"to": to, "texts": texts, "key": key})
        message_id = str(460_000_000_000_000_000 + len(self.accepted))
        if key is not None:
            self.accepted_keys[key] = message_id
        return web.json_response({"sentMessages": [{"id": message_id, "quoteToken": "q"}]})


def _text(message: Any) -> str:
    if not isinstance(message, TextMessage):
        raise ValueError("not a text")
    if not 1 <= len(message.text.encode("utf-16-le")) // 2 <= LONGEST_TEXT:
        raise ValueError("length")
    return str(message.text)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _error(status: int, message: str, about: str | None = None) -> web.Response:
    details = {"details": [{"message": "May not be empty", "property": about}]} if about else {}
    return web.json_response({"message": message, **details}, status=status)
