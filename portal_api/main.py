"""Wiring and running the API."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import orjson
import uvloop
from aiohttp import web

from portal_api import access_log, browsers, docs_page, health, metrics, middleware
from portal_api.access import known_scopes
from portal_api.binding import LARGEST_BODY_BYTES, bound
from portal_api.following import end_streams, tailing
from portal_api.identities import IDENTITIES, Identities
from portal_api.limits import Rate
from portal_api.linphone import SipServer
from portal_api.openapi import document
from portal_api.resources import (
    accounts,
    audit_log,
    calling,
    calls,
    contract,
    credit,
    deliveries,
    devices,
    events,
    failed_logins,
    fax_settings,
    fax_submissions,
    faxes,
    invoices,
    messages,
    notification_rules,
    numbers,
    payment_method,
    phonebook,
    phonebook_imports,
    prompts,
    provisioning,
    recordings,
    registrations,
    ringing,
    rules,
    schedules,
    sessions,
    softphone,
    tokens,
    transcripts,
    trunks,
    user,
    users,
    whitelists,
)
from portal_api.routing import (
    ALLOWED,
    PARTS,
    PATH_NAME,
    READERS,
    SCOPES,
    Parts,
    Route,
    allowed_of,
    readers_of,
)
from portal_api.sweeping import sweeping
from portal_api.uses import USES, noting_uses
from settings import Settings, SettingsRefused, read_settings
from settings.logs import lines_to, log_to
from store.database import Database, open_database
from store.housekeeping import keep_house
from store.media import Media

BUSY_TIMEOUT_S = 2.0
"""How long a request waits for SQLite's one writer; then it is told to come back."""
SHUTDOWN_TIMEOUT_S = 10.0
KEEPALIVE_TIMEOUT_S = 30.0
"""How long a connection may go without a whole request head, its first one included."""

RESOURCES = [
    numbers.resource,
    ringing.resource,
    calling.resource,
    rules.resource,
    whitelists.resource,
    schedules.resource,
    prompts.resource,
    devices.resource,
    provisioning.resource,
    registrations.resource,
    failed_logins.resource,
    messages.resource,
    notification_rules.resource,
    deliveries.resource,
    transcripts.resource,
    fax_settings.resource,
    fax_submissions.resource,
    faxes.resource,
    recordings.resource,
    calls.resource,
    credit.resource,
    invoices.resource,
    payment_method.resource,
    contract.resource,
    phonebook.resource,
    phonebook_imports.resource,
    softphone.resource,
    events.resource,
    accounts.resource,
    users.resource,
    user.resource,
    sessions.resource,
    tokens.resource,
    trunks.resource,
    audit_log.resource,
    health.resource,
    metrics.resource,
    provisioning.public,
]
ROUTES: list[Route] = [route for resource in RESOURCES for route in resource.routes]


def build_app(parts: Parts) -> web.Application:
    """Put the API together. Whoever opened the database in `parts` closes it."""
    app = web.Application(
        middlewares=[
            metrics.count_requests,
            middleware.name_request,
            access_log.log_requests,
            browsers.compress,
            browsers.answer_preflights,
            middleware.shape_errors,
            middleware.authenticate,
        ],
        client_max_size=LARGEST_BODY_BYTES,
    )
    app[PARTS] = parts
    app.on_cleanup.append(lambda _app: parts.studio.close())
    app.cleanup_ctx.append(tailing)
    app.on_shutdown.append(end_streams)
    app[metrics.REQUESTS] = metrics.Requests()
    app[READERS] = readers_of(ROUTES)
    app[ALLOWED] = allowed_of(ROUTES)
    app.on_response_prepare.append(middleware.set_headers)
    app[middleware.RATE] = Rate(parts.access.requests_per_s)
    app[IDENTITIES] = Identities()
    app[SCOPES] = frozenset(known_scopes((route.method, route.path) for route in ROUTES if not route.public))
    app[USES] = {}
    app.cleanup_ctx.append(noting_uses)
    public: set[object] = set()
    for route in ROUTES:
        handler = bound(route)
        # `/messages/{message_id}` is not to match `/messages/x:mark`.
        path = PATH_NAME.sub(r"{\1:[^/:]+}", route.path)
        app.router.add_route(route.method, path, handler)
        if route.method == "GET":
            app.router.add_route("HEAD", path, handler)
        if route.public:
            public.add(handler)
    app[middleware.PUBLIC] = frozenset(public)
    _add_document(app)
    return app


@cache
def _documents() -> tuple[bytes, str]:
    """The API's description, as JSON and as a page: a quarter of a second's work, the same for every app."""
    described = document(ROUTES)
    return orjson.dumps(described), docs_page.page(described)


def _add_document(app: web.Application) -> None:
    as_json, as_page = _documents()
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=as_json, content_type="application/json")

    async def docs(_request: web.Request) -> web.Response:
        return web.Response(text=as_page, content_type="text/html", headers=policy)

    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/docs", docs)


async def _keeping_house(database: Database, media: Media, audit_days: int) -> AsyncIterator[None]:
    chores = asyncio.create_task(keep_house(database, media, audit_days), name="keep house")
    yield
    chores.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await chores


def settle() -> None:
    """Have the garbage collector leave alone what is there for good: it went through all of it, again and
    again, which took as long as the requests themselves.
    """
    gc.collect()
    gc.freeze()


def sip_server(settings: Settings) -> SipServer:
    """Where telephones register: with TLS where there is a port for it."""
    if settings.sip_tls_port:
        return SipServer(settings.public_sip_host, settings.sip_tls_port, "tls")
    return SipServer(settings.public_sip_host, settings.sip_port, "udp")


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; then take no more requests and finish those begun."""
    try:
        settings = read_settings(os.environ, Path.cwd())
    except SettingsRefused as refused:
        sys.exit(str(refused))
    log_to(settings.var / "log", "api", settings.log_level)
    lines_to(settings.var / "log", access_log.FILE, access_log.log)
    database = open_database(settings.database_url, BUSY_TIMEOUT_S)
    media = Media(settings.media)
    app = build_app(
        Parts(
            database,
            media,
            settings.node,
            settings.secret_key,
            notifications=settings.notifications,
            api=settings.api,
            access=settings.access,
            sip_server=sip_server(settings),
            public_url=settings.portal_url,
        )
    )
    app.cleanup_ctx.append(lambda _app: _keeping_house(database, media, settings.access.audit_days))

    async def close(_app: web.Application) -> None:
        await database.close()

    app.on_cleanup.append(close)
    app.cleanup_ctx.append(sweeping)
    settle()
    try:
        web.run_app(
            app,
            host=settings.bind,
            port=settings.api_port,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            keepalive_timeout=KEEPALIVE_TIMEOUT_S,
            access_log=None,
            print=None,
            loop=uvloop.new_event_loop(),
        )
    except OSError as refused:
        sys.exit(f"the API cannot listen on {settings.bind}:{settings.api_port}: {refused.strerror}")
