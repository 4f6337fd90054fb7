"""ETag and If-Match: two who edit the same thing never overwrite each other without knowing."""

import asyncio
from typing import Any

import pytest

from portal_api.access import Who
from portal_api.main import ROUTES
from portal_api.routing import Parts, readers_of
from settings import ApiSettings
from store.database import Database
from store.media import Media
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client, serving
from tests.integration.test_api_access import BODIES, faxed, filled, invoiced, made

pytestmark = pytest.mark.integration

READERS = readers_of(ROUTES)
EDITS = [
    route
    for route in ROUTES
    if route.method in {"PUT", "PATCH", "DELETE"} and route.path in READERS and route.who is not Who.SIGNED_IN
]
WRONG = '"0123"'


async def test_every_single_thing_has_an_etag(
    admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    ids = await made(admin, ours) | await faxed(database, media, ours) | await invoiced(database, media, ours)
    single = [route for path, route in READERS.items() if path.endswith("}") and not route.operator_only]
    furnished = [route for route in single if "unmade" not in filled(route, ours, ids)]
    assert len(furnished) > 8
    for route in furnished:
        path = filled(route, ours, ids)
        first = await admin.get(path)
        tag = first.headers["ETag"]
        assert tag.startswith('"'), path
        for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await admin.get(path, headers={"If-None-Match": given})
            assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", tag), path
        assert (await admin.get(path, headers={"If-None-Match": WRONG})).body == first.body


async def test_every_edit_looks_at_if_match(
    admin: Client, operator: Client, ours: Furnished, database: Database, media: Media
) -> None:
    ids = await made(admin, ours) | await faxed(database, media, ours) | await invoiced(database, media, ours)
    trunk = await operator.post("/api/v1/trunks", {"name": "回線", "uri": "sip:trunk.example.com:5060"})
    ids["trunk_id"] = trunk.body["id"]
    furnished = [route for route in EDITS if "unmade" not in filled(route, ours, ids)]
    assert len(furnished) > 15
    for route in furnished:
        query = f"?account_id={ours.account_id}" if route.operator_only and route.of_account else ""
        path, body = filled(route, ours, ids) + query, BODIES.get(route.path)
        who = operator if route.operator_only else admin
        if route.path == "/api/v1/phonebook/contract":
            body = {"contracted": True}
        if route.path == "/api/v1/trunks/{trunk_id}":
            body = {"name": "奪う"}
        if route.path == "/api/v1/account":
            body = {"message_retention_days": 7}
        before = await who.get(path)
        refused = await who(route.method, path, json=body, headers={"If-Match": WRONG})
        assert (refused.status, refused.body["code"]) == (412, "changed_meanwhile"), path
        assert refused.headers["ETag"] == before.headers["ETag"]
        assert refused.body["current"] == before.body
        assert (await who.get(path)).body == before.body


async def test_edits_follow_one_another_by_their_answers(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/rules/{ours.rule_id}"
    tag = (await admin.get(path)).headers["ETag"]
    for name in ("一", "二", "三"):
        changed = await admin("PATCH", path, json={"name": name}, headers={"If-Match": tag})
        assert changed.status == 200
        assert changed.headers["ETag"] != tag
        tag = changed.headers["ETag"]
    assert (await admin.get(path)).headers["ETag"] == tag
    for given in (f"W/{tag}", WRONG, "nonsense"):
        refused = await admin("PATCH", path, json={"name": "四"}, headers={"If-Match": given})
        assert refused.status == 412
    for given in ("*", f"{WRONG}, {tag}"):
        assert (await admin("PATCH", path, json={"name": "三"}, headers={"If-Match": given})).status == 200
    assert (await admin("DELETE", path, headers={"If-Match": WRONG})).status == 412
    assert (await admin("DELETE", path, headers={"If-Match": tag})).status == 204
    assert (await admin("DELETE", path, headers={"If-Match": tag})).status == 404


@pytest.mark.parametrize("careless", [0, 3])
async def test_of_many_at_once_one_edits(admin: Client, ours: Furnished, careless: int) -> None:
    """Those who are careless edit in any case; nobody who is careful overwrites anything unseen."""
    entry: dict[str, Any] = {"name": "田中", "numbers": [{"number": "117"}]}
    path = f"/api/v1/phonebook/entries/{(await admin.post('/api/v1/phonebook/entries', entry)).body['id']}"
    tag = (await admin.get(path)).headers["ETag"]

    async def edit(number: int) -> int:
        headers = {"If-Match": tag} if number >= careless else {}
        return (await admin("PATCH", path, json={"memo": f"{number}"}, headers=headers)).status

    statuses = await asyncio.gather(*(edit(number) for number in range(8)))
    careful = statuses[careless:]
    assert statuses[:careless] == [200] * careless
    assert set(careful) <= {200, 412}
    assert careful.count(200) <= 1
    if careless == 0:
        assert careful.count(200) == 1


async def test_if_match_can_be_demanded(database: Database, media: Media, ours: Furnished) -> None:
    parts = Parts(database, media, "test", SECRET_KEY, api=ApiSettings(require_if_match=True))
    async with serving(parts) as make_client:
        admin = make_client(ours.token)
        path = f"/api/v1/rules/{ours.rule_id}"
        refused = await admin("PATCH", path, json={"name": "x"})
        assert (refused.status, refused.body["code"]) == (428, "if_match_required")
        tag = (await admin.get(path)).headers["ETag"]
        assert (await admin("PATCH", path, json={"name": "x"}, headers={"If-Match": tag})).status == 200
        # What cannot be asked for has no ETag to send.
        assert (await admin("DELETE", f"/api/v1/tokens/{ours.token_id}")).status == 204
