"""Who may do what: every path, without a token, with another account's ids, as administrator and operator."""

from io import BytesIO

import pytest
from aiohttp import FormData
from sqlalchemy import select

from billing.closing import GRACE, close_months
from portal_api.access import Who
from portal_api.main import ROUTES
from portal_api.routing import Route
from settings import BillingSettings
from store.billing_month import month_of
from store.database import Database
from store.media import Media
from store.models import Invoice, now
from store.subscriptions import keep_up
from tests.furnishing import Furnished, leave_fax
from tests.integration.conftest import Client, MakeClient
from tests.tariffs import publish_example

pytestmark = pytest.mark.integration

ISSUER = BillingSettings(issuer_name="電話番株式会社", issuer_number="T9000000000000")
BELOW_API = [route for route in ROUTES if not route.public]
WITH_IDS = [
    route
    for route in BELOW_API
    if route.path_names and route.who is not Who.SIGNED_IN and not route.operator_only
]
"""What is one's own has no other account's, and what is the operator's belongs to none."""


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


async def made(owner: Client, account: Furnished) -> dict[str, str]:
    """Make what an account does not have by itself; the ids."""
    number = {"number_id": account.number_id}
    whitelist = await owner.post("/api/v1/whitelists", {**number, "name": "取引先"})
    schedule = await owner.post("/api/v1/schedules", {**number, "enabled": True, "default_rule_id": None})
    told = (await owner.post("/api/v1/notification-rules", {"name": "営業"})).body["id"]
    services = f"/api/v1/notification-rules/{told}/services"
    webhook = {"kind": "webhook", "fields": {"url": "https://example.jp/hook"}}
    service = (await owner.post(services, webhook)).body["id"]
    delivery = await owner("POST", f"{services}/{service}:test")
    login = f"member-{account.account_id}"
    user = await owner.post("/api/v1/users", {"login": login, "role": "member"})
    spare = await owner.post("/api/v1/tokens", {"label": "予備"})
    tanaka = {"name": "田中", "numbers": [{"number": "090-1234-5678"}]}
    entry = await owner.post("/api/v1/phonebook/entries", tanaka)
    table = FormData({"file": BytesIO("名前,電話番号\n鈴木,0312345678\n".encode())})
    imported = await owner("POST", "/api/v1/phonebook/imports", data=table)
    release = await owner.post(f"/api/v1/devices/{account.device_id}/registrations:release", {})
    return {
        "whitelist_id": whitelist.body["id"],
        "schedule_id": schedule.body["id"],
        "notification_rule_id": told,
        "service_id": service,
        "delivery_id": delivery.body["id"],
        "user_id": user.body["id"],
        "spare_token_id": spare.body["id"],
        "entry_id": entry.body["id"],
        "import_id": imported.body["id"],
        "release_id": release.body["id"],
    }


async def faxed(database: Database, media: Media, account: Furnished) -> dict[str, str]:
    """Have a fax sent; the ids."""
    async with database.session() as session:
        fax = await leave_fax(session, media, account.account_id, account.number_id)
    return {"fax_id": fax.id, "submission_id": str(fax.submission_id), "page": "1"}


async def invoiced(database: Database, media: Media, account: Furnished) -> dict[str, str]:
    """Have an invoice issued for every account's month; the id of this one's."""
    await publish_example(database)
    month = month_of(now())
    await database.transaction(lambda connection: keep_up(connection, now()))
    await close_months(database, media, ISSUER, month.ends + GRACE)
    async with database.session() as session:
        of_account = select(Invoice.id).where(Invoice.account_id == account.account_id)
        return {"invoice_id": (await session.scalars(of_account)).one()}


UNMADE = dict.fromkeys(
    (
        "whitelist_id",
        "schedule_id",
        "notification_rule_id",
        "service_id",
        "delivery_id",
        "user_id",
        "spare_token_id",
        "entry_id",
        "import_id",
        "fax_id",
        "submission_id",
        "page",
        "trunk_id",
        "release_id",
        "invoice_id",
        "payment_id",
        "subscription_id",
    ),
    "unmade",
)


def filled(route: Route, account: Furnished, made: dict[str, str] = UNMADE) -> str:
    """Put the account's ids, and those `made`, into the route's path."""
    ids = {
        "number_id": account.number_id,
        "rule_id": account.rule_id,
        "prompt_id": account.prompt_ids[0],
        "device_id": account.device_id,
        "message_id": account.message_id,
        "call_id": account.call_id,
        "recording_id": account.recording_id,
        "token_id": account.token_id,
        "session_id": "current",
        **UNMADE,
        **made,
    }
    if "/notification-rules/" in route.path:
        ids["rule_id"] = made["notification_rule_id"]
    if route.path.endswith(":rotate"):
        ids["token_id"] = made["spare_token_id"]
    return route.path.format(**ids)


# Bodies that are right, so that only the id can be what is refused.
BODIES = {
    "/api/v1/account/outbound": {"classes": ["fixed"]},
    "/api/v1/credit": {"automatic_limit": 1},
    "/api/v1/payment-method": {"kind": "bank_transfer"},
    "/api/v1/contract": {"customer_name": "奪う"},
    "/api/v1/numbers/{number_id}": {"display_name": "奪う"},
    "/api/v1/numbers/{number_id}/ring-plan": {"in_turn": False, "devices": []},
    "/api/v1/devices/{device_id}/calling": {"short_number": None, "default_number_id": None},
    "/api/v1/numbers/{number_id}/rusurepo": {"enabled": False, "rule_id": None},
    "/api/v1/numbers/{number_id}/recording": {"inbound": True, "outbound": True, "announcement": False},
    "/api/v1/rules/{rule_id}": {"name": "奪う"},
    "/api/v1/prompts/{prompt_id}": {"name": "奪う"},
    "/api/v1/whitelists/{whitelist_id}": {"name": "奪う"},
    "/api/v1/whitelists/{whitelist_id}/entries:add": {"lines": "非通知"},
    "/api/v1/whitelists/{whitelist_id}/entries:delete": {"ids": ["x"]},
    "/api/v1/schedules/{schedule_id}": {"enabled": True},
    "/api/v1/schedules/{schedule_id}/override": {"rule_id": None},
    "/api/v1/phonebook/entries/{entry_id}": {"name": "奪う"},
    "/api/v1/phonebook/imports/{import_id}:apply": {},
    "/api/v1/devices/{device_id}/phonebook": {"standby_type": "list"},
    "/api/v1/devices/{device_id}/phonebook/links": {},
    "/api/v1/devices/{device_id}": {"name": "奪う"},
    "/api/v1/devices/{device_id}/registrations:release": {"end_calls": True},
    "/api/v1/messages/{message_id}": {"note": "奪う"},
    "/api/v1/messages/{message_id}/transcript": {"text": "奪う"},
    "/api/v1/messages/{message_id}/transcript:rerun": {},
    "/api/v1/notification-rules/{rule_id}": {"name": "奪う"},
    "/api/v1/notification-rules/{rule_id}/services": {
        "kind": "webhook",
        "fields": {"url": "https://example.jp/hook"},
    },
    "/api/v1/notification-rules/{rule_id}/services/{service_id}": {"label": "奪う"},
    "/api/v1/users/{user_id}": {"name": "奪う"},
    "/api/v1/users/{user_id}/password": {},
    "/api/v1/tokens/{token_id}:rotate": {},
    "/api/v1/numbers/{number_id}/fax": {},
    "/api/v1/numbers/{number_id}/fax/access": {"device_ids": []},
    "/api/v1/faxes/{fax_id}": {"read": True},
}
# What is deleted is asked for before; the token is what asks.
LAST = {
    "/api/v1/rules/{rule_id}": 1,
    "/api/v1/phonebook/entries/{entry_id}": 1,
    "/api/v1/phonebook/imports/{import_id}": 1,
    "/api/v1/devices/{device_id}": 1,
    "/api/v1/messages/{message_id}": 1,
    "/api/v1/recordings/{recording_id}": 1,
    "/api/v1/prompts/{prompt_id}": 2,
    "/api/v1/whitelists/{whitelist_id}": 1,
    "/api/v1/schedules/{schedule_id}": 1,
    "/api/v1/notification-rules/{rule_id}/services/{service_id}": 1,
    "/api/v1/notification-rules/{rule_id}": 2,
    "/api/v1/users/{user_id}": 2,
    "/api/v1/faxes/{fax_id}": 1,
    "/api/v1/tokens/{token_id}": 3,
}
CONFLICTS = {
    "/api/v1/deliveries/{delivery_id}:resend": "not_failed",
    "/api/v1/calls/{call_id}/recording:start": "call_over",
    "/api/v1/calls/{call_id}/recording:pause": "call_over",
    "/api/v1/calls/{call_id}/recording:resume": "call_over",
    "/api/v1/calls/{call_id}/recording:stop": "call_over",
    "/api/v1/faxes/{fax_id}:cancel": "fax_over",
}
"""What the owner cannot do either, as things are."""


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer \xff\xfe"])
async def test_without_a_valid_token_nothing_is_answered(
    nobody: Client, ours: Furnished, header: str | None
) -> None:
    headers = {"Authorization": header} if header else {}
    for route in BELOW_API:
        answer = await nobody(route.method, filled(route, ours), headers=headers)
        assert (answer.status, answer.body["code"]) == (401, "unauthorized"), named(route)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_another_accounts_ids_are_not_found(
    admin: Client, other_admin: Client, theirs: Furnished, database: Database, media: Media
) -> None:
    ids = await made(other_admin, theirs) | await faxed(database, media, theirs)
    ids |= await invoiced(database, media, theirs)
    for route in WITH_IDS:
        path, body = filled(route, theirs, ids), BODIES.get(route.path)
        refused = await admin(route.method, path, json=body)
        assert (refused.status, refused.body["code"]) == (404, "not_found"), named(route)
    # The same requests by the owner work: the test asks for things that are there.
    for route in sorted(
        WITH_IDS, key=lambda route: LAST.get(route.path, 0) if route.method == "DELETE" else 0
    ):
        answer = await other_admin(route.method, filled(route, theirs, ids), json=BODIES.get(route.path))
        if route.path in CONFLICTS:
            assert answer.body["code"] == CONFLICTS[route.path]
        else:
            assert answer.status < 300, named(route)


async def test_naming_another_account_does_not_help(
    admin: Client, other_admin: Client, theirs: Furnished
) -> None:
    ids = await made(other_admin, theirs)
    for route in BELOW_API:
        path = f"{filled(route, theirs, ids)}?account_id={theirs.account_id}"
        answer = await admin(route.method, path, json=BODIES.get(route.path))
        assert 400 <= answer.status < 500, named(route)


@pytest.mark.parametrize("given", ["x" * 32, "%00", "%ff", "..%2f", "あ", "0" * 200, "%0d%0aX:1"])
async def test_unknown_and_odd_ids_are_not_found(admin: Client, given: str) -> None:
    for route in WITH_IDS:
        path = route.path.format(**dict.fromkeys(route.path_names, given))
        assert (await admin(route.method, path, json=BODIES.get(route.path))).status == 404, named(route)


async def test_operators_work_is_forbidden_to_administrators(admin: Client) -> None:
    for route in (route for route in BELOW_API if route.operator_only):
        path = route.path.format(**dict.fromkeys(route.path_names, "x"))
        answer = await admin(route.method, path, json={})
        assert (answer.status, answer.body["code"]) == (403, "forbidden"), named(route)


async def test_operator_names_the_account(operator: Client, ours: Furnished, theirs: Furnished) -> None:
    assert (await operator.get("/api/v1/numbers")).body["code"] == "account_required"
    assert (await operator.get("/api/v1/numbers?account_id=unknown")).status == 404
    listed = await operator.get(f"/api/v1/numbers?account_id={theirs.account_id}")
    assert [number["id"] for number in listed.body["items"]] == [theirs.number_id]
    wrong = await operator.get(f"/api/v1/messages/{ours.message_id}?account_id={theirs.account_id}")
    assert wrong.status == 404


async def test_operator_sets_up_a_customer(operator: Client, ours: Furnished) -> None:
    account = (await operator.post("/api/v1/accounts", {"name": "新会社"})).body
    number = await operator.post(
        "/api/v1/numbers", {"account_id": account["id"], "number": "０３（９８７６）５４３２", "use": "fax"}
    )
    assert (number.status, number.body["e164"], number.body["use"]) == (201, "+81398765432", "fax")
    again = await operator.post("/api/v1/numbers", {"account_id": account["id"], "number": "+81398765432"})
    assert (again.status, again.body["code"]) == (409, "number_taken")
    foreign = await operator.post("/api/v1/numbers", {"account_id": account["id"], "number": "+12125550100"})
    assert (foreign.status, foreign.fields) == (422, ["number"])
    nowhere = await operator.post("/api/v1/numbers", {"account_id": "x" * 32, "number": "0398765433"})
    assert (nowhere.status, nowhere.fields) == (422, ["account_id"])
    names = [one["name"] for one in (await operator.get("/api/v1/accounts")).body["items"]]
    assert names == ["株式会社あさひ", "新会社"]


async def test_tokens_live_and_die(admin: Client, operator: Client, api: MakeClient, ours: Furnished) -> None:
    issued = (await operator.post("/api/v1/tokens", {"account_id": ours.account_id, "label": "連携"})).body
    fresh = api(issued["token"])
    assert (await fresh.get("/api/v1/numbers")).status == 200
    listed = (await admin.get("/api/v1/tokens")).body["items"]
    assert [token["label"] for token in listed] == ["", "連携"]
    assert issued["token"] not in str(listed)
    assert (await admin("DELETE", f"/api/v1/tokens/{issued['id']}")).status == 204
    assert (await fresh.get("/api/v1/numbers")).status == 401


async def test_administrator_makes_tokens_of_its_own_account_only(
    admin: Client, ours: Furnished, theirs: Furnished
) -> None:
    made = await admin.post("/api/v1/tokens", {})
    assert (made.status, made.body["account_id"], made.body["role"]) == (
        201,
        ours.account_id,
        "administrator",
    )
    assert (await admin.post("/api/v1/tokens", {"role": "operator"})).status == 403
    foreign = await admin.post("/api/v1/tokens", {"account_id": theirs.account_id})
    assert (foreign.status, foreign.fields) == (422, ["account_id"])
    assert (await admin.get(f"/api/v1/tokens?account_id={theirs.account_id}")).status == 404


async def test_operator_says_whose_token(operator: Client, ours: Furnished) -> None:
    for body in ({}, {"role": "operator", "account_id": ours.account_id}, {"account_id": "x"}):
        refused = await operator.post("/api/v1/tokens", body)
        assert (refused.status, refused.fields) == (422, ["account_id"])
    assert (await operator.post("/api/v1/tokens", {"role": "operator"})).body["account_id"] is None
