"""Whitelists, what rules say of callers, and schedules through the API."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from store import revisions
from store.database import Database
from store.models import now
from store.whitelists import MOST_ENTRIES
from tests.furnishing import Furnished
from tests.integration.conftest import Answer, Client

pytestmark = pytest.mark.integration

WHITELISTS, RULES, SCHEDULES = "/api/v1/whitelists", "/api/v1/rules", "/api/v1/schedules"
YAMADA = {"kind": "number", "value": "03-1234-5678", "name": "山田商店"}


def new_whitelist(account: Furnished, *entries: dict[str, Any], name: str = "取引先") -> dict[str, Any]:
    return {"number_id": account.number_id, "name": name, "entries": list(entries)}


def codes(refused: Answer) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in refused.body["errors"]]


# ---- whitelists --------------------------------------------------------------------------------------


async def test_life_of_a_whitelist(admin: Client, ours: Furnished) -> None:
    entries = [YAMADA, {"kind": "prefix", "value": "0120*"}, {"kind": "withheld", "name": "夜の電話"}]
    made = await admin.post(WHITELISTS, new_whitelist(ours, *entries))
    assert made.status == 201
    assert [(one["kind"], one["value"], one["name"]) for one in made.body["entries"]] == [
        ("number", "+81312345678", "山田商店"),
        ("prefix", "+81120", ""),
        ("withheld", None, "夜の電話"),
    ]
    path = f"{WHITELISTS}/{made.body['id']}"
    assert (await admin.get(path)).body == made.body
    assert (await admin.get(f"{WHITELISTS}?number_id={ours.number_id}")).body["items"] == [made.body]
    renamed = await admin("PATCH", path, json={"name": "お得意様"})
    assert renamed.body == {**made.body, "name": "お得意様"}
    replaced = await admin("PATCH", path, json={"entries": [{"value": "090-1234-5678"}]})
    assert [one["value"] for one in replaced.body["entries"]] == ["+819012345678"]
    assert (await admin.post(WHITELISTS, new_whitelist(ours, name="お得意様"))).body["code"] == "name_taken"
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(path)).status == 404


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ({"kind": "number", "value": "03-1234-567"}, ("entries.0", "phone_number")),
        ({"kind": "number"}, ("entries.0", "value")),
        ({"kind": "prefix", "value": "フリーダイヤル"}, ("entries.0", "phone_number")),
        ({"kind": "withheld", "value": "0312345678"}, ("entries.0", "value")),
        ({"kind": "anybody"}, ("entries.0.kind", "enum")),
        ({"kind": "number", "value": "0" * 65}, ("entries.0.value", "string_too_long")),
        ({"kind": "withheld", "name": "改\n行"}, ("entries.0.name", "text")),
        ({"kind": "withheld", "id": "x"}, ("entries.0.id", "extra_forbidden")),
    ],
)
async def test_unusable_entries(
    admin: Client, ours: Furnished, entry: dict[str, Any], wrong: tuple[str, str]
) -> None:
    refused = await admin.post(WHITELISTS, new_whitelist(ours, entry))
    assert (refused.status, codes(refused)) == (422, [wrong])


async def test_what_is_twice_in_a_list_is_told(admin: Client, ours: Furnished) -> None:
    again = {"kind": "number", "value": "+81 3 1234 5678", "name": "別名"}
    refused = await admin.post(WHITELISTS, new_whitelist(ours, YAMADA, {"kind": "payphone"}, again))
    assert (refused.status, codes(refused)) == (422, [("entries.2", "duplicate")])
    assert "3件目は1件目と同じ" in refused.body["detail"]


async def test_a_thousand_entries_and_no_more(admin: Client, ours: Furnished) -> None:
    many = [{"value": f"090{number:08d}"} for number in range(10000000, 10000000 + MOST_ENTRIES)]
    made = await admin.post(WHITELISTS, new_whitelist(ours, *many))
    assert (made.status, len(made.body["entries"])) == (201, MOST_ENTRIES)
    assert made.body["entries"][-1]["value"] == "+819010000999"
    one_more = {"lines": "080-1234-5678\n090-1000-0999"}
    refused = await admin.post(f"{WHITELISTS}/{made.body['id']}/entries:add", one_more)
    assert (refused.status, refused.body["code"]) == (409, "whitelist_full")
    refused = await admin.post(WHITELISTS, new_whitelist(ours, *many, YAMADA, name="多い"))
    assert codes(refused) == [("entries", "too_long")]


async def test_a_pasted_list(admin: Client, ours: Furnished) -> None:
    made = (await admin.post(WHITELISTS, new_whitelist(ours, YAMADA))).body
    path = f"{WHITELISTS}/{made['id']}"
    lines = (
        "090-1234-5678,鈴木\n\n山田\n0120*\n0312345678\r\n090 1234 5678\n"
        "非通知\n03-1234-567\n080-1111-2222," + "長" * 101
    )
    added = (await admin.post(f"{path}/entries:add", {"lines": lines})).body
    assert (added["added"], added["duplicates"]) == (3, [5, 6])
    assert [(error["line"], error["code"]) for error in added["errors"]] == [
        (3, "phone_number"),
        (8, "phone_number"),
        (9, "text"),
    ]
    values = [(one["kind"], one["value"]) for one in added["whitelist"]["entries"]]
    assert values == [
        ("number", "+81312345678"),
        ("number", "+819012345678"),
        ("prefix", "+81120"),
        ("withheld", None),
    ]
    assert (await admin.get(path)).body == added["whitelist"]
    again = (await admin.post(f"{path}/entries:add", {"lines": "非通知\n0120"})).body
    assert (again["added"], again["duplicates"]) == (0, [1, 2])

    ids = [one["id"] for one in added["whitelist"]["entries"]]
    deleted = await admin.post(f"{path}/entries:delete", {"ids": [ids[0], "0" * 32, ids[3], ids[0]]})
    assert [(one["id"], one["result"]) for one in deleted.body["results"]] == [
        (ids[0], "deleted"),
        ("0" * 32, "not_found"),
        (ids[3], "deleted"),
    ]
    assert [one["id"] for one in (await admin.get(path)).body["entries"]] == ids[1:3]


async def test_two_administrators_add_at_once(admin: Client, ours: Furnished, database: Database) -> None:
    made = (await admin.post(WHITELISTS, new_whitelist(ours))).body
    path = f"{WHITELISTS}/{made['id']}"
    async with database.session() as session:
        before = await revisions.current(session)
    adding = [
        admin.post(f"{path}/entries:add", {"lines": f"0901234567{turn % 5}\n非通知"}) for turn in range(10)
    ]
    answers = await asyncio.gather(*adding)
    assert {answer.status for answer in answers} == {200}
    assert sum(answer.body["added"] for answer in answers) == 6
    assert len((await admin.get(path)).body["entries"]) == 6
    async with database.session() as session:
        assert await revisions.current(session) == before + 10


# ---- rules -------------------------------------------------------------------------------------------


async def test_what_a_rule_says_of_callers(admin: Client, ours: Furnished) -> None:
    whitelist = (await admin.post(WHITELISTS, new_whitelist(ours, YAMADA))).body
    path = f"{RULES}/{ours.rule_id}"
    plain = {"whitelist_id": None, "ring_first_s": 0, "whitelisted_unanswered": "rusurepo"}
    before = (await admin.get(path)).body
    assert {field: before[field] for field in plain} == plain
    chosen = {"whitelist_id": whitelist["id"], "ring_first_s": 20, "whitelisted_unanswered": "announcement"}
    assert (await admin("PATCH", path, json=chosen)).body == {**before, **chosen}
    refused = await admin("DELETE", f"{WHITELISTS}/{whitelist['id']}")
    assert (refused.status, refused.body["code"]) == (409, "in_use")
    assert refused.body["used_by"] == [{"kind": "rule", "id": ours.rule_id, "name": "昼休み"}]
    assert (await admin("PATCH", path, json={"name": "夜間"})).body == {**before, **chosen, "name": "夜間"}
    assert (await admin("PATCH", path, json={"whitelist_id": None})).body["whitelist_id"] is None
    assert (await admin("DELETE", f"{WHITELISTS}/{whitelist['id']}")).status == 204


async def test_unusable_choices_of_a_rule(
    admin: Client, ours: Furnished, other_admin: Client, theirs: Furnished
) -> None:
    foreign = (await other_admin.post(WHITELISTS, new_whitelist(theirs))).body["id"]
    for field, value in (
        ("whitelist_id", foreign),
        ("whitelist_id", "unknown"),
        ("ring_first_s", -1),
        ("ring_first_s", 61),
        ("ring_first_s", "20"),
        ("whitelisted_unanswered", "music"),
        ("name", None),
    ):
        refused = await admin("PATCH", f"{RULES}/{ours.rule_id}", json={field: value})
        assert (refused.status, refused.fields) == (422, [field])


# ---- schedules ---------------------------------------------------------------------------------------


def span(start: str, end: str, rule_id: str | None = None) -> dict[str, Any]:
    return {"start": start, "end": end, "rule_id": rule_id}


def new_schedule(account: Furnished, **more: Any) -> dict[str, Any]:
    return {"number_id": account.number_id, "enabled": True, "default_rule_id": account.rule_id, **more}


async def test_life_of_a_schedule(admin: Client, ours: Furnished) -> None:
    new_year = {
        "name": "年末年始",
        "first_day": "2026-12-29",
        "last_day": "2027-01-03",
        "spans": [span("00:00", "24:00", ours.rule_id)],
    }
    weekly = {
        "mon": [span("09:00", "12:00"), span("13:00", "18:00")],
        "fri": [span("22:00", "06:00", ours.rule_id)],
    }
    made = await admin.post(
        SCHEDULES, new_schedule(ours, weekly=weekly, holidays="sun", exceptions=[new_year])
    )
    assert made.status == 201
    schedule = made.body
    assert schedule["weekly"]["fri"] == weekly["fri"]
    assert schedule["weekly"]["holiday"] == []
    assert (schedule["exceptions"], schedule["holidays"], schedule["override"]) == ([new_year], "sun", None)
    path = f"{SCHEDULES}/{schedule['id']}"
    assert (await admin.get(path)).body == schedule
    assert (await admin.get(f"{SCHEDULES}?number_id={ours.number_id}")).body["items"] == [schedule]
    assert (await admin.get(f"/api/v1/numbers/{ours.number_id}")).body["schedule_id"] == schedule["id"]
    again = await admin.post(SCHEDULES, new_schedule(ours))
    assert (again.status, again.body["code"]) == (409, "schedule_exists")

    changed = (await admin("PATCH", path, json={"default_rule_id": None, "holidays": None})).body
    assert {**changed, "updated_at": ""} == {
        **schedule,
        "default_rule_id": None,
        "holidays": None,
        "updated_at": "",
    }
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(f"/api/v1/numbers/{ours.number_id}")).body["schedule_id"] is None


async def test_which_rule_applies_why_and_until_when(admin: Client, ours: Furnished) -> None:
    await admin.put(f"/api/v1/numbers/{ours.number_id}/rusurepo", {"enabled": True, "rule_id": ours.rule_id})
    weekly = {"tue": [span("09:00", "18:00")], "mon": [span("22:00", "06:00", None)]}
    schedule = (await admin.post(SCHEDULES, new_schedule(ours, weekly=weekly))).body
    path = f"{SCHEDULES}/{schedule['id']}"

    async def at(moment: str) -> dict[str, Any]:
        body: dict[str, Any] = (await admin.get(f"{path}/applies", params={"at": moment})).body
        return body

    assert await at("2026-12-01T10:00:00+09:00") == {
        "at": "2026-12-01T10:00:00+09:00",
        "rule_id": None,
        "source": "weekly",
        "day": "2026-12-01",
        "span": "09:00-18:00",
        "name": "",
        "until": "2026-12-01T18:00:00+09:00",
    }
    night = await at("2026-11-30T20:59:59Z")
    assert (night["source"], night["day"], night["span"]) == ("weekly", "2026-11-30", "22:00-06:00")
    holiday = await at("2026-11-03T10:00:00+09:00")
    assert (holiday["rule_id"], holiday["source"]) == (ours.rule_id, "default")
    await admin("PATCH", path, json={"enabled": False})
    manual = await at("2026-12-01T10:00:00+09:00")
    assert (manual["rule_id"], manual["source"], manual["until"]) == (ours.rule_id, "manual", None)
    assert (await admin.get(f"{path}/applies?at=2026-12-01")).fields == ["at"]


async def test_switching_by_hand(admin: Client, ours: Furnished) -> None:
    schedule = (await admin.post(SCHEDULES, new_schedule(ours))).body
    path = f"{SCHEDULES}/{schedule['id']}"
    ends = (now() + timedelta(hours=2)).replace(microsecond=0)
    switched = await admin.put(f"{path}/override", {"rule_id": None, "until": ends.isoformat()})
    assert switched.status == 200
    assert switched.body["override"]["rule_id"] is None
    assert datetime.fromisoformat(switched.body["override"]["until"]) == ends
    applying = (await admin.get(f"{path}/applies")).body
    assert (applying["rule_id"], applying["source"]) == (None, "override")
    assert datetime.fromisoformat(applying["until"]) == ends
    assert (await admin("DELETE", f"{path}/override")).status == 204
    assert (await admin.get(path)).body["override"] is None
    assert (await admin("DELETE", f"{path}/override")).status == 204

    await admin.put(f"{path}/override", {"rule_id": ours.rule_id})
    await admin("PATCH", path, json={"enabled": False})
    assert (await admin.get(path)).body["override"] is None
    refused = await admin.put(f"{path}/override", {"rule_id": None})
    assert (refused.status, refused.body["code"]) == (409, "schedule_off")
    await admin("PATCH", path, json={"enabled": True})
    late = await admin.put(f"{path}/override", {"rule_id": None, "until": "2026-01-01T00:00:00+09:00"})
    assert codes(late) == [("until", "past")]


async def test_a_rule_of_a_schedule_is_not_deleted(admin: Client, ours: Furnished) -> None:
    schedule = (await admin.post(SCHEDULES, new_schedule(ours))).body
    path, rule = f"{SCHEDULES}/{schedule['id']}", f"{RULES}/{ours.rule_id}"
    refused = await admin("DELETE", rule)
    assert (refused.status, refused.body["code"]) == (409, "in_use")
    assert refused.body["used_by"] == [{"kind": "schedule", "id": schedule["id"], "name": "+81312345678"}]
    await admin("PATCH", path, json={"default_rule_id": None})
    await admin.put(f"{path}/override", {"rule_id": ours.rule_id})
    assert (await admin("DELETE", rule)).status == 409
    await admin("DELETE", f"{path}/override")
    assert (await admin("DELETE", rule)).status == 204


@pytest.mark.parametrize(
    ("change", "wrong", "said"),
    [
        (
            {"weekly": {"tue": [span("09:00", "12:00"), span("11:00", "13:00")]}},
            ("weekly.tue", "overlap"),
            "09:00-12:00 と 11:00-13:00",
        ),
        (
            {"weekly": {"sun": [span("22:00", "06:00")], "mon": [span("05:00", "09:00")]}},
            ("weekly", "overlap"),
            "日曜の22:00-06:00 と 月曜の05:00-09:00",
        ),
        ({"weekly": {"mon": [span("09:00", "09:00")]}}, ("weekly.mon.0", "empty_span"), "00:00から24:00"),
        (
            {"weekly": {"mon": [span("24:00", "06:00")]}},
            ("weekly.mon.0.start", "string_pattern_mismatch"),
            "",
        ),
        ({"weekly": {"mon": [span("9:00", "18:00")]}}, ("weekly.mon.0.start", "string_pattern_mismatch"), ""),
        ({"weekly": {"mon": [span("09:00", "24:30")]}}, ("weekly.mon.0.end", "string_pattern_mismatch"), ""),
        ({"weekly": {"monday": []}}, ("weekly.monday", "extra_forbidden"), ""),
        ({"weekly": {"mon": [span("09:00", "18:00", "unknown")]}}, ("weekly.mon.0.rule_id", "not_found"), ""),
        ({"holidays": "weekend"}, ("holidays", "enum"), ""),
        ({"default_rule_id": "unknown"}, ("default_rule_id", "not_found"), ""),
        (
            {"exceptions": [{"first_day": "2026-12-29", "last_day": "2026-12-28", "spans": []}]},
            ("exceptions.0", "order"),
            "",
        ),
        (
            {"exceptions": [{"first_day": "2026-02-30", "last_day": "2026-03-01", "spans": []}]},
            ("exceptions.0.first_day", "date_from_datetime_parsing"),
            "",
        ),
        (
            {"exceptions": [{"first_day": 0, "last_day": "2026-03-01", "spans": []}]},
            ("exceptions.0.first_day", "date"),
            "",
        ),
        (
            {
                "exceptions": [
                    {"name": "年末", "first_day": "2026-12-29", "last_day": "2026-12-31", "spans": []},
                    {"name": "正月", "first_day": "2026-12-31", "last_day": "2027-01-03", "spans": []},
                ]
            },
            ("exceptions", "overlap"),
            "年末(2026-12-29から2026-12-31) と 正月",
        ),
    ],
)
async def test_unusable_plans(
    admin: Client, ours: Furnished, change: dict[str, Any], wrong: tuple[str, str], said: str
) -> None:
    refused = await admin.post(SCHEDULES, new_schedule(ours) | change)
    assert (refused.status, codes(refused)) == (422, [wrong])
    assert said in refused.body["detail"]
    schedule = (await admin.post(SCHEDULES, new_schedule(ours))).body
    patched = await admin("PATCH", f"{SCHEDULES}/{schedule['id']}", json=change)
    assert (patched.status, codes(patched)) == (422, [wrong])
    assert (await admin.get(f"{SCHEDULES}/{schedule['id']}")).body == schedule


# ---- other customers ---------------------------------------------------------------------------------


async def test_nothing_of_another_customer_is_there(
    admin: Client, other_admin: Client, ours: Furnished, theirs: Furnished
) -> None:
    whitelist = (await admin.post(WHITELISTS, new_whitelist(ours, YAMADA))).body
    schedule = (await admin.post(SCHEDULES, new_schedule(ours))).body
    list_path, hours_path = f"{WHITELISTS}/{whitelist['id']}", f"{SCHEDULES}/{schedule['id']}"
    entry_id = whitelist["entries"][0]["id"]
    for method, path, body in (
        ("GET", list_path, None),
        ("PATCH", list_path, {"name": "x"}),
        ("DELETE", list_path, None),
        ("POST", f"{list_path}/entries:add", {"lines": "非通知"}),
        ("POST", f"{list_path}/entries:delete", {"ids": [entry_id]}),
        ("GET", hours_path, None),
        ("PATCH", hours_path, {"enabled": False}),
        ("DELETE", hours_path, None),
        ("GET", f"{hours_path}/applies", None),
        ("PUT", f"{hours_path}/override", {"rule_id": None}),
        ("DELETE", f"{hours_path}/override", None),
    ):
        refused = await other_admin(method, path, json=body) if body else await other_admin(method, path)
        assert (refused.status, refused.body["code"]) == (404, "not_found"), (method, path)
    assert (await admin.get(list_path)).body == whitelist
    assert (await admin.get(hours_path)).body == schedule
    assert (await other_admin.get(WHITELISTS)).body["items"] == []
    assert (await other_admin.get(SCHEDULES)).body["items"] == []
    for path, new in ((WHITELISTS, new_whitelist(ours)), (SCHEDULES, new_schedule(ours))):
        assert codes(await other_admin.post(path, new)) == [("number_id", "not_found")]
    taken = new_schedule(theirs, default_rule_id=ours.rule_id)
    assert codes(await other_admin.post(SCHEDULES, taken)) == [("default_rule_id", "not_found")]
    mine = (await other_admin.post(WHITELISTS, new_whitelist(theirs, {"kind": "payphone"}))).body
    deleted = await other_admin.post(f"{WHITELISTS}/{mine['id']}/entries:delete", {"ids": [entry_id]})
    assert deleted.body["results"] == [{"id": entry_id, "result": "not_found"}]
