"""Numbers, 留守レポ, rules, prompts and devices through the API."""

import asyncio
from typing import Any

import pytest

from store import revisions
from store.database import Database
from tests.furnishing import Furnished, wav
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration


def rusurepo(account: Furnished) -> str:
    return f"/api/v1/numbers/{account.number_id}/rusurepo"


async def test_rusurepo_on_and_off(admin: Client, ours: Furnished) -> None:
    on = {"enabled": True, "rule_id": ours.rule_id}
    assert (await admin.get(rusurepo(ours))).body == {"enabled": False, "rule_id": None}
    assert (await admin.put(rusurepo(ours), on)).body == on
    assert (await admin.get(rusurepo(ours))).body == on
    number = (await admin.get("/api/v1/numbers")).body["items"][0]
    assert (number["id"], number["e164"], number["rusurepo"]) == (ours.number_id, "+81312345678", on)
    off = {"enabled": False, "rule_id": ours.rule_id}
    assert (await admin.put(rusurepo(ours), off)).body == off


async def test_rusurepo_on_needs_a_rule_of_the_number(
    admin: Client, ours: Furnished, theirs: Furnished
) -> None:
    without = await admin.put(rusurepo(ours), {"enabled": True, "rule_id": None})
    assert (without.status, without.fields) == (422, ["rule_id"])
    assert without.body["errors"][0]["code"] == "rule_required"
    assert "ルールを選んでください" in without.body["detail"]
    foreign = await admin.put(rusurepo(ours), {"enabled": True, "rule_id": theirs.rule_id})
    assert (foreign.status, foreign.fields, foreign.body["errors"][0]["code"]) == (
        422,
        ["rule_id"],
        "not_found",
    )
    assert (await admin.get(rusurepo(ours))).body == {"enabled": False, "rule_id": None}


async def test_two_administrators_at_once_end_with_one_whole_setting(
    admin: Client, database: Database, ours: Furnished
) -> None:
    settings = [{"enabled": True, "rule_id": ours.rule_id}, {"enabled": False, "rule_id": None}]
    async with database.session() as session:
        before = await revisions.current(session)
    answers = await asyncio.gather(*(admin.put(rusurepo(ours), settings[turn % 2]) for turn in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert (await admin.get(rusurepo(ours))).body in settings
    async with database.session() as session:
        assert await revisions.current(session) == before + 12


async def test_life_of_a_rule(admin: Client, ours: Furnished) -> None:
    start, end = ours.prompt_ids
    new = {"number_id": ours.number_id, "name": " 夜間 ", "start_prompt_id": start, "end_prompt_id": end}
    made = await admin.post("/api/v1/rules", new)
    assert (made.status, made.body["name"]) == (201, "夜間")
    path = f"/api/v1/rules/{made.body['id']}"
    assert (await admin.get(path)).body == made.body
    assert (await admin.post("/api/v1/rules", new)).body["code"] == "name_taken"
    changed = await admin("PATCH", path, json={"end_prompt_id": start})
    assert changed.body == {**made.body, "end_prompt_id": start}
    listed = await admin.get(f"/api/v1/rules?number_id={ours.number_id}")
    assert [rule["name"] for rule in listed.body["items"]] == ["昼休み", "夜間"]
    await admin.put(rusurepo(ours), {"enabled": True, "rule_id": made.body["id"]})
    refused = await admin("DELETE", path)
    assert (refused.status, refused.body["code"]) == (409, "in_use")
    assert refused.body["used_by"] == [{"kind": "number", "id": ours.number_id, "name": "+81312345678"}]
    await admin.put(rusurepo(ours), {"enabled": False, "rule_id": None})
    assert (await admin("DELETE", path)).status == 204
    assert (await admin("DELETE", path)).status == 404


async def test_rule_of_unusable_parts(admin: Client, ours: Furnished, theirs: Furnished) -> None:
    right = {
        "number_id": ours.number_id,
        "name": "夜間",
        "start_prompt_id": ours.prompt_ids[0],
        "end_prompt_id": ours.prompt_ids[1],
    }
    for field, value in (
        ("number_id", theirs.number_id),
        ("start_prompt_id", theirs.prompt_ids[0]),
        ("end_prompt_id", "unknown"),
        ("name", "  "),
        ("name", "改\n行"),
        ("name", "x" * 101),
        ("name", None),
        ("number_id", "\x00"),
    ):
        refused = await admin.post("/api/v1/rules", {**right, field: value})
        assert (refused.status, refused.fields) == (422, [field])
        patched = await admin("PATCH", f"/api/v1/rules/{ours.rule_id}", json={field: value})
        assert (patched.status, patched.fields) == (422, [field])


async def test_prompts_and_their_sound(admin: Client, ours: Furnished) -> None:
    listed = (await admin.get(f"/api/v1/prompts?number_id={ours.number_id}")).body["items"]
    assert [(prompt["name"], prompt["duration_s"]) for prompt in listed] == [("開始", 1.5), ("終了", 1.0)]
    assert (await admin.get(f"/api/v1/prompts/{ours.prompt_ids[0]}")).body == listed[0]
    sound = await admin.get(f"/api/v1/prompts/{ours.prompt_ids[0]}/audio?download=1")
    assert (sound.status, sound.raw, sound.headers["Content-Type"]) == (200, wav(1.5), "audio/wav")
    assert "%E9%96%8B%E5%A7%8B.wav" in sound.headers["Content-Disposition"]


async def test_device_password_is_shown_once(admin: Client, ours: Furnished) -> None:
    made = await admin.post("/api/v1/devices", {"username": "taro01", "name": "受付"})
    assert (made.status, made.body["username"], len(made.body["password"])) == (201, "taro01", 24)
    listed = await admin.get("/api/v1/devices")
    assert [device["username"] for device in listed.body["items"]][1:] == ["taro01"]
    assert made.body["password"] not in str(listed.body)
    rotated = await admin("POST", f"/api/v1/devices/{made.body['id']}/password")
    assert rotated.body["password"] != made.body["password"]
    again = await admin.post("/api/v1/devices", {"username": "taro01"})
    assert (again.status, again.body["code"]) == (409, "username_taken")
    made_up = (await admin.post("/api/v1/devices", {})).body["username"]
    assert made_up.isalnum()


@pytest.mark.parametrize("username", ["ab", "a" * 33, "Taro", "taro_1", "太郎", "taro\n", "", 1001])
async def test_unfit_usernames_are_refused(admin: Client, username: Any) -> None:
    refused = await admin.post("/api/v1/devices", {"username": username})
    assert (refused.status, refused.fields) == (422, ["username"])


async def test_settings_come_in_pages(admin: Client, ours: Furnished) -> None:
    for number in range(4):
        await admin.post("/api/v1/devices", {"username": f"page{number}"})
    first = (await admin.get("/api/v1/devices?limit=3")).body
    second = (await admin.get(f"/api/v1/devices?limit=3&cursor={first['next']}")).body
    names = [device["username"] for device in first["items"] + second["items"]]
    assert (names[1:], second["next"]) == (["page0", "page1", "page2", "page3"], None)
