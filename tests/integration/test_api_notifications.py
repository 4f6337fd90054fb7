"""通知設定 and the history of notifications through the API."""

from typing import Any

import pytest
from sqlalchemy import select

from store.database import Database
from store.deliveries import StepRecord, set_step
from store.models import Delivery, DeliveryPurpose, DeliveryState, Job, NotificationService, now
from store.notifications import break_service
from tests.furnishing import Furnished
from tests.integration.conftest import Answer, Client

pytestmark = pytest.mark.integration

RULES = "/api/v1/notification-rules"
SLACK = {"token": "xoxb-123456789012-abcdefghijkl", "channel_id": "C0123ABCD"}


async def make_rule(admin: Client, name: str = "営業部", **more: Any) -> Any:
    made = await admin.post(RULES, {"name": name, **more})
    assert made.status == 201
    return made.body


async def add_slack(admin: Client, rule_id: str, **fields: Any) -> Any:
    body = {"kind": "slack", "label": "電話", "fields": {**SLACK, **fields}}
    made = await admin.post(f"{RULES}/{rule_id}/services", body)
    assert made.status == 201
    return made.body


async def service_row(database: Database, service_id: str) -> NotificationService:
    async with database.session() as session:
        return await session.get_one(NotificationService, service_id)


async def flag(database: Database, service_id: str) -> bool:
    async with database.session() as session:
        row = await session.get_one(NotificationService, service_id)
        return await break_service(session, row, "bad_credential", "トークンが使えません。", None)


async def test_life_of_a_rule(admin: Client) -> None:
    made = await make_rule(admin, " 営業部 ", mail_addresses=["info@example.jp"])
    assert (made["name"], made["mail_addresses"], made["services"], made["broken"]) == (
        "営業部",
        ["info@example.jp"],
        [],
        False,
    )
    path = f"{RULES}/{made['id']}"
    assert (await admin.get(path)).body == made
    assert (await admin.post(RULES, {"name": "営業部"})).body["code"] == "name_taken"
    other = await make_rule(admin, "総務部")
    assert (await admin("PATCH", f"{RULES}/{other['id']}", json={"name": "営業部"})).status == 409
    changed = await admin("PATCH", path, json={"mail_addresses": []})
    assert changed.body == {**made, "mail_addresses": []}
    assert [rule["name"] for rule in (await admin.get(RULES)).body["items"]] == ["営業部", "総務部"]
    await add_slack(admin, made["id"])
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(path)).status == 404


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (["no address"], "mail_address"),
        (["a@example.jp\r\nBcc: b@example.jp"], "mail_address"),
        (["a@example.jp", "A@example.jp"], "repeated_address"),
        ([f"a{n}@example.jp" for n in range(21)], "too_long"),
    ],
)
async def test_unfit_addresses_are_refused(admin: Client, addresses: list[str], code: str) -> None:
    refused = await admin.post(RULES, {"name": "営業部", "mail_addresses": addresses})
    assert refused.status == 422
    assert refused.body["errors"][0]["code"] == code


async def test_secrets_are_never_shown(admin: Client, database: Database) -> None:
    rule = await make_rule(admin)
    made = await add_slack(admin, rule["id"])
    assert made["fields"]["channel_id"] == "C0123ABCD"
    path = f"{RULES}/{rule['id']}/services/{made['id']}"
    for answer in (await admin.get(path), await admin.get(RULES), await admin.get(f"{RULES}/{rule['id']}")):
        assert SLACK["token"] not in answer.raw.decode()
    assert SLACK["token"] not in (await service_row(database, made["id"])).sealed_config


async def test_an_edit_keeps_the_secret_that_is_not_given(admin: Client, database: Database) -> None:
    rule = await make_rule(admin)
    made = await add_slack(admin, rule["id"])
    path = f"{RULES}/{rule['id']}/services/{made['id']}"
    assert await flag(database, made["id"])
    shown = (await admin.get(path)).body
    assert shown["broken"]["reason"] == "トークンが使えません。"
    assert (await admin.get(f"{RULES}/{rule['id']}")).body["broken"] is True
    # A new label mends nothing.
    assert (await admin("PATCH", path, json={"label": "受付"})).body["broken"] is not None
    edited = await admin("PATCH", path, json={"fields": {**shown["fields"], "channel_id": "C9999ZZZZ"}})
    assert (edited.body["label"], edited.body["fields"]["channel_id"]) == ("受付", "C9999ZZZZ")
    assert edited.body["fields"]["token"] == made["fields"]["token"]
    assert edited.body["broken"] is None
    unfit = await admin("PATCH", path, json={"fields": {"channel_id": "C9999ZZZZ", "token": "xoxp-1"}})
    assert (unfit.status, unfit.fields) == (422, ["fields.token"])
    assert unfit.body["errors"][0]["code"] == "slack_user_token"


async def test_what_is_sealed_with_another_key_is_shown_as_broken(admin: Client, database: Database) -> None:
    rule = await make_rule(admin)
    made = await add_slack(admin, rule["id"])
    async with database.session() as session:
        (await session.get_one(NotificationService, made["id"])).sealed_config = "of another key"
    path = f"{RULES}/{rule['id']}/services/{made['id']}"
    shown = (await admin.get(path)).body
    assert (shown["fields"], shown["broken"]["code"]) == ({}, "bad_settings")
    assert (await admin("PATCH", path, json={"fields": SLACK})).body["broken"] is None


async def test_a_made_up_secret_is_shown_once(admin: Client) -> None:
    rule = await make_rule(admin)
    path = f"{RULES}/{rule['id']}/services"
    new = {"kind": "webhook", "fields": {"url": "https://example.jp/hook"}}
    made = await admin.post(path, new)
    assert len(made.body["secret"]) >= 32
    assert made.body["secret"] not in (await admin.get(f"{path}/{made.body['id']}")).raw.decode()
    given = await admin.post(path, {**new, "fields": {**new["fields"], "secret": "s" * 20}})  # type: ignore[dict-item]
    assert given.body["secret"] is None


async def test_the_kinds_name_their_fields(admin: Client) -> None:
    kinds = {
        kind["kind"]: kind for kind in (await admin.get("/api/v1/notification-service-kinds")).body["items"]
    }
    assert len(kinds) == 7
    assert [(field["name"], field["secret"]) for field in kinds["slack"]["fields"]] == [
        ("token", True),
        ("channel_id", False),
    ]


async def test_what_a_rule_needs_cannot_be_deleted(
    admin: Client, other_admin: Client, ours: Furnished, theirs: Furnished
) -> None:
    told, foreign = await make_rule(admin), await make_rule(other_admin)
    path = f"/api/v1/rules/{ours.rule_id}"
    assert (await admin.get(path)).body["notification_rule_id"] is None
    refused = await admin("PATCH", path, json={"notification_rule_id": foreign["id"]})
    assert (refused.status, refused.fields) == (422, ["notification_rule_id"])
    chosen = await admin("PATCH", path, json={"notification_rule_id": told["id"]})
    assert chosen.body["notification_rule_id"] == told["id"]
    assert (await admin("PATCH", path, json={"name": "夜"})).body["notification_rule_id"] == told["id"]
    in_use = await admin("DELETE", f"{RULES}/{told['id']}")
    assert in_use.body["used_by"] == [{"kind": "rule", "id": ours.rule_id, "name": "夜"}]
    await admin("PATCH", path, json={"notification_rule_id": None})
    assert (await admin("DELETE", f"{RULES}/{told['id']}")).status == 204


async def test_other_accounts_see_nothing(admin: Client, other_admin: Client) -> None:
    rule = await make_rule(admin)
    service = await add_slack(admin, rule["id"])
    own = await make_rule(other_admin)
    path = f"{RULES}/{rule['id']}/services/{service['id']}"
    sent = (await admin("POST", f"{path}:test")).body
    assert (await other_admin.get(RULES)).body["items"] == [own]
    assert (await other_admin.get("/api/v1/deliveries")).body["items"] == []
    tries = [
        ("GET", f"{RULES}/{rule['id']}", None),
        ("PATCH", f"{RULES}/{rule['id']}", {"name": "x"}),
        ("DELETE", f"{RULES}/{rule['id']}", None),
        ("POST", f"{RULES}/{rule['id']}/services", {"kind": "slack", "fields": SLACK}),
        ("GET", path, None),
        ("PATCH", path, {"label": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}:test", None),
        ("GET", f"{RULES}/{own['id']}/services/{service['id']}", None),
        ("POST", f"{RULES}/{own['id']}/services/{service['id']}:test", None),
        ("GET", f"/api/v1/deliveries/{sent['id']}", None),
        ("POST", f"/api/v1/deliveries/{sent['id']}:resend", None),
    ]
    for method, where, body in tries:
        answer: Answer = await other_admin(method, where, **({"json": body} if body else {}))
        assert (method, where, answer.status) == (method, where, 404)


async def test_a_test_is_queued_at_once(admin: Client, database: Database) -> None:
    rule = await make_rule(admin)
    service = await add_slack(admin, rule["id"])
    sent = await admin("POST", f"{RULES}/{rule['id']}/services/{service['id']}:test")
    assert (sent.status, sent.body["purpose"], sent.body["state"]) == (201, "test", "waiting")
    assert (await admin.get(f"/api/v1/deliveries/{sent.body['id']}")).body == sent.body
    async with database.session() as session:
        job = (await session.scalars(select(Job).where(Job.subject_id == sent.body["id"]))).one()
    assert (job.kind, job.lane) == ("deliver", None)


async def test_deliveries_are_listed_and_sent_again(
    admin: Client, database: Database, ours: Furnished
) -> None:
    def one(state: DeliveryState, **more: Any) -> Delivery:
        return Delivery(
            account_id=ours.account_id,
            purpose=DeliveryPurpose.MESSAGE,
            rule_id="r",
            kind="slack",
            label="電話",
            state=state,
            steps={},
            **more,
        )

    failed = one(
        DeliveryState.FAILED,
        message_id=ours.message_id,
        number_id=ours.number_id,
        service_id="s",
        lane="slack:1",
        reason_code="bad_payload",
        reason="受け付けられませんでした。",
    )
    set_step(failed, "text", StepRecord("key-1", provider_id="1724.1", done_at=now().isoformat()))
    set_step(failed, "file", StepRecord("key-2", unanswered=3))
    async with database.session() as session:
        session.add_all([failed, one(DeliveryState.SENT), one(DeliveryState.WAITING)])
    for query in (
        f"message_id={ours.message_id}",
        f"number_id={ours.number_id}",
        "state=failed",
        "service_id=s",
    ):
        listed = (await admin.get(f"/api/v1/deliveries?{query}")).body["items"]
        assert [item["id"] for item in listed] == [failed.id], query
    assert listed[0]["reason"] == {"code": "bad_payload", "text": "受け付けられませんでした。"}
    assert [(step["name"], step["done"]) for step in listed[0]["steps"]] == [("text", True), ("file", False)]
    assert len((await admin.get("/api/v1/deliveries")).body["items"]) == 3
    assert (await admin.get("/api/v1/deliveries?from=2099-01-01T00:00:00Z")).body["items"] == []
    assert (await admin.get("/api/v1/deliveries?state=lost")).status == 400

    path = f"/api/v1/deliveries/{failed.id}"
    again = await admin("POST", f"{path}:resend")
    assert (again.body["state"], again.body["reason"]) == ("waiting", None)
    assert (await admin("POST", f"{path}:resend")).body["code"] == "not_failed"
    async with database.session() as session:
        row = await session.get_one(Delivery, failed.id)
        job = (await session.scalars(select(Job).where(Job.subject_id == failed.id))).one()
    assert (job.kind, job.lane) == ("deliver", "slack:1")
    assert row.steps["text"]["done_at"] is not None
    assert (row.steps["file"]["key"], row.steps["file"]["unanswered"]) == ("key-2", 0)
