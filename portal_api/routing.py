"""From a handler's signature to a route: what it takes is what is read, checked and documented.

A handler may take `ask`; `account_id` (whose objects it works on); `query` and `body` (pydantic models);
and the names in its path. It returns a model, None (204) or a response of its own.
"""

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, get_args, get_type_hints

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.access import Who, allows, roles_of, scope_of
from portal_api.addresses import address_of
from portal_api.forms import Form
from portal_api.idempotency import COMMITTING
from portal_api.linphone import SipServer
from portal_api.preconditions import Guard
from portal_api.problems import Problem
from settings import AccessSettings, ApiSettings, NotificationSettings
from store import audit, reach
from store.database import Database
from store.media import Media
from store.models import ActorKind, Role, now
from store.tokens import Identity
from voices.studio import Studio

log = logging.getLogger(__name__)

API = "/api/v1"
CONVERSIONS_AT_ONCE = 2
HASHINGS_AT_ONCE = 2
"""Of passwords: each takes 64 MB."""

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
    access: AccessSettings = field(default_factory=AccessSettings)
    conversions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONVERSIONS_AT_ONCE))
    hashings: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HASHINGS_AT_ONCE))
    studio: Studio = field(default_factory=Studio)
    clock: Callable[[], datetime] = now
    api: ApiSettings = field(default_factory=ApiSettings)
    sip_server: SipServer | None = None
    """Where telephones are told to register."""

    public_url: str | None = None
    """Where the API is reached from outside; None: as the request says."""


PARTS = web.AppKey("parts", Parts)
SCOPES: web.AppKey[frozenset[str]] = web.AppKey("scopes")
"""Every scope that a token may have."""

READERS: web.AppKey[Mapping[str, "Route"]] = web.AppKey("readers")
"""What `readers_of` gives for all routes."""

IDENTITY = web.RequestKey("identity", Identity)
ACCOUNT = web.RequestKey("account", str)
"""The account that the request works on, once that is known."""

REQUEST_ID = web.RequestKey("request_id", str)


ALLOWED: web.AppKey[Mapping[str, str]] = web.AppKey("allowed")
"""What `allowed_of` gives for all routes."""


@dataclass(frozen=True)
class Ask:
    """One request, on its way through a handler."""

    request: web.Request
    parts: Parts
    guard: Guard | None = None
    """Looks at every session of an edit before anything is done in it."""

    within: AsyncSession | None = None
    """The session that everything is done in, where another request reads by this one."""

    @property
    def identity(self) -> Identity:
        return self.request[IDENTITY]

    @property
    def is_operator(self) -> bool:
        return self.identity.role is Role.OPERATOR

    @property
    def address(self) -> str | None:
        return address_of(self.request, self.parts.access.trusted_proxies)

    @property
    def request_id(self) -> str | None:
        return self.request.get(REQUEST_ID)

    @property
    def actor(self) -> audit.Actor:
        """Who is to stand in the audit log."""
        return audit.Actor(
            kind=ActorKind.USER if self.identity.user_id else ActorKind.TOKEN,
            id=self.identity.by,
            name=self.identity.name,
            account_id=self.request.get(ACCOUNT, self.identity.account_id),
            address=self.address,
            request_id=self.request_id,
        )

    def demand(self, method: str, path: str) -> None:
        """Raises Problem `forbidden` for who may not use that other route, whose work this one does too."""
        scope = scope_of(method, path)
        if self.identity.role not in roles_of(Who.BY_RULE, method, path):
            raise Problem("forbidden")
        if not allows(self.identity.scopes, scope):
            raise Problem("forbidden", f"トークンに {scope} の権限が必要です。")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A short transaction, whose changes stand in the audit log.

        A slow, locked or absent database is Problem `database_unavailable`.
        """
        if self.within is not None:
            yield self.within
            return
        async with short_session(self.parts.database, self.parts.database_timeout_s) as session:
            if IDENTITY in self.request:
                audit.bind(session, self.actor)
                if self.identity.device_ids is not None:
                    reach.narrow(session, self.identity.device_ids)
            if self.guard is not None:
                await self.guard(session)
            yield session
            self.request[COMMITTING] = True


@dataclass(frozen=True)
class Route:
    """One operation, and all that the document tells of it.

    `produces` are the media types, and `answers` the model, of a handler that makes its own response.
    A `keyed` route's work keeps the Idempotency-Key itself, in its own transaction: it asks for one, and
    whoever lost the answer is given it anew.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    status: int
    who: Who
    keyed: bool
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
        return self.who is Who.PUBLIC or not self.path.startswith(API)

    @property
    def operator_only(self) -> bool:
        return self.who is Who.OPERATORS

    @property
    def scope(self) -> str:
        return scope_of(self.method, self.path)

    @property
    def roles(self) -> frozenset[Role]:
        return roles_of(self.who, self.method, self.path)


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
        who: Who = Who.BY_RULE,
        keyed: bool = False,
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
                who=Who.OPERATORS if operator_only else who,
                keyed=keyed,
                produces=(produces,) if isinstance(produces, str) else produces,
                answers=answers,
                hints=hints,
            )
            self.routes.append(route)
            return handler

        return declare


def allowed_of(routes: Iterable[Route]) -> dict[str, str]:
    """Path without ids -> its methods, as the header Allow says them: `/messages/summary` is no message."""
    found: dict[str, set[str]] = {}
    for route in routes:
        if not route.path_names:
            found.setdefault(route.path, set()).update(
                {"GET", "HEAD"} if route.method == "GET" else {route.method}
            )
    return {path: ",".join(sorted(methods)) for path, methods in found.items()}


def readers_of(routes: Iterable[Route]) -> dict[str, Route]:
    """Path -> the GET that tells of the single thing there: what an ETag of it stands for."""
    return {
        route.path: route
        for route in routes
        if route.method == "GET" and not route.public and route.answer and not route.produces
    }


@asynccontextmanager
async def short_session(database: Database, timeout_s: float) -> AsyncIterator[AsyncSession]:
    """A transaction of at most `timeout_s`; Problem `database_unavailable` where that is not to be had."""
    try:
        async with asyncio.timeout(timeout_s), database.session() as session:
            yield session
    except (DBAPIError, NoFreeConnection, TimeoutError, ConnectionError) as trouble:
        if not _is_outage(trouble):
            raise
        log.warning("no database: %s", type(trouble).__name__, extra={"action": "database_away"})
        raise Problem("database_unavailable", headers={"Retry-After": "2"}) from trouble


def _is_outage(trouble: Exception) -> bool:
    """Tell an absent, locked or slow database from a statement it does not like."""
    if not isinstance(trouble, DBAPIError):
        return True
    # Without a statement it was the connecting, or the commit, that failed.
    lost = trouble.connection_invalidated or trouble.statement is None
    return lost or isinstance(trouble, OperationalError | InterfaceError)
