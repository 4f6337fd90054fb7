"""Devices through the API: named, set up by a link, logged out, taken away; and failed logins."""

import base64
import io
import logging
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from PIL import Image

from store import intruders
from store.database import Database
from store.events import read_events
from store.intruders import Failures
from store.models import Call, Device, DeviceRelease, Job, LoginFailure, ReleaseState, now
from store.provisioning_links import LIVES, use_link
from store.registrations import Contact, keep_registrations
from store.releases import RELEASE_DEVICE, settle_release
from store.sealing import unseal
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Client, answered

pytestmark = pytest.mark.integration

XML = "{http://www.linphone.org/xsds/lpconfig.xsd}"


def device_path(ours: Furnished) -> str:
    return f"/api/v1/devices/{ours.device_id}"


async def test_rename(admin: Client, ours: Furnished) -> None:
    renamed = await admin("PATCH", device_path(ours), json={"name": " 受付 "})
    assert renamed.body["name"] == "受付"
    assert (await admin.get(device_path(ours))).body == renamed.body
    refused = await admin("PATCH", device_path(ours), json={"name": "x" * 101})
    assert (refused.status, refused.fields) == (422, ["name"])


async def test_delete_keeps_its_calls(admin: Client, ours: Furnished, database: Database) -> None:
    async with database.session() as session:
        call = await session.get_one(Call, ours.call_id)
        call.device_id = ours.device_id
    await admin.post(f"{device_path(ours)}/provisioning", None)
    await registered(database, ours, "sip:a@192.0.2.1:1")
    assert (await admin("DELETE", device_path(ours))).status == 204
    assert (await admin.get(device_path(ours))).status == 404
    assert (await admin.get("/api/v1/devices")).body["items"] == []
    assert (await admin.get(f"/api/v1/calls/{ours.call_id}")).body["device_id"] is None


# ---- setting a telephone up ------------------------------------------------------------------------


async def test_a_link_sets_a_telephone_up_once(admin: Client, nobody: Client, ours: Furnished) -> None:
    await admin("PATCH", device_path(ours), json={"name": '受付 "1" <x>&'})
    made = await admin.post(f"{device_path(ours)}/provisioning", None)
    assert made.status == 201
    origin, _, secret = made.body["url"].rpartition("/provisioning/")
    assert origin.startswith("http://")
    assert len(secret) >= 40
    for _ in range(2):
        # Whoever only asks whether it is there does not use it up.
        assert (await nobody("HEAD", f"/provisioning/{secret}")).status == 404
    fetched = await nobody.get(f"/provisioning/{secret}")
    assert fetched.status == 200
    assert fetched.headers["Cache-Control"] == "no-store"
    root = ElementTree.fromstring(fetched.raw)
    entries = {
        (section.get("name"), entry.get("name")): entry.text
        for section in root.iter(f"{XML}section")
        for entry in section.iter(f"{XML}entry")
    }
    device = (await admin.get(device_path(ours))).body
    assert entries["proxy_0", "reg_proxy"] == "<sip:sip.example.jp:5060;transport=udp>"
    identity = f'"受付 1 <x>&" <sip:{device["username"]}@sip.example.jp>'
    assert entries["proxy_0", "reg_identity"] == identity
    assert entries["auth_info_0", "username"] == device["username"]
    rotated = await admin("POST", f"{device_path(ours)}/password")
    assert entries["auth_info_0", "passwd"] != rotated.body["password"]
    again = await nobody.get(f"/provisioning/{secret}")
    assert (again.status, again.body["code"]) == (404, "not_found")
    assert "新しいリンク" in again.body["detail"]


async def test_the_code_is_the_link(admin: Client, ours: Furnished) -> None:
    made = (await admin.post(f"{device_path(ours)}/provisioning", None)).body
    head, _, data = made["qr"].partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.width == image.height > 150
    assert len({image.convert("1").getpixel((x, image.height // 2)) for x in range(image.width)}) == 2


async def test_a_newer_link_replaces_the_older(admin: Client, nobody: Client, ours: Furnished) -> None:
    paths = []
    for _ in range(2):
        made = (await admin.post(f"{device_path(ours)}/provisioning", None)).body
        paths.append(f"/provisioning/{made['url'].rpartition('/')[2]}")
    assert [(await nobody.get(path)).status for path in paths] == [404, 200]


async def test_a_link_dies_by_itself(
    admin: Client, ours: Furnished, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await admin.post(f"{device_path(ours)}/provisioning", None)).body
    secret = made["url"].rpartition("/")[2]
    async with database.session() as session:
        with pytest.raises(Exception, match="link"):
            await use_link(session, SECRET_KEY, secret, now() + LIVES)
    async with database.session() as session:
        assert (await use_link(session, SECRET_KEY, secret, now() + LIVES / 2)).password


@pytest.mark.parametrize("secret", ["x", "x" * 43, "x" * 64, "%00" * 10, "あ", "..%2f..%2fetc"])
async def test_nobodys_link(nobody: Client, ours: Furnished, secret: str) -> None:
    assert (await nobody.get(f"/provisioning/{secret}")).status == 404


async def test_a_link_stands_in_no_log(
    admin: Client, nobody: Client, ours: Furnished, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = (await admin.post(f"{device_path(ours)}/provisioning", None)).body["url"].rpartition("/")[2]
    await nobody.get(f"/provisioning/{secret}")
    assert ("GET", "/provisioning/…", 200) in answered(caplog)
    ours_only = [record for record in caplog.records if record.name.startswith(("portal_api", "store"))]
    assert ours_only
    assert all(secret not in record.getMessage() for record in ours_only)


# ---- who is logged in ------------------------------------------------------------------------------


async def registered(database: Database, ours: Furnished, *uris: str, seconds: float = 0) -> None:
    """Asterisk has the device at these contacts."""
    async with database.session() as session:
        device = await session.get_one(Device, ours.device_id)
        at = now() + timedelta(seconds=seconds)
        contacts = [
            Contact(
                device.username, uri, "MicroSIP/3.21.3", "192.0.2.1:1", now() + timedelta(hours=1), 9.5, True
            )
            for uri in uris
        ]
        contacts.append(Contact("somebody", "sip:x@y", "", "", at))
        await keep_registrations(session, "n", contacts, at)


async def test_registrations(admin: Client, other_admin: Client, ours: Furnished, database: Database) -> None:
    path = f"{device_path(ours)}/registrations"
    assert (await admin.get(path)).body["items"] == []
    await registered(database, ours, "sip:a@192.0.2.1:1")
    (first,) = (await admin.get(path)).body["items"]
    assert (first["os"], first["os_name"], first["app"]) == ("windows", "Windows", "MicroSIP")
    assert (first["latency_ms"], first["reachable"]) == (9.5, True)
    await registered(database, ours, "sip:a@192.0.2.1:1", "sip:b@192.0.2.2:1", seconds=10)
    one, two = (await admin.get(path)).body["items"]
    assert (one["id"], one["since"]) == (first["id"], first["since"])
    assert one["last_seen_at"] > first["last_seen_at"]
    assert two["since"] == one["last_seen_at"]
    await registered(database, ours, "sip:b@192.0.2.2:1", seconds=20)
    assert [row["id"] for row in (await admin.get(path)).body["items"]] == [two["id"]]
    assert (await other_admin.get(path)).status == 404
    await admin("DELETE", device_path(ours))
    async with database.session() as session:
        told = await read_events(session, ours.account_id, 0, ["registration"], 9)
    assert all(event.data == {"device_id": ours.device_id} for event in told)
    assert [(event.kind, event.subject_id) for event in told] == [
        ("registration.added", one["id"]),
        ("registration.added", two["id"]),
        ("registration.removed", one["id"]),
        ("registration.removed", two["id"]),
    ]


async def test_an_expired_registration_is_none(admin: Client, ours: Furnished, database: Database) -> None:
    """Also while nobody reads what Asterisk has."""
    async with database.session() as session:
        device = await session.get_one(Device, ours.device_id)
        past = Contact(device.username, "sip:a@b", "", "", now() - timedelta(seconds=1))
        await keep_registrations(session, "n", [past], now())
    assert (await admin.get(f"{device_path(ours)}/registrations")).body["items"] == []


# ---- 解除 ------------------------------------------------------------------------------------------


async def test_release_takes_the_password_at_once(admin: Client, ours: Furnished, database: Database) -> None:
    async with database.session() as session:
        before = unseal((await session.get_one(Device, ours.device_id)).sealed_password, SECRET_KEY)
    asked = await admin.post(f"{device_path(ours)}/registrations:release", {"end_calls": True})
    assert (asked.status, asked.body["state"], asked.body["finished_at"]) == (202, "pending", None)
    assert "password" not in str(asked.body)
    async with database.session() as session:
        after = unseal((await session.get_one(Device, ours.device_id)).sealed_password, SECRET_KEY)
        release = await session.get_one(DeviceRelease, asked.body["id"])
        jobs = (await session.scalars(Job.__table__.select().where(Job.kind == RELEASE_DEVICE))).all()
    assert after != before
    assert unseal(release.sealed_old_password or "", SECRET_KEY) == before
    assert len(jobs) == 1
    path = f"{device_path(ours)}/releases"
    assert (await admin.get(f"{path}/{asked.body['id']}")).body == asked.body
    async with database.session() as session:
        settle_release(await session.get_one(DeviceRelease, asked.body["id"]), None, 1, 0)
    (listed,) = (await admin.get(path)).body["items"]
    assert (listed["state"], listed["registrations_removed"]) == (ReleaseState.VERIFIED.value, 1)
    async with database.session() as session:
        assert (await session.get_one(DeviceRelease, asked.body["id"])).sealed_old_password is None


async def test_a_body_that_is_wrong(admin: Client, ours: Furnished) -> None:
    path = f"{device_path(ours)}/registrations:release"
    assert (await admin.post(path, {"end_calls": "yes"})).fields == ["end_calls"]
    assert (await admin.post(path, {"all": True})).fields == ["all"]


# ---- failed logins ---------------------------------------------------------------------------------


async def test_failed_logins(
    admin: Client, other_admin: Client, operator: Client, ours: Furnished, database: Database
) -> None:
    device = (await admin.get(device_path(ours))).body
    at = now()
    for seconds in (0, 30):
        later = at + timedelta(seconds=seconds)
        async with database.session() as session:
            await intruders.note_failures(
                session,
                "n",
                [
                    Failures("192.0.2.9", device["username"], LoginFailure.WRONG_PASSWORD, 3, later, later),
                    Failures("192.0.2.9", "admin", LoginFailure.UNKNOWN_DEVICE, 2, later, later),
                ],
            )
    (own,) = (await admin.get("/api/v1/failed-logins")).body["items"]
    assert (own["device_id"], own["count"], own["address"]) == (ours.device_id, 6, "192.0.2.9")
    assert own["first_at"] < own["last_at"]
    assert (await other_admin.get("/api/v1/failed-logins")).body["items"] == []
    everything = (await operator.get("/api/v1/failed-logins")).body["items"]
    assert sorted(row["username"] for row in everything) == sorted(["admin", device["username"]])
    of_account = (await operator.get(f"/api/v1/failed-logins?account_id={ours.account_id}")).body["items"]
    assert of_account == [own]
    assert (await admin.get("/api/v1/failed-logins?account_id=other")).status == 404
    async with database.session() as session:
        await intruders.forget(session, at + timedelta(days=91))
    assert (await operator.get("/api/v1/failed-logins")).body["items"] == []


async def test_blocked_addresses(
    admin: Client, operator: Client, ours: Furnished, database: Database
) -> None:
    async with database.session() as session:
        await intruders.block(session, "2001:db8::1", 20, now(), now() + timedelta(minutes=10))
        await intruders.block(session, "192.0.2.7", 20, now(), now() - timedelta(minutes=1))
    (listed,) = (await operator.get("/api/v1/blocked-addresses")).body["items"]
    assert (listed["address"], listed["failures"]) == ("2001:db8::1", 20)
    path = "/api/v1/blocked-addresses:release"
    assert (await operator.post(path, {"address": "192.0.2.8"})).status == 404
    assert (await operator.post(path, {"address": "x;DROP"})).fields == ["address"]
    assert (await operator.post(path, {"address": "2001:db8::1"})).body["items"] == []
    assert (await admin.get("/api/v1/blocked-addresses")).status == 403
