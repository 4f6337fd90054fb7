"""From a handler's signature to a route: what it takes is what is read, checked and documented.

A handler may take `ask`; `account_id` (whose objects it works on); `query` and `body` (pydantic models);
and the names in its path. It returns a model, None (204) or a response of its own.
"""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_type_hints

from aiohttp import web
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.forms import Form, read_form
from portal_api.linphone import SipServer
from portal_api.problems import Problem, field_error, problem_of_validation
from settings import NotificationSettings
from store.accounts import get_account
from store.database import Database
from store.media import Media
from store.models import Role
from store.tokens import Identity
from voices.studio import Studio

API = "/api/v1"
BODY_TIMEOUT_S = 30.0
CONVERSIONS_AT_ONCE = 2
ID = re.compile(r"[!-~]{1,64}")
JSON = "application/json"
FORM = "multipart/form-data"
PATH_NAME = re.compile(r"\{(\w+)\}")

Handler = Callable[..., Awaitable[BaseModel | web.StreamResponse | None]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Parts:
    """What the handlers work with."""

    database: Database
    media: Media
    node: str
    secret_key: str
    database_timeout_s: float = 5.0
    notifications: NotificationSettings = field(default_factory=NotificationSettings)
    conversions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONVERSIONS_AT_ONCE))
    studio: Studio = field(default_factory=Studio)
    sip_server: SipServer | None = None
    """Where telephones are told to register."""

    public_url: str | None = None
    """Where the API is reached from outside; None: as the request says."""


PARTS = web.AppKey("parts", Parts)
IDENTITY = web.RequestKey("identity", Identity)


@dataclass(frozen=True)
class Ask:
    """One request, on its way through a handler."""

    request: web.Request
    parts: Parts

    @property
    def identity(self) -> Identity:
        return self.request[IDENTITY]

    @property
    def is_operator(self) -> bool:
        return self.identity.role is Role.OPERATOR

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A short transaction. A slow, locked or absent database is Problem `database_unavailable`."""
        async with short_session(self.parts.database, self.parts.database_timeout_s) as session:
            yield session


@dataclass(frozen=True)
class Route:
    """One operation, and all that the document tells of it.

    `produces` are the media types, and `answers` the model, of a handler that makes its own response.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    status: int
    operator_only: bool
    produces: tuple[str, ...]
    answers: type[BaseModel] | None
    hints: dict[str, Any]

    @property
    def bodies(self) -> dict[str, type[BaseModel]]:
        """The models that the body may be, by media type; none where the handler takes no body."""
        if "body" not in self.hints:
            return {}
        models = get_args(self.hints["body"]) or (self.hints["body"],)
        return {FORM if issubclass(model, Form) else JSON: model for model in models}

    @property
    def query(self) -> type[BaseModel] | None:
        return self.hints.get("query")

    @property
    def answer(self) -> type[BaseModel] | None:
        answer = self.answers or self.hints["return"]
        return answer if isinstance(answer, type) and issubclass(answer, BaseModel) else None

    @property
    def path_names(self) -> list[str]:
        return PATH_NAME.findall(self.path)

    @property
    def of_account(self) -> bool:
        return "account_id" in self.hints

    @property
    def public(self) -> bool:
        return not self.path.startswith(API)


@dataclass
class Resource:
    """The routes of one kind of thing."""

    tag: str
    prefix: str = API
    routes: list[Route] = field(default_factory=list)

    def get(self, path: str, summary: str, **more: Any) -> Callable[[H], H]:
        return self._declare("GET", path, summary, **more)

    def post(self, path: str, summary: str, **more: Any) -> Callable[[H], H]:
        return self._declare("POST", path, summary, **more)

    def put(self, path: str, summary: str, **more: Any) -> Callable[[H], H]:
        return self._declare("PUT", path, summary, **more)

    def patch(self, path: str, summary: str, **more: Any) -> Callable[[H], H]:
        return self._declare("PATCH", path, summary, **more)

    def delete(self, path: str, summary: str, **more: Any) -> Callable[[H], H]:
        return self._declare("DELETE", path, summary, status=204, **more)

    def _declare(
        self,
        method: str,
        path: str,
        summary: str,
        status: int = 200,
        operator_only: bool = False,
        produces: str | tuple[str, ...] = (),
        answers: type[BaseModel] | None = None,
    ) -> Callable[[H], H]:
        def declare(handler: H) -> H:
            hints = get_type_hints(handler)
            missing = set(inspect.signature(handler).parameters) - set(hints)
            if missing:
                raise TypeError(f"{handler}: no types for {missing}")
            route = Route(
                method=method,
                path=self.prefix + path,
                handler=handler,
                summary=summary,
                tag=self.tag,
                status=status,
                operator_only=operator_only,
                produces=(produces,) if isinstance(produces, str) else produces,
                answers=answers,
                hints=hints,
            )
            self.routes.append(route)
            return handler

        return declare


def bound(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Make the aiohttp handler that reads what `route` takes, runs it and answers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        ask = Ask(request, request.app[PARTS])
        if route.operator_only and not ask.is_operator:
            raise Problem("forbidden", "運用者のトークンが必要です。")
        outcome = await route.handler(**await _arguments(route, ask))
        if isinstance(outcome, web.StreamResponse):
            return outcome
        if outcome is None:
            return web.Response(status=204)
        body = outcome.model_dump_json(by_alias=True).encode()
        return web.Response(status=route.status, body=body, content_type="application/json")

    return answer


@asynccontextmanager
async def short_session(database: Database, timeout_s: float) -> AsyncIterator[AsyncSession]:
    """A transaction of at most `timeout_s`; Problem `database_unavailable` where that is not to be had."""
    try:
        async with asyncio.timeout(timeout_s), database.session() as session:
            yield session
    except (DBAPIError, NoFreeConnection, TimeoutError, ConnectionError) as trouble:
        if not _is_outage(trouble):
            raise
        raise Problem("database_unavailable", headers={"Retry-After": "2"}) from trouble


def _is_outage(trouble: Exception) -> bool:
    """Tell an absent, locked or slow database from a statement it does not like."""
    if not isinstance(trouble, DBAPIError):
        return True
    # Without a statement it was the connecting, or the commit, that failed.
    lost = trouble.connection_invalidated or trouble.statement is None
    return lost or isinstance(trouble, OperationalError | InterfaceError)


async def _arguments(route: Route, ask: Ask) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: _path_id(ask.request, name) for name in route.path_names}
    given = _query(ask.request)
    if "ask" in route.hints:
        arguments["ask"] = ask
    if route.of_account:
        arguments["account_id"] = await _account_id(ask, given.pop("account_id", None))
    if route.query:
        arguments["query"] = _checked_query(route.query, given)
    elif given:
        raise Problem(
            "invalid_query", errors=[field_error(name, "extra_forbidden") for name in list(given)[:50]]
        )
    if route.bodies:
        arguments["body"] = await _body(route.bodies, ask.request)
    return arguments


def _path_id(request: web.Request, name: str) -> str:
    given = request.match_info[name]
    if not ID.fullmatch(given):
        raise Problem("not_found")
    return given


def _query(request: web.Request) -> dict[str, str]:
    given = dict(request.query)
    if len(given) != len(request.query):
        repeated = sorted({name for name in given if len(request.query.getall(name)) > 1})
        raise Problem("invalid_query", errors=[field_error(name, "repeated") for name in repeated[:50]])
    return given


async def _account_id(ask: Ask, asked_for: str | None) -> str:
    """Say whose objects are meant: an administrator's own account, or the one an operator names."""
    if not ask.is_operator:
        if asked_for not in (None, ask.identity.account_id):
            raise Problem("not_found")
        return str(ask.identity.account_id)
    if asked_for is None:
        raise Problem("account_required")
    if not ID.fullmatch(asked_for):
        raise Problem("not_found")
    async with ask.session() as session:
        return (await get_account(session, asked_for)).id


def _checked_query(model: type[BaseModel], given: dict[str, str]) -> BaseModel:
    try:
        return model.model_validate(given)
    except ValidationError as wrong:
        raise problem_of_validation("invalid_query", wrong) from None


async def _body(models: Mapping[str, type[BaseModel]], request: web.Request) -> BaseModel:
    model = models.get(request.content_type)
    if model is None:
        accepted = f"Content-Typeは{'または'.join(models)}にしてください。"
        raise Problem("unsupported_media_type", accepted)
    return await (read_form if issubclass(model, Form) else _checked_body)(model, request)


async def _checked_body(model: type[BaseModel], request: web.Request) -> BaseModel:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        raise Problem("body_too_slow", headers={"Connection": "close"}) from None
    try:
        return model.model_validate_json(raw)
    except ValidationError as wrong:
        raise problem_of_validation("invalid_body", wrong) from None
