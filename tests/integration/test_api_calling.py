"""Numbers, ring plans, the block list, how devices call, and trunks, through the API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from pbx.dialplan.trunks import endpoint_of, told_of_trunks, trunk_objects
from store.arrivals import Caller, look_up
from store.calling import await_callback, calling_device, colleague
from store.database import Database
from store.models import (
    CallerKind,
    DestinationClass,
    Device,
    NumberUse,
    Treatment,
    Trunk,
    TrunkRegistration,
    TrunkState,
    now,
)
from store.numbers import add_number
from store.provisioning import wanted_of_asterisk
from store.trunks import keep_trunk_states, registering_trunks
from tests.furnishing import FIRST_CALL, Furnished
from tests.integration.conftest import Client
from tests.unit.test_render import DEFAULT

pytestmark = pytest.mark.integration

BLOCKED, TRUNKS = "/api/v1/blocked-callers", "/api/v1/trunks"
CARRIER = {"name": "回線1", "uri": "sip:carrier.example:5060"}


async def username_of(database: Database, device_id: str) -> str:
    async with database.session() as session:
        username: str | None = await session.scalar(select(Device.username).where(Device.id == device_id))
    assert username is not None
    return username


# ---- numbers -----------------------------------------------------------------------------------------


async def test_a_number_has_a_name_a_line_and_what_is_sold(
    admin: Client, operator: Client, other_admin: Client, ours: Furnished
) -> None:
    path = f"/api/v1/numbers/{ours.number_id}"
    changed = await admin("PATCH", path, json={"display_name": "受付", "line": 7})
    assert (changed.body["display_name"], changed.body["line"]) == ("受付", 7)
    assert changed.body["options"] == {"recording": True, "rusurepo": True, "fax": True}
    assert (await admin.get(path)).body == changed.body
    for mine in ({"channels": 2}, {"options": {"recording": False, "rusurepo": False, "fax": True}}):
        assert (await admin("PATCH", path, json=mine)).status == 403
    assert (await other_admin("PATCH", path, json={"display_name": "x"})).status == 404
    assert (await admin("PATCH", path, json={"line": 100})).fields == ["line"]
    both = {"options": {"recording": False, "rusurepo": False, "fax": True}, "channels": 2}
    sold = await operator("PATCH", f"{path}?account_id={ours.account_id}", json=both)
    assert (sold.body["channels"], sold.body["display_name"]) == (2, "受付")


async def test_what_is_not_sold_is_refused_with_a_reason(
    admin: Client, operator: Client, ours: Furnished, database: Database
) -> None:
    """And what was set before takes no message any more."""
    path = f"/api/v1/numbers/{ours.number_id}"
    on = {"enabled": True, "rule_id": ours.rule_id}
    assert (await admin.put(f"{path}/rusurepo", on)).status == 200
    options = {"options": {"recording": True, "rusurepo": False, "fax": True}}
    changed = await operator("PATCH", f"{path}?account_id={ours.account_id}", json=options)
    assert changed.body["rusurepo"]["enabled"] is False
    refused = await admin.put(f"{path}/rusurepo", on)
    assert (refused.status, refused.body["code"]) == (409, "option_not_sold")
    assert "お申し込み" in refused.body["detail"]
    arrival = await database.transaction(lambda connection: look_up(connection, ours.e164))
    assert arrival is not None
    assert arrival.rule is None


async def test_lines_are_given_in_order_and_to_one_number(
    admin: Client, database: Database, ours: Furnished
) -> None:
    async with database.session() as session:
        second = await add_number(session, ours.account_id, "+81399990001", NumberUse.FAX)  # type: ignore[arg-type]
    assert second.line == 2
    refused = await admin("PATCH", f"/api/v1/numbers/{second.id}", json={"line": 1})
    assert refused.body["code"] == "line_taken"


# ---- who rings ---------------------------------------------------------------------------------------


async def test_a_ring_plan(admin: Client, other_admin: Client, ours: Furnished, database: Database) -> None:
    path = f"/api/v1/numbers/{ours.number_id}/ring-plan"
    usual = {"in_turn": False, "ring_s": 60, "devices": [], "unanswered_rule_id": None}
    assert (await admin.get(path)).body == usual
    plan = {
        "in_turn": True,
        "ring_s": 60,
        "devices": [{"device_id": ours.device_id, "ring_s": 15}],
        "unanswered_rule_id": ours.rule_id,
    }
    assert (await admin.put(path, plan)).body == plan
    assert (await other_admin.get(path)).status == 404
    arrival = await database.transaction(lambda connection: look_up(connection, ours.e164))
    assert arrival is not None
    assert (arrival.ringing.in_turn, arrival.ringing.ring_s) == (True, 15)
    assert arrival.unanswered_rule is not None
    in_use = await admin("DELETE", f"/api/v1/rules/{ours.rule_id}")
    assert [use["id"] for use in in_use.body["used_by"]] == [ours.number_id]
    assert (await admin.put(path, {})).body == usual


async def test_a_device_rings_for_a_time_of_its_own(
    admin: Client, ours: Furnished, database: Database
) -> None:
    """Without one for 20 seconds in turn, at once to the end. Asterisk is told the plan's rule, too."""
    path = f"/api/v1/numbers/{ours.number_id}/ring-plan"
    for in_turn, given, shown in ((True, None, 20), (False, None, None), (False, 15, 15)):
        devices = [{"device_id": ours.device_id, "ring_s": given}]
        plan = {"in_turn": in_turn, "devices": devices, "unanswered_rule_id": ours.rule_id}
        assert (await admin.put(path, plan)).body["devices"][0]["ring_s"] == shown
    off = {"enabled": False, "rule_id": ours.rule_id}
    await admin.put(f"/api/v1/numbers/{ours.number_id}/rusurepo", off)
    async with database.session() as session:
        wanted = await wanted_of_asterisk(session)
    (number,) = [one for one in wanted.numbers if one.number_id == ours.number_id]
    assert number.ringing.devices == ((ours.device_id, 15),)
    assert (number.rule, number.unanswered_rule and number.unanswered_rule.id) == (None, ours.rule_id)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"devices": [{"device_id": "nobody"}]}, ("devices", "not_found")),
        ({"in_turn": True}, ("devices", "required")),
        ({"unanswered_rule_id": "none"}, ("unanswered_rule_id", "not_found")),
        ({"ring_s": 100}, ("ring_s", "less_than_equal")),
    ],
)
async def test_ring_plans_that_cannot_be(
    admin: Client, ours: Furnished, changes: dict[str, Any], wrong: tuple[str, str]
) -> None:
    refused = await admin.put(f"/api/v1/numbers/{ours.number_id}/ring-plan", changes)
    assert refused.status == 422
    assert [(one["field"], one["code"]) for one in refused.body["errors"]] == [wrong]


async def test_the_block_list(
    admin: Client, other_admin: Client, ours: Furnished, database: Database
) -> None:
    """The number's own entry counts before the account's, a whole number before a beginning."""

    async def treatment(caller: Caller) -> Treatment | None:
        found = await database.transaction(lambda connection: look_up(connection, ours.e164, caller))
        assert found is not None
        return found.blocked.treatment if found.blocked else None

    tanaka = Caller("+819012345678", CallerKind.NUMBER)
    assert await treatment(tanaka) is None
    entries: list[dict[str, Any]] = [
        {"kind": "prefix", "value": "090*", "treatment": "busy", "name": "携帯"},
        {"kind": "withheld", "treatment": "announcement"},
        {"value": "090-1234-5678", "treatment": "reject"},
        {"number_id": ours.number_id, "kind": "prefix", "value": "0901", "treatment": "rusurepo"},
    ]
    made = [await admin.post(BLOCKED, entry) for entry in entries]
    assert [one.status for one in made] == [201] * 4
    assert made[0].body["value"] == "+8190"
    assert await treatment(tanaka) is Treatment.RUSUREPO
    assert await treatment(Caller("+819099999999", CallerKind.NUMBER)) is Treatment.BUSY
    assert await treatment(Caller(None, CallerKind.WITHHELD)) is Treatment.ANNOUNCEMENT
    assert await treatment(Caller(None, CallerKind.PAYPHONE)) is None
    assert await treatment(Caller("+81312345678", CallerKind.NUMBER)) is None
    assert (await admin.post(BLOCKED, entries[2])).body["code"] == "already_blocked"
    assert (await admin.get(BLOCKED)).body["items"] == [one.body for one in made]
    assert (await other_admin.get(BLOCKED)).body["items"] == []
    gone = {"ids": [made[3].body["id"], "nobody"]}
    assert [one["result"] for one in (await other_admin.post(f"{BLOCKED}:delete", gone)).body["results"]] == [
        "not_found",
        "not_found",
    ]
    await admin.post(f"{BLOCKED}:delete", gone)
    assert await treatment(tanaka) is Treatment.REJECT


# ---- how devices call --------------------------------------------------------------------------------


async def test_classes_of_destinations(admin: Client, ours: Furnished, database: Database) -> None:
    """Overseas is off at first; a device may call no more than its account."""
    path, device = "/api/v1/account/outbound", f"/api/v1/devices/{ours.device_id}/calling"
    usual = await admin.get(path)
    assert usual.body["classes"] == ["free", "fixed", "mobile", "ip", "navi", "special"]
    assert usual.body["emergency_available"] is False
    assert (await admin.put(path, {"classes": ["overseas", "fixed"]})).body["classes"] == [
        "fixed",
        "overseas",
    ]
    body = {"short_number": "21", "default_number_id": ours.number_id, "classes": ["overseas", "mobile"]}
    changed = await admin.put(device, body)
    assert changed.body == {**body, "classes": ["mobile", "overseas"], "hides_number": False}
    assert (await admin.get(device)).body == changed.body
    username = await username_of(database, ours.device_id)
    found = await database.transaction(lambda connection: calling_device(connection, username))
    assert found is not None
    assert found.allowed == {DestinationClass.OVERSEAS}
    assert (found.shown_as, found.default and found.default.id) == ("21", ours.number_id)
    assert (await admin.put(path, {"classes": ["emergency"]})).status == 200
    assert (await admin.put(path, {"classes": ["mars"]})).fields == ["classes.0"]


@pytest.mark.parametrize("number", ["110", "117", "0123", "1", "701", "1841", "12345", "1a"])
async def test_numbers_that_are_somebody_elses_are_no_short_numbers(
    admin: Client, ours: Furnished, number: str
) -> None:
    body = {"short_number": number, "default_number_id": None}
    refused = await admin.put(f"/api/v1/devices/{ours.device_id}/calling", body)
    assert (refused.status, refused.fields) == (422, ["short_number"])


async def test_colleagues_have_different_short_numbers(
    admin: Client, other_admin: Client, ours: Furnished, theirs: Furnished, database: Database
) -> None:
    made = (await admin.post("/api/v1/devices", {"username": "2002"})).body
    body = {"short_number": "21", "default_number_id": None}
    assert (await admin.put(f"/api/v1/devices/{ours.device_id}/calling", body)).status == 200
    taken = await admin.put(f"/api/v1/devices/{made['id']}/calling", body)
    assert taken.body["code"] == "short_number_taken"
    as_named = {**body, "short_number": "2002"}
    refused = await admin.put(f"/api/v1/devices/{ours.device_id}/calling", as_named)
    assert refused.body["code"] == "short_number_taken"
    assert (await other_admin.put(f"/api/v1/devices/{theirs.device_id}/calling", body)).status == 200
    found = await database.transaction(lambda connection: colleague(connection, ours.account_id, "21"))
    assert found is not None
    assert found.id == ours.device_id
    assert await database.transaction(lambda connection: colleague(connection, ours.account_id, "22")) is None


async def test_an_emergency_service_may_call_back(ours: Furnished, database: Database) -> None:
    at = now()
    await database.transaction(lambda connection: await_callback(connection, ours.account_id, at))
    found = await database.transaction(lambda connection: look_up(connection, ours.e164))
    assert found is not None
    assert found.callback_awaited


# ---- trunks ------------------------------------------------------------------------------------------


async def test_life_of_a_trunk(operator: Client, admin: Client, database: Database) -> None:
    assert (await admin.post(TRUNKS, CARRIER)).status == 403
    fields = {"registers": True, "username": "0312345678", "password": "s3cret!", "accept": ["192.0.2.0/24"]}
    made = await operator.post(TRUNKS, {**CARRIER, **fields, "emergency": True, "t38": True})
    assert made.status == 201
    assert "s3cret" not in made.raw.decode()
    assert made.body["has_password"] is True
    path = f"{TRUNKS}/{made.body['id']}"
    assert (await admin.get("/api/v1/account/outbound")).body["emergency_available"] is True
    changed = await operator("PATCH", path, json={"number_style": "e164", "priority": 200})
    assert changed.body == {**made.body, "number_style": "e164", "priority": 200}
    async with database.session() as session:
        (trunk,) = (await wanted_of_asterisk(session)).trunks
    name = endpoint_of(trunk)
    told = told_of_trunks([trunk])
    assert told == {"ordinary": f"trunk-main&{name}", "emergency": name, f"style/{name}": "e164"}
    objects = dict(trunk_objects(DEFAULT, trunk, "s3cret!"))
    assert list(objects) == ["auth", "aor", "endpoint", "identify", "registration"]
    assert objects["endpoint"]["identify_by"] == "ip", "nobody is the trunk by its name"
    refused = await operator("PATCH", path, json={"password": None})
    assert refused.fields == ["password"]
    assert (await operator("PATCH", path, json={"enabled": False})).body["enabled"] is False
    assert (await admin.get("/api/v1/account/outbound")).body["emergency_available"] is False
    assert (await operator("DELETE", path)).status == 204
    assert (await operator.get(path)).status == 404


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"uri": "carrier.example"}, "uri"),
        ({"uri": "sip:a;method=X"}, "uri"),
        ({"accept": ["300.0.0.0/8"]}, "accept.0"),
        ({"codecs": ["opus"]}, "codecs.0"),
        ({"username": "a b"}, "username"),
        ({"registers": True}, "username"),
        ({"priority": 0}, "priority"),
    ],
)
async def test_trunks_that_cannot_be(operator: Client, fields: dict[str, Any], wrong: str) -> None:
    refused = await operator.post(TRUNKS, {**CARRIER, **fields})
    assert (refused.status, refused.fields) == (422, [wrong])


async def test_where_a_trunk_is_registered(operator: Client, database: Database) -> None:
    """As each node said last; `since` stays while nothing changes. A trunk that goes takes it along."""
    fields = {"registers": True, "username": "0312345678", "password": "s3cret!"}
    made = await operator.post(TRUNKS, {**CARRIER, **fields})
    assert made.body["registrations"] == []
    path = f"{TRUNKS}/{made.body['id']}"
    states = [TrunkState.REJECTED, TrunkState.REJECTED, TrunkState.REGISTERED]
    for minute, state in enumerate(states):
        async with database.session() as session:
            assert await registering_trunks(session) == {made.body["id"]: CARRIER["uri"]}
            at = FIRST_CALL + timedelta(minutes=minute)
            await keep_trunk_states(session, "node-a", {made.body["id"]: state}, at)
            await keep_trunk_states(session, "node-b", {made.body["id"]: TrunkState.UNREACHABLE}, at)
    shown = (await operator.get(path)).body["registrations"]
    assert [(one["node"], one["state"]) for one in shown] == [
        ("node-a", "registered"),
        ("node-b", "unreachable"),
    ]
    since = [datetime.fromisoformat(one["since"]) for one in shown]
    assert since == [FIRST_CALL + timedelta(minutes=2), FIRST_CALL]
    assert (await operator.get(TRUNKS)).body["items"][0]["registrations"] == shown
    async with database.session() as session:
        await keep_trunk_states(session, "node-b", {}, FIRST_CALL)
    assert [one["node"] for one in (await operator.get(path)).body["registrations"]] == ["node-a"]
    assert (await operator("DELETE", path)).status == 204
    async with database.session() as session:
        assert list(await session.scalars(select(TrunkRegistration))) == []


async def test_trunks_have_names_of_their_own(operator: Client, database: Database) -> None:
    assert (await operator.post(TRUNKS, CARRIER)).status == 201
    assert (await operator.post(TRUNKS, CARRIER)).body["code"] == "name_taken"
    async with database.session() as session:
        assert len((await session.scalars(select(Trunk))).all()) == 1
