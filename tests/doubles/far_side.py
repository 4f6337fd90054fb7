"""What every double of a cloud has: a server on loopback, a record of what it took, troubles to order."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LARGEST_BODY = 16 * 1024 * 1024


@dataclass(frozen=True)
class Refuse:
    """Answer with this status and body, and take nothing."""

    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StaySilent:
    """Read the request, take nothing and never answer."""


@dataclass(frozen=True)
class TakeSilently:
    """Do as asked, and never answer."""


@dataclass(frozen=True)
class HangUp:
    """Close the connection without an answer, and take nothing."""


Trouble = Refuse | StaySilent | TakeSilently | HangUp


class FarSide:
    """A server. `accepted` holds what it took, in order; each double says in which form."""

    def __init__(self) -> None:
        self.accepted: list[Any] = []
        self.requests: list[str] = []
        """The path of every request, whatever came of it."""
        self._troubles: list[tuple[str, Trouble]] = []
        self._closing = asyncio.Event()
        app = web.Application(middlewares=[self._trouble], client_max_size=LARGEST_BODY)
        self.add_routes(app.router)
        self._server = TestServer(app, host="127.0.0.1")

    def add_routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    def next(self, *troubles: Trouble, at: str = "") -> None:
        """Meet the next requests with these, one each; with `at`, those whose path holds it."""
        self._troubles += [(at, trouble) for trouble in troubles]

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> Self:
        # An access log would repeat what a URL holds.
        await self._server.start_server(access_log=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self._server.close()

    @web.middleware
    async def _trouble(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(request.path)
        match self._take_trouble(request.path):
            case None:
                return await handler(request)
            case Refuse() as refusal:
                await request.read()
                answer = {"text": refusal.body} if isinstance(refusal.body, str) else {}
                if answer:
                    return web.Response(status=refusal.status, headers=refusal.headers, text=refusal.body)
                return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
            case StaySilent():
                await request.read()
            case TakeSilently():
                await handler(request)
            case HangUp():
                await request.read()
                if request.transport:
                    request.transport.abort()
        await self._closing.wait()
        return web.Response(status=500)

    def _take_trouble(self, path: str) -> Trouble | None:
        for place, (at, trouble) in enumerate(self._troubles):
            if at in path:
                del self._troubles[place]
                return trouble
        return None


def bearer(request: web.Request) -> str:
    """The bearer token of a request; empty where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def content_of(part: web.FileField) -> bytes:
    """The bytes of an uploaded file."""
    with part.file as file:
        return file.read()
