"""Around every request: its id, who asks, and one shape for every error."""

import logging
import math
import re
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from portal_api.browsers import add_headers
from portal_api.card_free import may_be_a_card
from portal_api.identities import IDENTITIES
from portal_api.limits import Rate
from portal_api.problems import (
    Problem,
    problem_of_http,
    problem_of_store,
    problem_of_voices,
    problem_response,
)
from portal_api.routing import ALLOWED, API, IDENTITY, PARTS, REQUEST_ID, short_session
from portal_api.uses import USES
from store.errors import StoreError
from store.models import now
from store.tokens import Identity, identify
from voices.errors import VoicesError

log = logging.getLogger("portal_api")

PUBLIC: web.AppKey[frozenset[object]] = web.AppKey("public")
"""The handlers below `/api/v1` that ask nobody who they are."""

RATE = web.AppKey("rate", Rate)
READING = ("GET", "HEAD", "OPTIONS")
GIVEN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@web.middleware
async def name_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id: the client's own where it sent a fit one."""
    given = request.headers.get("X-Request-Id", "")
    fit = GIVEN_ID.fullmatch(given) and not may_be_a_card(given)
    request[REQUEST_ID] = given if fit else uuid4().hex
    return await handler(request)


@web.middleware
async def shape_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem_response(problem, request[REQUEST_ID])
    except StoreError as refusal:
        return problem_response(problem_of_store(refusal), request[REQUEST_ID])
    except VoicesError as refusal:
        return problem_response(problem_of_voices(refusal), request[REQUEST_ID])
    except web.HTTPException as error:
        refused = problem_of_http(error)
        if "Allow" in refused.headers:
            refused.headers["Allow"] = request.app[ALLOWED].get(request.path, refused.headers["Allow"])
        return problem_response(refused, request[REQUEST_ID])
    except web.RequestPayloadError:
        return problem_response(Problem("malformed_request"), request[REQUEST_ID])
    except ConnectionError:
        # The client has gone: there is nobody to answer.
        raise
    except Exception:
        log.exception("unexpected error request_id=%s", request[REQUEST_ID])
        return problem_response(Problem("internal_error"), request[REQUEST_ID])


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only holders of a valid token past, to whatever lies below `/api/v1`, and as often as they may."""
    if request.path.startswith(f"{API}/") and request.match_info.handler not in request.app[PUBLIC]:
        identity = await _identity(request)
        if wait_s := request.app[RATE].wait_s(identity.token_id):
            raise Problem("too_many_requests", headers={"Retry-After": str(math.ceil(wait_s))})
        request.app[USES][identity.token_id] = now()
        request[IDENTITY] = identity
    try:
        return await handler(request)
    finally:
        if request.method not in READING:
            request.app[IDENTITIES].forget()


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Runs when headers are about to leave, so that streamed answers have them too."""
    # aiohttp answers an unknown Expect header itself, before any middleware has run.
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    add_headers(request, response)


async def _identity(request: web.Request) -> Identity:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    identity = None
    if scheme.lower() == "bearer" and secret.strip():
        parts = request.app[PARTS]

        async def look_up(secret: str) -> Identity | None:
            async with short_session(parts.database, parts.database_timeout_s) as session:
                return await identify(session, secret)

        identity = await request.app[IDENTITIES].of(secret.strip(), look_up)
    if identity is None:
        raise Problem("unauthorized", headers={"WWW-Authenticate": 'Bearer realm="denwaban"'})
    return identity
