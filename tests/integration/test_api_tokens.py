"""Users as an administrator makes them, and tokens as they make them."""

from datetime import timedelta
from typing import Any

import pytest

from store.database import Database
from store.models import Role, TokenKind, now
from store.tokens import issue_token
from store.users import create_user
from tests.furnishing import Furnished
from tests.integration.conftest import Client, MakeClient

pytestmark = pytest.mark.integration

LATER = (now() + timedelta(days=30)).isoformat()


async def signed_in(database: Database, account_id: str | None, role: Role, login: str = "hanako") -> str:
    async with database.session() as session:
        user = await create_user(session, account_id, role, login, "no password")
        _, secret = await issue_token(session, role, account_id, user_id=user.id, kind=TokenKind.SESSION)
    return secret


async def test_users_are_made_changed_and_deleted(admin: Client, ours: Furnished) -> None:
    made = await admin.post(
        "/api/v1/users", {"login": "Taro", "role": "member", "name": "太郎", "device_ids": [ours.device_id]}
    )
    assert (made.status, made.body["login"], made.body["device_ids"]) == (201, "taro", [ours.device_id])
    assert len(made.body["password"]) == 16
    path = f"/api/v1/users/{made.body['id']}"
    shown = (await admin.get(path)).body
    assert "password" not in shown
    assert (await admin.get("/api/v1/users")).body["items"] == [shown]
    changed = await admin("PATCH", path, json={"device_ids": []})
    assert (changed.body["device_ids"], changed.body["name"], changed.body["role"]) == ([], "太郎", "member")
    reset = (await admin.post(f"{path}/password", {})).body["password"]
    assert reset != made.body["password"]
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(path)).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"login": "a b", "role": "member"}, "login"),
        ({"login": "taro", "role": "boss"}, "role"),
        ({"login": "taro", "role": "operator"}, "role"),
        ({"login": "taro", "role": "member", "password": "short"}, "password"),
        ({"login": "taroyama", "role": "member", "password": "taroyama-2026"}, "password"),
        ({"login": "taro", "role": "member", "device_ids": ["unknown"]}, "device_ids"),
        ({"role": "member"}, "login"),
    ],
)
async def test_unfit_users(admin: Client, body: dict[str, Any], field: str) -> None:
    refused = await admin.post("/api/v1/users", body)
    assert (refused.status, refused.fields) == (422, [field])
    assert (await admin.get("/api/v1/users")).body["items"] == []


async def test_a_login_is_taken_for_all_accounts(
    admin: Client, other_admin: Client, theirs: Furnished
) -> None:
    assert (await admin.post("/api/v1/users", {"login": "taro", "role": "member"})).status == 201
    again = await other_admin.post("/api/v1/users", {"login": "TARO", "role": "member"})
    assert (again.status, again.body["code"]) == (409, "login_taken")
    foreign = {"login": "jiro", "role": "member", "device_ids": [theirs.device_id]}
    assert (await admin.post("/api/v1/users", foreign)).fields == ["device_ids"]
    assert (await other_admin.get("/api/v1/users")).body["items"] == []


async def test_nobody_takes_away_the_own_role(api: MakeClient, database: Database, ours: Furnished) -> None:
    client = api(await signed_in(database, ours.account_id, Role.ADMINISTRATOR))
    path = f"/api/v1/users/{(await client.get('/api/v1/user')).body['id']}"
    for change in ({"role": "member"}, {"enabled": False}):
        assert (await client("PATCH", path, json=change)).body["code"] == "own_user"
    assert (await client("DELETE", path)).body["code"] == "own_user"
    assert (await client("PATCH", path, json={"name": "花"})).status == 200


async def test_operators_have_users_too(operator: Client, ours: Furnished, api: MakeClient) -> None:
    body = {"login": "keeper", "role": "operator"}
    assert (await operator.post(f"/api/v1/users?account_id={ours.account_id}", body)).fields == ["role"]
    made = await operator.post("/api/v1/users", body)
    assert (made.status, made.body["account_id"]) == (201, None)
    in_account = await operator.post(
        f"/api/v1/users?account_id={ours.account_id}", {"login": "boss", "role": "administrator"}
    )
    assert in_account.body["account_id"] == ours.account_id
    path = f"/api/v1/users/{in_account.body['id']}?account_id={ours.account_id}"
    tag = (await operator.get(path)).headers["ETag"]
    for sent, status in ((tag, 200), (tag, 412)):
        edited = await operator("PATCH", path, json={"name": "社長"}, headers={"If-Match": sent})
        assert edited.status == status
    for account, login in (("", "keeper"), (f"?account_id={ours.account_id}", "boss")):
        listed = (await operator.get(f"/api/v1/users{account}")).body["items"]
        assert [one["login"] for one in listed] == [login]
    assert (await operator.get("/api/v1/users?account_id=unknown")).status == 404
    assert (await api(ours.token).get(f"/api/v1/users/{made.body['id']}")).status == 404


async def test_personal_tokens_go_with_their_user(
    api: MakeClient, admin: Client, database: Database, ours: Furnished
) -> None:
    member = api(await signed_in(database, ours.account_id, Role.MEMBER))
    made = await member.post("/api/v1/tokens", {"label": "電話帳の連携", "scopes": ["numbers:read"]})
    assert (made.status, made.body["role"]) == (201, "member")
    personal = api(made.body["token"])
    assert (await personal.get("/api/v1/numbers")).status == 200
    assert (await personal.get("/api/v1/messages")).status == 403
    # A token cannot do what only the person may.
    assert (await personal.get("/api/v1/user")).status == 403
    assert [one["id"] for one in (await member.get("/api/v1/tokens")).body["items"]] == [made.body["id"]]
    assert (await member("DELETE", f"/api/v1/tokens/{ours.token_id}")).status == 404
    for body in ({"role": "administrator"}, {"account_id": ours.account_id}):
        assert (await member.post("/api/v1/tokens", body)).status == 403
    await admin("DELETE", f"/api/v1/users/{made.body['user_id']}")
    assert (await personal.get("/api/v1/numbers")).status == 401


async def test_a_token_makes_none_that_may_more(
    api: MakeClient, admin: Client, database: Database, ours: Furnished
) -> None:
    made = (await admin.post("/api/v1/tokens", {"scopes": ["read", "write"], "expires_at": LATER})).body
    narrow = api(made["token"])
    inherited = (await narrow.post("/api/v1/tokens", {})).body
    assert (inherited["scopes"], inherited["expires_at"]) == (["read", "write"], made["expires_at"])
    assert (await narrow.post("/api/v1/tokens", {"scopes": ["messages:read"]})).status == 201
    far = (now() + timedelta(days=300)).isoformat()
    longer = await narrow.post("/api/v1/tokens", {"expires_at": far})
    assert (longer.status, longer.fields) == (422, ["expires_at"])
    # Not even by having one shown that is there already.
    assert (await narrow.post(f"/api/v1/tokens/{ours.token_id}:rotate", {})).status == 403
    assert (await admin.get("/api/v1/devices")).status == 200
    async with database.session() as session:
        _, half = await issue_token(session, Role.ADMINISTRATOR, ours.account_id, scopes=["write"])
    assert (await api(half).post("/api/v1/tokens", {})).status == 403
    assert (await api(half).post("/api/v1/users", {"login": "x-y-z", "role": "administrator"})).status == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"scopes": ["read", "users:write"]}, "scopes.1"),
        ({"expires_at": "2020-01-01T00:00:00+09:00"}, "expires_at"),
        ({"role": "member"}, "role"),
    ],
)
async def test_unfit_tokens(admin: Client, body: dict[str, Any], field: str) -> None:
    refused = await admin.post("/api/v1/tokens", body)
    assert (refused.status, refused.fields) == (422, [field])


async def test_rotation(api: MakeClient, admin: Client, ours: Furnished) -> None:
    made = (await admin.post("/api/v1/tokens", {"label": "連携", "scopes": ["messages:read"]})).body
    path = f"/api/v1/tokens/{made['id']}:rotate"
    with_grace = await admin.post(path, {"grace_hours": 1})
    assert (with_grace.status, with_grace.body["label"], with_grace.body["scopes"]) == (
        201,
        "連携",
        ["messages:read"],
    )
    for secret in (made["token"], with_grace.body["token"]):
        assert (await api(secret).get("/api/v1/messages")).status == 200
    at_once = await admin.post(f"/api/v1/tokens/{with_grace.body['id']}:rotate", {})
    assert (await api(with_grace.body["token"]).get("/api/v1/messages")).status == 401
    assert (await api(at_once.body["token"]).get("/api/v1/messages")).status == 200
    # The demo's own: by itself.
    new = await admin.post(f"/api/v1/tokens/{ours.token_id}:rotate", {})
    assert (await admin.get("/api/v1/devices")).status == 401
    assert (await api(new.body["token"]).get("/api/v1/devices")).status == 200


async def test_a_personal_token_is_rotated_by_its_user_only(
    api: MakeClient, admin: Client, database: Database, ours: Furnished
) -> None:
    member = api(await signed_in(database, ours.account_id, Role.MEMBER))
    made = (await member.post("/api/v1/tokens", {})).body
    assert (await admin.post(f"/api/v1/tokens/{made['id']}:rotate", {})).status == 403
    assert (await member.post(f"/api/v1/tokens/{made['id']}:rotate", {})).status == 201
