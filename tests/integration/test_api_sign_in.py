"""Signing in and out, with one-time codes, as people do and as people should not."""

import asyncio
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, update

from portal_api.routing import Parts
from settings import AccessSettings
from store import sign_in
from store.database import Database
from store.media import Media
from store.models import AuditAction, AuditEntry, SignInCount, Token, User, now
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Answer, Client, MakeClient, serving

pytestmark = pytest.mark.integration

LOGIN, PASSWORD = "Hanako@example.jp", "tegami to kippu"


@pytest.fixture
async def hanako(admin: Client) -> dict[str, Any]:
    """A user of our account."""
    made = await admin.post(
        "/api/v1/users", {"login": LOGIN, "role": "read_only", "password": PASSWORD, "name": "花子"}
    )
    assert (made.status, made.body["password"], made.body["login"]) == (201, None, LOGIN.lower())
    return dict(made.body)


async def try_it(client: Client, password: str = PASSWORD, login: str = LOGIN, **more: str) -> Answer:
    return await client.post("/api/v1/sessions", {"login": login, "password": password, **more})


async def with_second_factor(client: Client) -> tuple[pyotp.TOTP, list[str], str]:
    """Switch it on; the authenticator, the recovery codes, and the code that is used up by now."""
    begun = await client.post("/api/v1/user/second-factor", {"password": PASSWORD})
    assert begun.status == 201
    assert begun.body["qr_svg"].startswith("<svg")
    authenticator = pyotp.parse_uri(begun.body["uri"])
    assert isinstance(authenticator, pyotp.TOTP)
    code = authenticator.now()
    finished = await client.put("/api/v1/user/second-factor", {"code": code})
    assert finished.status == 200
    return authenticator, finished.body["recovery_codes"], code


async def test_in_and_out(api: MakeClient, nobody: Client, hanako: dict[str, Any]) -> None:
    answer = await try_it(nobody)
    assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
    assert answer.body["user"]["id"] == hanako["id"]
    client = api(answer.body["token"])
    assert (await client.get("/api/v1/user")).body["name"] == "花子"
    assert (await client.get("/api/v1/numbers")).status == 200
    (session,) = (await client.get("/api/v1/sessions")).body["items"]
    assert (session["id"], session["current"]) == (answer.body["session_id"], True)
    # No token for programs, and none of its business.
    assert [one["label"] for one in (await client.get("/api/v1/tokens")).body["items"]] == [""]
    assert (await client("DELETE", "/api/v1/sessions/current")).status == 204
    assert (await client.get("/api/v1/user")).status == 401


async def test_wrong_logins_and_passwords_look_alike(nobody: Client, hanako: dict[str, Any]) -> None:
    answers = [
        await try_it(nobody, "wrong"),
        await try_it(nobody, login="taro@example.jp"),
        await try_it(nobody, PASSWORD.upper()),
    ]
    bodies = [{**one.body, "request_id": ""} for one in answers]
    assert all(body == bodies[0] for body in bodies)
    assert (answers[0].status, bodies[0]["code"]) == (401, "sign_in_failed")


@pytest.mark.parametrize(
    "body",
    [{}, {"login": LOGIN}, {"login": "a b", "password": "x"}, {"login": LOGIN, "password": ""}, [], "x"],
)
async def test_what_is_no_sign_in(nobody: Client, body: Any) -> None:
    assert (await nobody.post("/api/v1/sessions", body)).status == 422


async def test_who_guesses_is_made_to_wait(
    nobody: Client, database: Database, hanako: dict[str, Any]
) -> None:
    guesses = [await try_it(nobody, f"guess {number}") for number in range(sign_in.MOST_OF_A_LOGIN)]
    assert {guess.status for guess in guesses} == {401}
    late = await try_it(nobody)
    assert (late.status, late.body["code"]) == (429, "too_many_tries")
    assert 0 < int(late.headers["Retry-After"]) <= sign_in.WINDOW.total_seconds()
    # Another login from there may go on.
    assert (await try_it(nobody, login="taro@example.jp")).status == 401
    async with database.session() as session:
        await session.execute(update(SignInCount).values(since=now() - sign_in.WINDOW))
    assert (await try_it(nobody)).status == 201


async def test_guesses_at_the_same_moment_count_too(nobody: Client, hanako: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(try_it(nobody, f"guess {number}") for number in range(16)))
    statuses = [answer.status for answer in answers]
    assert statuses.count(401) <= sign_in.MOST_OF_A_LOGIN
    assert set(statuses) <= {401, 429, 503}


async def test_one_address_with_many_logins(
    nobody: Client, hanako: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "MOST_OF_AN_ADDRESS", 3)
    for number in range(3):
        assert (await try_it(nobody, login=f"user{number}@example.jp")).status == 401
    assert (await try_it(nobody)).status == 429


async def test_a_success_forgets_the_failures(nobody: Client, hanako: dict[str, Any]) -> None:
    for _ in range(3):
        for number in range(sign_in.MOST_OF_A_LOGIN - 2):
            assert (await try_it(nobody, f"typing error {number}")).status == 401
        assert (await try_it(nobody)).status == 201


async def test_second_factor(api: MakeClient, nobody: Client, hanako: dict[str, Any]) -> None:
    client = api((await try_it(nobody)).body["token"])
    wrong = await client.post("/api/v1/user/second-factor", {"password": "not this"})
    assert (wrong.status, wrong.fields) == (422, ["password"])
    early = await client.put("/api/v1/user/second-factor", {"code": "123456"})
    assert (early.status, early.body["code"]) == (409, "second_factor_not_begun")
    authenticator, recovery, code = await with_second_factor(client)
    assert (await client.get("/api/v1/user")).body["second_factor"] is True
    missing = await try_it(nobody)
    assert (missing.status, missing.body["code"]) == (401, "code_required")
    used = await try_it(nobody, code=code)
    assert (used.status, used.body["code"]) == (401, "code_wrong")
    ahead = authenticator.at(now(), counter_offset=1)
    assert (await try_it(nobody, code=ahead)).status == 201
    assert (await try_it(nobody, code=ahead)).status == 401
    assert (await try_it(nobody, code=recovery[0].upper())).status == 201
    assert (await try_it(nobody, code=recovery[0])).status == 401
    again = await client.post("/api/v1/user/recovery-codes", {"password": PASSWORD})
    assert (await try_it(nobody, code=recovery[1])).status == 401
    assert (await try_it(nobody, code=again.body["recovery_codes"][0])).status == 201
    assert (await client.post("/api/v1/user/second-factor:end", {"password": PASSWORD})).status == 204
    assert (await try_it(nobody)).status == 201


async def test_one_code_at_the_same_moment_opens_one_session(
    api: MakeClient, nobody: Client, hanako: dict[str, Any]
) -> None:
    client = api((await try_it(nobody)).body["token"])
    _, recovery, _ = await with_second_factor(client)
    answers = await asyncio.gather(*(try_it(nobody, code=recovery[0]) for _ in range(4)))
    assert sorted(answer.status for answer in answers)[0] == 201
    assert [answer.status for answer in answers].count(201) == 1


async def test_the_administrator_helps_who_lost_the_phone(
    api: MakeClient, admin: Client, nobody: Client, hanako: dict[str, Any]
) -> None:
    await with_second_factor(api((await try_it(nobody)).body["token"]))
    assert (await admin("DELETE", f"/api/v1/users/{hanako['id']}/second-factor")).status == 204
    assert (await try_it(nobody)).status == 201


async def test_a_new_password_signs_out_elsewhere(
    api: MakeClient, nobody: Client, hanako: dict[str, Any]
) -> None:
    here, there = [api((await try_it(nobody)).body["token"]) for _ in range(2)]
    change = {"password": PASSWORD, "new_password": "kono haru no yama"}
    for bad, field in (
        ({**change, "password": "wrong"}, "password"),
        ({**change, "new_password": "short"}, "new_password"),
        ({**change, "new_password": "hanako hanako"}, "password"),
    ):
        refused = await here.post("/api/v1/user/password", bad)
        assert (refused.status, refused.fields) == (422, [field])
    assert (await here.post("/api/v1/user/password", change)).status == 204
    assert (await here.get("/api/v1/user")).status == 200
    assert (await there.get("/api/v1/user")).status == 401
    assert (await try_it(nobody)).status == 401
    assert (await try_it(nobody, change["new_password"])).status == 201


async def test_out_everywhere(api: MakeClient, admin: Client, nobody: Client, hanako: dict[str, Any]) -> None:
    clients = [api((await try_it(nobody)).body["token"]) for _ in range(3)]
    kept = await clients[0].post("/api/v1/sessions:end-all", {"keep_current": True})
    assert kept.body == {"ended": 2}
    assert [(await client.get("/api/v1/user")).status for client in clients] == [200, 401, 401]
    assert (await clients[0].post("/api/v1/sessions:end-all", {})).body == {"ended": 1}
    assert (await clients[0].get("/api/v1/user")).status == 401
    last = api((await try_it(nobody)).body["token"])
    assert (await admin("DELETE", f"/api/v1/users/{hanako['id']}/sessions")).status == 204
    assert (await last.get("/api/v1/user")).status == 401


async def test_who_is_stopped_cannot_come_in(admin: Client, nobody: Client, hanako: dict[str, Any]) -> None:
    await admin("PATCH", f"/api/v1/users/{hanako['id']}", json={"enabled": False})
    assert (await try_it(nobody)).status == 401


async def test_sessions_end_by_themselves(
    api: MakeClient, nobody: Client, database: Database, hanako: dict[str, Any]
) -> None:
    answer = await try_it(nobody)
    async with database.session() as session:
        ended = update(Token).where(Token.id == answer.body["session_id"])
        await session.execute(ended.values(expires_at=now() - timedelta(seconds=1)))
    assert (await api(answer.body["token"]).get("/api/v1/user")).status == 401


async def test_a_session_of_somebody_else_is_not_ended(
    api: MakeClient, admin: Client, nobody: Client, hanako: dict[str, Any]
) -> None:
    await admin.post("/api/v1/users", {"login": "taro", "role": "administrator", "password": PASSWORD})
    hers = (await try_it(nobody)).body
    his = api((await try_it(nobody, login="taro")).body["token"])
    assert (await his("DELETE", f"/api/v1/sessions/{hers['session_id']}")).status == 404
    assert (await api(hers["token"]).get("/api/v1/user")).status == 200


async def test_tokens_are_no_sign_in(admin: Client) -> None:
    for path in ("user", "sessions"):
        refused = await admin.get(f"/api/v1/{path}")
        assert (refused.status, refused.body["code"]) == (403, "forbidden")


async def test_signing_in_stands_in_the_audit_log(
    nobody: Client, database: Database, hanako: dict[str, Any], ours: Furnished
) -> None:
    await try_it(nobody, "wrong")
    await try_it(nobody, login="nobody@example.jp")
    await try_it(nobody)
    async with database.session() as session:
        entries = list(await session.scalars(select(AuditEntry).order_by(AuditEntry.at)))
    told = [(one.action, one.account_id, one.actor_id, one.address) for one in entries[-2:]]
    who = (ours.account_id, hanako["id"], "127.0.0.1")
    assert told == [(AuditAction.SIGN_IN_REFUSED, *who), (AuditAction.SIGNED_IN, *who)]
    assert not any(PASSWORD in str(one.__dict__) for one in entries)


async def test_nothing_secret_is_kept_in_clear(
    api: MakeClient, nobody: Client, database: Database, hanako: dict[str, Any]
) -> None:
    answer = await try_it(nobody)
    authenticator, recovery, _ = await with_second_factor(api(answer.body["token"]))
    async with database.session() as session:
        user = await session.get_one(User, hanako["id"])
        token = await session.get_one(Token, answer.body["session_id"])
        log = list(await session.scalars(select(AuditEntry)))
    kept = " ".join(str(row.__dict__) for row in (user, token, *log))
    for secret in (PASSWORD, answer.body["token"], authenticator.secret, *recovery):
        assert secret not in kept


async def test_too_many_requests(database: Database, media: Media, ours: Furnished) -> None:
    parts = Parts(database, media, "test", SECRET_KEY, access=AccessSettings(requests_per_s=1))
    async with serving(parts) as make_client:
        asked = [make_client(ours.token).get("/api/v1/devices") for _ in range(20)]
        answers = await asyncio.gather(*asked)
        refused = [answer for answer in answers if answer.status != 200]
        assert len(answers) - len(refused) >= 5
        assert {(answer.status, answer.body["code"]) for answer in refused} == {(429, "too_many_requests")}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


async def test_last_use_is_noted(database: Database, media: Media, ours: Furnished) -> None:
    async with serving(Parts(database, media, "test", SECRET_KEY)) as make_client:
        await make_client(ours.token).get("/api/v1/devices")
    async with database.session() as session:
        used = (await session.get_one(Token, ours.token_id)).last_used_at
    assert used is not None
    assert now() - used < timedelta(minutes=5)
