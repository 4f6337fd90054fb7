"""The webhook of a Teams workflow: takes Adaptive Cards, and tells nothing of what becomes of them."""

import json
from typing import Any

from aiohttp import web

from tests.doubles.far_side import FarSide

PATH = "/powerautomate/automations/direct/workflows/0123456789abcdef/triggers/manual/paths/invoke"
QUERY = "api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=teams-signature-of-a-test_-x"
LARGEST_REQUEST = 28 * 1024
VERSIONS = {"1.0", "1.1", "1.2", "1.3", "1.4", "1.5"}


class TeamsDouble(FarSide):
    """`accepted` has each card's content."""

    @property
    def webhook_url(self) -> str:
        return f"{self.url}{PATH}?{QUERY}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/{path:.*}", self._invoke)

    async def _invoke(self, request: web.Request) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        if path != PATH:
            return web.Response(status=404, text='{"error":{"code":"WorkflowNotFound"}}')
        # The signature is over the query as it was issued: %2F and / are not the same.
        if query != QUERY:
            return web.Response(status=401, text='{"error":{"code":"DirectApiAuthorizationRequired"}}')
        if request.content_type != "application/json":
            return web.Response(status=400)
        body = await request.read()
        if len(body) > LARGEST_REQUEST:
            return web.Response(status=413)
        try:
            self.accepted.append(_card(json.loads(body)))
        except (KeyError, TypeError, ValueError, AssertionError):
            return web.Response(status=400)
        return web.Response(status=202)


def _card(message: dict[str, Any]) -> dict[str, Any]:
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card: dict[str, Any] = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert card["version"] in VERSIONS
    assert card["body"]
    for element in card["body"]:
        _check_element(element)
    for action in card.get("actions", []):
        assert action["type"] == "Action.OpenUrl"
        assert action["url"].startswith(("https://", "http://"))
        assert isinstance(action["title"], str)
    return card


def _check_element(element: dict[str, Any]) -> None:
    match element["type"]:
        case "TextBlock":
            assert isinstance(element["text"], str)
        case "FactSet":
            assert element["facts"]
            for fact in element["facts"]:
                assert set(fact) == {"title", "value"}
                assert all(isinstance(value, str) for value in fact.values())
        case other:
            raise ValueError(other)
