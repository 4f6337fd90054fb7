"""Every operation of the API's own document, asked for by everybody who may not."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from portal_api.access import MEMBERS_WRITE, Who
from portal_api.main import ROUTES
from portal_api.routing import Route
from store.database import Database
from store.media import Media
from store.models import Call, Role, TokenKind, now
from store.tokens import issue_token, revoke_token
from store.users import create_user
from tests.furnishing import Furnished
from tests.integration.conftest import Answer, Client, MakeClient
from tests.integration.test_api_access import BODIES, faxed, filled, invoiced, made

pytestmark = pytest.mark.integration

OF_ROUTE = {(route.method, route.path): route for route in ROUTES}


@dataclass(frozen=True)
class Operation:
    """One operation as the document tells of it."""

    method: str
    path: str
    told: dict[str, Any]

    @property
    def route(self) -> Route:
        return OF_ROUTE[self.method, self.path]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


async def operations(client: Client) -> list[Operation]:
    document = (await client.get("/openapi.json")).body
    return [
        Operation(method.upper(), path, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
        if told.get("security", ["inherited"])
    ]


async def member_of(database: Database, account: Furnished, role: Role, devices: list[str]) -> str:
    """A user of the account, and a token of a session."""
    async with database.session() as session:
        login = f"{role.value}-{len(devices)}@example.jp"
        user = await create_user(session, account.account_id, role, login, "no password", "", devices)
        _, secret = await issue_token(
            session, role, account.account_id, user_id=user.id, kind=TokenKind.SESSION
        )
    return secret


async def asked(client: Client, operation: Operation, path: str, opens: bool = False) -> Answer:
    # A stream that opens never ends.
    streams = "text/event-stream" in operation.route.produces
    method = "HEAD" if opens and streams else operation.method
    return await client(method, path, json=BODIES.get(operation.path))


async def test_every_operation_says_who_may_use_it(nobody: Client) -> None:
    told = await operations(nobody)
    assert {(one.method, one.path) for one in told} == {
        key for key, route in OF_ROUTE.items() if not route.public
    }
    for one in told:
        assert one.told["security"] == [{"bearer": [one.route.scope]}], str(one)
        assert set(one.told["x-roles"]) == one.route.roles, str(one)


async def test_an_expired_and_a_revoked_token_open_nothing(
    api: MakeClient, nobody: Client, database: Database, ours: Furnished
) -> None:
    async with database.session() as session:
        at = now() - timedelta(seconds=1)
        _, expired = await issue_token(session, Role.ADMINISTRATOR, ours.account_id, expires_at=at)
        token, revoked = await issue_token(session, Role.ADMINISTRATOR, ours.account_id)
        await revoke_token(session, ours.account_id, token.id)
    for one in await operations(nobody):
        for secret in (expired, revoked):
            answer = await asked(api(secret), one, filled(one.route, ours))
            assert (answer.status, answer.body["code"]) == (401, "unauthorized"), str(one)


async def test_read_only_reads_everything_and_writes_nothing(
    api: MakeClient, admin: Client, nobody: Client, database: Database, ours: Furnished, media: Media
) -> None:
    ids = await made(admin, ours) | await faxed(database, media, ours) | await invoiced(database, media, ours)
    async with database.session() as session:
        _, secret = await issue_token(session, Role.READ_ONLY, ours.account_id)
    reader = api(secret)
    for one in await operations(nobody):
        opens = one.method == "GET" and one.route.who is Who.BY_RULE
        answer = await asked(reader, one, filled(one.route, ours, ids), opens)
        if opens:
            theirs = await asked(admin, one, filled(one.route, ours, ids), opens)
            assert answer.status == theirs.status == 200, str(one)
        else:
            assert (answer.status, answer.body["code"]) == (403, "forbidden"), str(one)
    unread = await reader.get(f"/api/v1/messages/{ours.message_id}/audio?mark_read=1")
    assert (unread.status, unread.body["code"]) == (403, "forbidden")
    assert (await admin.get(f"/api/v1/messages/{ours.message_id}")).body["read"] is False


async def test_a_token_without_scopes_opens_nothing_and_each_opens_its_own(
    api: MakeClient, admin: Client, nobody: Client, database: Database, ours: Furnished, media: Media
) -> None:
    ids = await made(admin, ours) | await faxed(database, media, ours) | await invoiced(database, media, ours)
    told = await operations(nobody)
    async with database.session() as session:
        _, secret = await issue_token(session, Role.ADMINISTRATOR, ours.account_id, scopes=[])
        others = {}
        for scope in {one.route.scope for one in told if one.method == "GET"}:
            _, others[scope] = await issue_token(session, Role.ADMINISTRATOR, ours.account_id, scopes=[scope])
    for one in told:
        refused = await asked(api(secret), one, filled(one.route, ours, ids))
        assert (refused.status, refused.body["code"]) == (403, "forbidden"), str(one)
        if one.method == "GET" and one.route.who in (Who.BY_RULE, Who.ADMINISTRATORS):
            allowed = await asked(api(others[one.route.scope]), one, filled(one.route, ours, ids), True)
            assert allowed.status == 200, str(one)
            for scope, other in others.items():
                if scope != one.route.scope and scope in ("devices:read", "rules:read"):
                    assert (await asked(api(other), one, filled(one.route, ours, ids))).status == 403


async def test_members_get_what_the_table_says(
    api: MakeClient, admin: Client, nobody: Client, database: Database, ours: Furnished, media: Media
) -> None:
    ids = await made(admin, ours) | await faxed(database, media, ours) | await invoiced(database, media, ours)
    member = api(await member_of(database, ours, Role.MEMBER, [ours.device_id]))
    for one in await operations(nobody):
        if Role.MEMBER in one.route.roles:
            continue
        answer = await asked(member, one, filled(one.route, ours, ids))
        assert (answer.status, answer.body["code"]) == (403, "forbidden"), str(one)
    assert ("DELETE", "/api/v1/messages/{message_id}") not in MEMBERS_WRITE


async def test_members_see_their_devices_and_their_calls(
    api: MakeClient, admin: Client, database: Database, ours: Furnished
) -> None:
    other = (await admin.post("/api/v1/devices", {"name": "隣の席"})).body["id"]
    async with database.session() as session:
        (await session.get_one(Call, ours.call_id)).device_id = ours.device_id
    mine = api(await member_of(database, ours, Role.MEMBER, [ours.device_id]))
    neighbours = api(await member_of(database, ours, Role.MEMBER, [ours.device_id, other]))
    nobodys = api(await member_of(database, ours, Role.MEMBER, []))
    call = f"/api/v1/calls/{ours.call_id}"
    for path in (call, f"{call}/journal", f"/api/v1/devices/{ours.device_id}"):
        assert (await mine.get(path)).status == 200, path
        assert (await nobodys.get(path)).status == 404, path
    assert (await mine.get(f"/api/v1/devices/{other}")).status == 404
    listed = {
        client: [one["id"] for one in (await client.get("/api/v1/devices")).body["items"]]
        for client in (mine, neighbours, nobodys)
    }
    assert listed == {mine: [ours.device_id], neighbours: [ours.device_id, other], nobodys: []}
    assert len((await mine.get("/api/v1/calls")).body["items"]) == 1
    assert (await nobodys.get("/api/v1/calls")).body["items"] == []
    # What belongs to no device is everybody's of the account.
    marked = await nobodys("PATCH", f"/api/v1/messages/{ours.message_id}", json={"status": "done"})
    assert (marked.status, marked.body["status"]) == (200, "done")
    assert (await nobodys.get(f"/api/v1/messages/{ours.message_id}/audio?mark_read=1")).status == 200


async def test_another_accounts_member_finds_nothing(
    api: MakeClient, database: Database, ours: Furnished, theirs: Furnished
) -> None:
    stranger = api(await member_of(database, theirs, Role.MEMBER, [theirs.device_id]))
    for path in (f"devices/{ours.device_id}", f"calls/{ours.call_id}", f"messages/{ours.message_id}"):
        assert (await stranger.get(f"/api/v1/{path}")).status == 404


async def test_a_change_of_role_takes_effect_at_once(
    api: MakeClient, admin: Client, database: Database, ours: Furnished
) -> None:
    client = api(await member_of(database, ours, Role.ADMINISTRATOR, []))
    user = (await client.get("/api/v1/user")).body
    assert (await client.post("/api/v1/devices", {})).status == 201
    changed = await admin("PATCH", f"/api/v1/users/{user['id']}", json={"role": "read_only"})
    assert changed.body["role"] == "read_only"
    assert (await client.post("/api/v1/devices", {})).status == 403
    await admin("PATCH", f"/api/v1/users/{user['id']}", json={"enabled": False})
    assert (await client.get("/api/v1/devices")).status == 401
