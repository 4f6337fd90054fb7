"""From a request to a handler's arguments, and from what the handler gives to the answer.

What a handler's signature says is what is read, checked and handed to it: see `portal_api.routing`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.access import Who, allows
from portal_api.forms import Form, read_form
from portal_api.idempotency import HEADER, once
from portal_api.preconditions import EDITS, Guard, is_known, tag_of
from portal_api.problems import Problem, field_error, problem_of_validation
from portal_api.routing import ACCOUNT, ID, PARTS, READERS, Ask, Route
from store.accounts import get_account
from store.models import TokenKind
from store.tokens import Identity

BODY_TIMEOUT_S = 30.0
LARGEST_BODY_BYTES = 1024 * 1024


def bound(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Make the aiohttp handler that reads what `route` takes, runs it and answers."""

    async def answer(request: web.Request) -> web.StreamResponse:
        ask = Ask(request, request.app[PARTS])
        if not route.public:
            _refuse_unfit(route, ask.identity)
        if route.keyed and HEADER not in request.headers:
            raise Problem("idempotency_key_required")
        arguments = await _arguments(route, ask)
        try:
            return await done(request, ask, arguments)
        finally:
            if isinstance(body := arguments.get("body"), Form):
                body.file.content.close()

    async def done(request: web.Request, ask: Ask, arguments: dict[str, Any]) -> web.StreamResponse:
        reader = request.app[READERS].get(route.path)
        if reader and route.method in EDITS and "ask" in arguments:
            arguments["ask"] = replace(ask, guard=_guard(reader, ask, arguments))

        async def respond() -> web.StreamResponse:
            return _response(request, route, reader, await route.handler(**arguments))

        if route.method == "POST" and HEADER in request.headers and not route.public:
            return await once(ask, arguments.get("body"), respond, route.keyed)
        return await respond()

    return answer


def _refuse_unfit(route: Route, identity: Identity) -> None:
    """Before anything else is looked at. Raises Problem `forbidden`."""
    if identity.role not in route.roles:
        raise Problem("forbidden", "運用者のトークンが必要です。" if route.operator_only else None)
    if route.who is Who.SIGNED_IN and identity.kind is not TokenKind.SESSION:
        raise Problem("forbidden", "サインインしたユーザーだけが使えます。")
    if not allows(identity.scopes, route.scope):
        raise Problem("forbidden", f"トークンに {route.scope} の権限が必要です。")


def _response(
    request: web.Request, route: Route, reader: Route | None, outcome: BaseModel | web.StreamResponse | None
) -> web.StreamResponse:
    if isinstance(outcome, web.StreamResponse):
        return outcome
    if outcome is None:
        return web.Response(status=204)
    body = outcome.model_dump_json(by_alias=True).encode()
    # A change answers the thing as it is then, in the same shape: who goes on editing needs no GET.
    tagged = reader is not None and reader.answer is route.answer
    headers = {"ETag": tag_of(body)} if tagged else {}
    known = tagged and is_known(request.headers.getall("If-None-Match", ()), headers["ETag"])
    if known and route.method == "GET":
        return web.Response(status=304, headers=headers)
    return web.Response(status=route.status, body=body, content_type="application/json", headers=headers)


def _guard(reader: Route, ask: Ask, arguments: Mapping[str, Any]) -> Guard:
    """What stands before an edit of what `reader` tells of. Raises Problem `if_match_required`."""
    if_match = list(ask.request.headers.getall("If-Match", ()))
    if not if_match and ask.parts.api.require_if_match:
        raise Problem("if_match_required")
    given = {name: arguments[name] for name in (*reader.path_names, "account_id") if name in arguments}
    meant = "/".join((reader.path, *map(str, given.values())))
    if reader.query:
        asked = arguments.get("query")
        given["query"] = asked if isinstance(asked, reader.query) else reader.query()

    async def read(session: AsyncSession) -> bytes:
        found = await reader.handler(ask=replace(ask, within=session), **given)
        assert isinstance(found, BaseModel)
        return found.model_dump_json(by_alias=True).encode()

    return Guard(meant, if_match, read)


async def _arguments(route: Route, ask: Ask) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: _path_id(ask.request, name) for name in route.path_names}
    given = _query(ask.request)
    if "ask" in route.hints:
        arguments["ask"] = ask
    if route.of_account:
        ask.request[ACCOUNT] = await _account_id(ask, given.pop("account_id", None))
        arguments["account_id"] = ask.request[ACCOUNT]
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
    if (request.content_length or 0) > LARGEST_BODY_BYTES:
        raise Problem("body_too_large", headers={"Connection": "close"})
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        raise Problem("body_too_slow", headers={"Connection": "close"}) from None
    try:
        return model.model_validate_json(raw)
    except ValidationError as wrong:
        raise problem_of_validation("invalid_body", wrong) from None
