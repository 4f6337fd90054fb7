"""The webhook of a Google Chat space."""

import json

from aiohttp import web

from tests.doubles.far_side import FarSide

QUERY = "key=google-key-of-a-test&token=google-token-of-a-test%3D"
LARGEST_REQUEST = 32_000


class GoogleChatDouble(FarSide):
    """`accepted` has each message's text."""

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/v1/spaces/AAAA1234/messages?{QUERY}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/spaces/{space}/messages", self._message)

    async def _message(self, request: web.Request) -> web.Response:
        if request.query.get("key") != "google-key-of-a-test":
            return _error(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT")
        if request.query.get("token") != "google-token-of-a-test=":
            return _error(401, "Request is missing required authentication credential.", "UNAUTHENTICATED")
        if request.match_info["space"] != "AAAA1234":
            return _error(404, "Space not found", "NOT_FOUND")
        body = await request.read()
        if request.content_type != "application/json" or len(body) > LARGEST_REQUEST:
            return _error(400, "Message is too long", "INVALID_ARGUMENT")
        try:
            message = json.loads(body)
        except ValueError:
            return _error(400, "Invalid JSON payload", "INVALID_ARGUMENT")
        if set(message) - {"text", "thread", "cardsV2"} or not str(message.get("text", "")).strip():
            return _error(400, "Message cannot be empty", "INVALID_ARGUMENT")
        self.accepted.append(message["text"])
        return web.json_response({"name": f"spaces/AAAA1234/messages/{len(self.accepted)}"})


def _error(status: int, message: str, code: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": message, "status": code}}, status=status)
