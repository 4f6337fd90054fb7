"""Who changed what: everything that changes is logged, in the same transaction, without secrets."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from store import audit
from store.aging import BATCH
from store.audit_retention import purge_audit_log
from store.database import Database
from store.models import (
    Account,
    ActorKind,
    AuditAction,
    AuditEntry,
    Base,
    Device,
    PhoneNumber,
    Revision,
    RusurepoSetting,
    Token,
    VoiceMessage,
    now,
)
from store.tables import RECORDS, SETTINGS, WORKINGS
from tests.furnishing import Furnished
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

WHO = audit.Actor(ActorKind.TOKEN, "t" * 32, "テスト", None)


async def entries(client: Client, query: str = "") -> list[dict[str, Any]]:
    return list((await client.get(f"/api/v1/audit-log{query}")).body["items"])


async def test_before_and_after(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/rules/{ours.rule_id}"
    answer = await admin("PATCH", path, json={"name": "夜間", "ring_first_s": 20})
    (entry,) = await entries(admin)
    assert entry["action"] == "changed"
    assert entry["object"] == {"kind": "rusurepo_rules", "id": ours.rule_id, "name": "夜間"}
    assert entry["before"] == {"name": "昼休み", "ring_first_s": 0}
    assert entry["after"] == {"name": "夜間", "ring_first_s": 20}
    assert entry["actor"] == {"kind": "token", "id": ours.token_id, "name": ""}
    assert (entry["address"], entry["account_id"]) == ("127.0.0.1", ours.account_id)
    assert entry["request_id"] == answer.headers["X-Request-Id"]
    # Nothing changed, nothing is logged.
    assert (await admin("PATCH", path, json={"name": "夜間"})).status == 200
    assert len(await entries(admin)) == 1


async def test_what_statements_change(admin: Client, ours: Furnished) -> None:
    await admin("PATCH", "/api/v1/account", json={"message_retention_days": 90})
    (entry,) = await entries(admin)
    assert (entry["object"]["kind"], entry["object"]["id"]) == ("accounts", ours.account_id)
    assert (entry["before"], entry["after"]) == (
        {"message_retention_days": 30},
        {"message_retention_days": 90},
    )


async def test_creating_and_deleting(admin: Client, ours: Furnished) -> None:
    made = await admin.post("/api/v1/whitelists", {"number_id": ours.number_id, "name": "取引先"})
    assert made.status == 201
    path = f"/api/v1/whitelists/{made.body['id']}"
    assert (await admin.post(f"{path}/entries:add", {"lines": "0312345678\n非通知"})).status == 200
    assert (await admin("DELETE", path)).status == 204
    told = [(one["action"], one["object"]["kind"]) for one in reversed(await entries(admin))]
    assert told.count(("created", "whitelists")) == told.count(("deleted", "whitelists")) == 1
    assert told.count(("deleted", "whitelist_entries")) == told.count(("created", "whitelist_entries")) == 2
    (gone,) = await entries(admin, f"?object_id={made.body['id']}&action=deleted")
    assert gone["before"]["name"] == "取引先"
    assert gone["after"] is None


async def test_deleted_messages(admin: Client, ours: Furnished) -> None:
    assert (await admin.post("/api/v1/messages:delete", {"ids": [ours.message_id]})).status == 200
    (gone,) = await entries(admin, "?object_kind=voice_messages")
    assert (gone["action"], gone["object"]["id"]) == ("deleted", ours.message_id)


async def test_secrets_are_masked(admin: Client, database: Database) -> None:
    device = (await admin.post("/api/v1/devices", {"name": "受付"})).body
    token = (await admin.post("/api/v1/tokens", {})).body
    user = (await admin.post("/api/v1/users", {"login": "taro", "role": "member"})).body
    await admin.post(f"/api/v1/devices/{device['id']}/password", {})
    rule = (await admin.post("/api/v1/notification-rules", {"name": "営業"})).body["id"]
    secret = {"kind": "webhook", "fields": {"url": "https://example.jp/very-secret"}}
    await admin.post(f"/api/v1/notification-rules/{rule}/services", secret)
    log = str(await entries(admin))
    for hidden in (device["password"], token["token"], user["password"], "very-secret", "$argon2"):
        assert hidden not in log
    (changed,) = await entries(admin, f"?object_id={device['id']}&action=changed")
    assert changed["before"] == changed["after"] == {"sealed_password": "********"}
    async with database.session() as session:
        row = await session.get_one(Token, token["id"])
    assert row.digest not in log


def test_every_column_with_a_secret_is_masked() -> None:
    """By its name; a new one must be called so that it is seen."""
    secret = {
        "sealed_password",
        "sealed_config",
        "sealed_totp_secret",
        "password_hash",
        "digest",
        "recovery_digests",
    }
    columns = {column.name for table in Base.metadata.tables.values() for column in table.columns}
    assert secret <= columns
    assert secret <= {name for name in columns if audit.SECRET.search(name)}


def test_every_table_is_something() -> None:
    """A new table goes into one set of `store.tables`: is it a setting, a record, or none of anybody's?"""
    tables = set(Base.metadata.tables)
    assert tables == SETTINGS | RECORDS | WORKINGS
    assert not SETTINGS & RECORDS and not SETTINGS & WORKINGS and not RECORDS & WORKINGS


async def test_what_is_refused_is_not_logged(admin: Client, ours: Furnished) -> None:
    assert (await admin("DELETE", f"/api/v1/prompts/{ours.prompt_ids[0]}")).status == 409
    assert (await admin("PATCH", f"/api/v1/rules/{ours.rule_id}", json={"whitelist_id": "x"})).status == 422
    assert await entries(admin) == []


async def test_each_account_reads_its_own(
    admin: Client, other_admin: Client, operator: Client, ours: Furnished, theirs: Furnished
) -> None:
    await admin("PATCH", f"/api/v1/rules/{ours.rule_id}", json={"name": "甲"})
    await other_admin("PATCH", f"/api/v1/rules/{theirs.rule_id}", json={"name": "乙"})
    changed = f"/api/v1/rules/{ours.rule_id}?account_id={ours.account_id}"
    await operator("PATCH", changed, json={"name": "丙"})
    assert [one["object"]["name"] for one in await entries(admin)] == ["丙", "甲"]
    assert [one["object"]["name"] for one in await entries(other_admin)] == ["乙"]
    assert [one["object"]["name"] for one in await entries(operator)] == ["丙", "乙", "甲"]
    of_theirs = f"?account_id={theirs.account_id}"
    assert [one["object"]["name"] for one in await entries(operator, of_theirs)] == ["乙"]
    assert (await admin.get(f"/api/v1/audit-log{of_theirs}")).status == 404


async def test_filters_and_pages(admin: Client, ours: Furnished) -> None:
    for name in ("一", "二", "三"):
        await admin("PATCH", f"/api/v1/rules/{ours.rule_id}", json={"name": name})
    everything = await entries(admin)
    assert [one["after"]["name"] for one in everything] == ["三", "二", "一"]
    first = (await admin.get("/api/v1/audit-log?limit=2")).body
    second = await entries(admin, f"?limit=2&cursor={first['next']}")
    assert [*first["items"], *second] == everything
    middle = datetime.fromisoformat(everything[1]["at"]).isoformat().replace("+", "%2B")
    assert await entries(admin, f"?from={middle}") == everything[:2]
    assert await entries(admin, f"?to={middle}") == everything[2:]
    assert await entries(admin, f"?actor_id={ours.token_id}") == everything
    assert await entries(admin, "?actor_id=somebody") == []
    assert (await admin.get("/api/v1/audit-log?action=guessed")).status == 400


# ---- the mechanism -----------------------------------------------------------------------------------


async def logged(database: Database) -> list[tuple[AuditAction, str, str]]:
    async with database.session() as session:
        rows = await session.scalars(select(AuditEntry).order_by(AuditEntry.at, AuditEntry.object_id))
        return [(row.action, row.object_kind, row.object_id) for row in rows]


async def test_nobody_bound_nothing_logged(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        (await session.get_one(Account, ours.account_id)).name = "改名"
    assert await logged(database) == []


async def test_workings_are_not_logged(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        audit.bind(session, WHO)
        session.add(Revision(scope="test", value=1))
        await session.execute(update(Revision).values(value=7))
    assert await logged(database) == []


async def test_rolled_back_with_its_change(database: Database, ours: Furnished) -> None:
    with pytest.raises(RuntimeError):
        async with database.session() as session:
            audit.bind(session, WHO)
            (await session.get_one(Account, ours.account_id)).name = "改名"
            await session.flush()
            raise RuntimeError
    assert await logged(database) == []


async def test_statements_log_each_row_that_they_changed(
    database: Database, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        audit.bind(session, WHO)
        await session.execute(
            update(VoiceMessage).where(VoiceMessage.account_id == ours.account_id).values(note="済")
        )
        await session.execute(update(VoiceMessage).where(VoiceMessage.note == "済").values(note="済"))
        numbers = [ours.number_id, theirs.number_id]
        await session.execute(delete(RusurepoSetting).where(RusurepoSetting.number_id.in_(numbers)))
    kind = "rusurepo_settings"
    assert (await logged(database))[0] == (AuditAction.CHANGED, "voice_messages", ours.message_id)
    assert set((await logged(database))[1:]) == {
        (AuditAction.DELETED, kind, number_id) for number_id in numbers
    }


async def test_updates_by_key(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        audit.bind(session, WHO)
        await session.execute(update(PhoneNumber), [{"id": ours.number_id, "display_name": "代表"}])
    assert await logged(database) == [(AuditAction.CHANGED, "phone_numbers", ours.number_id)]


async def test_many_rows_are_counted(database: Database, ours: Furnished) -> None:
    def device(number: int) -> dict[str, Any]:
        return {"account_id": ours.account_id, "username": f"u{number}", "sealed_password": "x"}

    many = audit.MOST_IN_FULL + 50
    async with database.session() as session:
        audit.bind(session, WHO)
        session.add_all(Device(**device(number)) for number in range(many))
        await session.flush()
        await session.execute(insert(Device), [device(number) for number in range(many, 2 * many)])
    async with database.session() as session:
        rows = list(await session.scalars(select(AuditEntry).where(AuditEntry.object_id == audit.NO_ROWS)))
        total = await session.scalar(select(func.count()).select_from(AuditEntry))
    assert sorted(row.after["count"] for row in rows if row.after) == [50, many]
    assert total == audit.MOST_IN_FULL + 2


async def test_long_texts_are_cut(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        audit.bind(session, WHO)
        (await session.get_one(VoiceMessage, ours.message_id)).note = "長" * 2000
    async with database.session() as session:
        entry = (await session.scalars(select(AuditEntry))).one()
    assert entry.after is not None
    assert len(entry.after["note"]) == audit.LONGEST_TEXT + 1
    assert entry.at <= now()


async def test_what_is_past_its_time_goes(database: Database, ours: Furnished) -> None:
    at = now()
    async with database.session() as session:
        old = [{"at": at - timedelta(days=days), **an_entry(ours)} for days in (10, 29, 31, 800)]
        # More than go together.
        old += [{"at": at - timedelta(days=99), **an_entry(ours)} for _ in range(BATCH)]
        await session.execute(insert(AuditEntry), old)
    assert await purge_audit_log(database, 0, at) == 0
    assert await purge_audit_log(database, 30, at) == BATCH + 2
    assert await purge_audit_log(database, 30, at) == 0
    async with database.session() as session:
        left = await session.scalars(select(AuditEntry.at).where(AuditEntry.actor_name == "テスト"))
        assert sorted((at - one).days for one in left) == [10, 29]


def an_entry(ours: Furnished) -> dict[str, Any]:
    return {
        "account_id": ours.account_id,
        "actor_kind": ActorKind.TOKEN,
        "actor_id": "t" * 32,
        "actor_name": "テスト",
        "action": AuditAction.CHANGED,
        "object_kind": "rules",
        "object_id": "x",
        "object_name": "",
    }
