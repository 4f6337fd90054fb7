"""FAX through the API: documents out, trays, settings, access."""

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from PIL import Image
from pypdf import PdfReader
from sqlalchemy import select, update

from faxpages.tiffs import Page, write_pages
from store.database import Database
from store.devices import create_device
from store.fax_queue import end_fax
from store.fax_received import ReceivedFax, keep_received
from store.fax_retention import purge_faxes
from store.fax_settings import set_fax_setting
from store.media import Media
from store.models import (
    CallerKind,
    Fax,
    FaxResultClass,
    FaxState,
    FaxSubmission,
    FaxTransport,
    IdempotencyKey,
    JournalEntry,
    new_id,
    now,
)
from store.phonebook import NewEntry, NewNumber, create_entry, set_contract
from tests import fax_documents as documents
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Answer, Client

pytestmark = pytest.mark.integration

CAME_AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def form(furnished: Furnished, content: bytes | None = None, **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    given = {"number_id": furnished.number_id, "destinations": "03-1111-2222", **fields}
    for name, value in given.items():
        if value:
            data.add_field(name, value)
    pdf = documents.pdf(2) if content is None else content
    data.add_field("file", pdf, filename="見積書.pdf", content_type="application/pdf")
    return data


async def submit(client: Client, furnished: Furnished, key: str | None = None, **fields: Any) -> Answer:
    headers = {"Idempotency-Key": key} if key else {}
    return await client("POST", "/api/v1/fax/submissions", data=form(furnished, **fields), headers=headers)


@pytest.fixture(autouse=True)
async def fax_option(database: Database, ours: Furnished) -> None:
    async with database.session() as session:
        await set_fax_setting(session, ours.account_id, ours.number_id, enabled=True)


async def receive(database: Database, media: Media, ours: Furnished, days: int = 0, pages: int = 2) -> str:
    """A fax in the tray; its id."""
    call_id = f"test-{new_id()}"
    names = f"faxes/2026/11/24/{call_id}"
    tiff = media.folder.parent / "drawn.tif"
    write_pages([Page(Image.new("1", (1728, 1000), 1))] * pages, tiff)
    media.take(tiff, f"{names}.tif")
    tiff.unlink()
    media.put(documents.pdf(pages), f"{names}.pdf")
    at = CAME_AT + timedelta(days=days)
    received = ReceivedFax(
        call_id=call_id,
        account_id=ours.account_id,
        number_id=ours.number_id,
        dialled=ours.e164,
        caller="+81355556666",
        caller_kind=CallerKind.NUMBER,
        state=FaxState.RECEIVED,
        result=FaxResultClass.OK,
        code="ok",
        text="受信しました。",
        pages=pages,
        started_at=at,
        answered_at=at,
        ended_at=at + timedelta(seconds=60),
        transport=FaxTransport.T38,
        remote="0355556666",
        rate=14400,
        ecm=True,
        resolution="8031x7700",
        bad_rows=0,
        pdf=f"{names}.pdf",
        pdf_sha256=call_id,
        tiff=f"{names}.tif",
        report=True,
    )
    async with database.session() as session:
        return (await keep_received(session, received)).id


async def test_a_pdf_goes_to_every_destination_once(admin: Client, ours: Furnished) -> None:
    numbers = "03-1111-2222\n\n ０６−１１１１−３３３３ \n+81 3 1111 2222\n"
    answer = await submit(admin, ours, destinations=numbers, cover_subject="ご案内")
    assert answer.status == 202
    body = answer.body
    assert (body["state"], body["file_name"], body["pages"]) == ("preparing", "見積書.pdf", None)
    assert [fax["other_party"] for fax in body["faxes"]] == ["+81311112222", "+81611113333"]
    assert {fax["state"] for fax in body["faxes"]} == {"preparing"}
    assert body["counts"] == {"preparing": 2}
    shown = await admin.get(f"/api/v1/fax/submissions/{body['id']}")
    assert shown.body == body
    listed = await admin.get("/api/v1/fax/submissions")
    assert [one["id"] for one in listed.body["items"]] == [body["id"]]
    tray = await admin.get("/api/v1/faxes?direction=out&number=03-1234-5678")
    assert len(tray.body["items"]) == 2


async def test_the_same_key_sends_once(admin: Client, ours: Furnished, database: Database) -> None:
    first = await submit(admin, ours, key="order-1")
    again = await submit(admin, ours, key="order-1")
    assert (again.status, again.body["id"]) == (202, first.body["id"])
    other = await submit(admin, ours, key="order-1", destinations="0311113333")
    assert (other.status, other.body["code"]) == (409, "idempotency_mismatch")
    await submit(admin, ours, key="order-2")
    async with database.session() as session:
        assert len(list(await session.scalars(select(FaxSubmission)))) == 2


async def test_a_lost_answer_sends_nothing_again(admin: Client, ours: Furnished, database: Database) -> None:
    """As if the process had died between keeping the submission and answering."""
    await submit(admin, ours, key="order-1")
    async with database.session() as session:
        await session.execute(update(IdempotencyKey).values(status=None, sealed_answer=None))
    again = await submit(admin, ours, key="order-1")
    assert (again.status, again.body["code"]) == (409, "idempotency_in_progress")
    async with database.session() as session:
        assert len(list(await session.scalars(select(FaxSubmission)))) == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"GIF89a", "not_a_pdf"),
        (documents.encrypted_pdf(), "pdf_encrypted"),
        (b"%PDF-1.4 nothing", "pdf_damaged"),
        (documents.many_pages_pdf(10_000), "too_many_pages"),
    ],
)
async def test_documents_that_cannot_be_sent(
    admin: Client, ours: Furnished, database: Database, media: Media, content: bytes, code: str
) -> None:
    refused = await submit(admin, ours, content=content)
    assert (refused.status, refused.body["code"]) == (422, code)
    assert not refused.body["detail"].isascii()
    async with database.session() as session:
        assert list(await session.scalars(select(Fax))) == []
    assert not list((media.folder / "faxes").rglob("*.pdf"))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"destinations": "0311112222\nabc\n12"}, "destinations.2"),
        ({"destinations": "\n \n"}, "destinations"),
        ({"destinations": "\n".join(f"031111{number:04}" for number in range(101))}, "destinations"),
        ({"destinations": "+1 212 555 0100"}, "destinations"),
        ({"destinations": "0570-000-111"}, "destinations"),
        ({"destinations": "0990-111-222"}, "destinations"),
        ({"number_id": "nobodys"}, "number_id"),
        ({"number_id": "", "number": "0399999999"}, "number"),
        ({"number_id": ""}, "number_id"),
        ({"send_at": "2020-01-01T00:00:00+09:00"}, "send_at"),
        ({"send_at": "tomorrow"}, "send_at"),
        ({"cover_message": "x" * 2001}, "cover_message"),
    ],
)
async def test_bad_fields_are_named(
    admin: Client, ours: Furnished, fields: dict[str, str], field: str
) -> None:
    refused = await submit(admin, ours, **fields)
    assert (refused.status, refused.body["code"]) == (422, "invalid_body")
    assert refused.fields[0] == field
    assert all(not error["detail"].isascii() for error in refused.body["errors"])


async def test_a_number_without_the_option_sends_nothing(other_admin: Client, theirs: Furnished) -> None:
    refused = await submit(other_admin, theirs)
    assert refused.fields == ["number_id"]
    assert refused.body["errors"][0]["code"] == "not_a_fax_number"


async def test_the_phonebook_names_destinations(admin: Client, ours: Furnished, database: Database) -> None:
    async with database.session() as session:
        await set_contract(session, ours.account_id, False)
    refused = await submit(admin, ours, destinations="", phonebook_entries="x")
    assert refused.body["code"] == "phonebook_not_contracted"
    async with database.session() as session:
        await set_contract(session, ours.account_id, True)
        both = (NewNumber("+81311115555", "会社"), NewNumber("+81311116666", "ＦＡＸ"))
        entry = await create_entry(session, ours.account_id, NewEntry("あおぞら商店", numbers=both))
    answer = await submit(admin, ours, phonebook_entries=f"{entry.id}\n")
    parties = [fax["other_party"] for fax in answer.body["faxes"]]
    assert sorted(parties) == ["+81311112222", "+81311116666"]
    unknown = await submit(admin, ours, phonebook_entries=f"{entry.id}\nnobody")
    assert unknown.fields == ["phonebook_entries.2"]


async def test_cancel_before_it_was_sent(admin: Client, ours: Furnished) -> None:
    submission = (await submit(admin, ours, destinations="0311112222\n0611113333")).body
    first = submission["faxes"][0]["id"]
    one = await admin.post(f"/api/v1/faxes/{first}:cancel", None)
    assert (one.body["state"], one.body["result"]["class"]) == ("cancelled", "cancelled")
    rest = await admin.post(f"/api/v1/fax/submissions/{submission['id']}:cancel", None)
    assert rest.body == {"cancelled": 1}
    again = await admin.post(f"/api/v1/faxes/{first}:cancel", None)
    assert (again.status, again.body["code"]) == (409, "fax_over")
    refused = await admin.post(f"/api/v1/faxes/{first}:resend", None)
    assert refused.body["code"] == "not_resendable"


async def test_the_trays(admin: Client, ours: Furnished, database: Database, media: Media) -> None:
    ids = [await receive(database, media, ours, days) for days in range(3)]
    await submit(admin, ours)
    got = await admin.get("/api/v1/faxes?direction=in")
    assert [fax["id"] for fax in got.body["items"]] == ids[::-1]
    fax = got.body["items"][0]
    assert {
        "direction": "in",
        "number": ours.e164,
        "other_party": "+81355556666",
        "state": "received",
        "pages": 2,
        "pages_done": 2,
        "result": {"class": "ok", "code": "ok", "text": "受信しました。"},
        "duration_s": 60.0,
        "transport": "t38",
        "read": False,
    }.items() <= fax.items()
    page = await admin.get("/api/v1/faxes?direction=in&limit=2")
    rest = await admin.get(f"/api/v1/faxes?direction=in&limit=2&cursor={page.body['next']}")
    assert [one["id"] for one in (*page.body["items"], *rest.body["items"])] == ids[::-1]
    period = await admin.get(
        "/api/v1/faxes?direction=in&from=2026-11-25T00:00:00%2B09:00&to=2026-11-26T00:00:00%2B09:00"
    )
    assert [one["id"] for one in period.body["items"]] == [ids[1]]
    for query, count in (
        ("state=received", 3),
        ("state=preparing", 1),
        ("read=false", 3),
        ("read=true", 1),
        ("other_party=0355556666", 3),
        (f"number_id={ours.number_id}", 4),
    ):
        assert len((await admin.get(f"/api/v1/faxes?{query}")).body["items"]) == count, query
    summary = await admin.get("/api/v1/faxes/summary")
    trays = {"number_id": ours.number_id, "number": ours.e164, "received": 3, "unread": 3, "sent": 1}
    assert summary.body == {"numbers": [trays]}


async def test_read_and_unread(admin: Client, ours: Furnished, database: Database, media: Media) -> None:
    ids = [await receive(database, media, ours) for _ in range(2)]
    changed = await admin("PATCH", f"/api/v1/faxes/{ids[0]}", json={"read": True})
    assert changed.body["read"] is True
    marked = await admin.post("/api/v1/faxes:mark", {"ids": [*ids, "gone"], "read": True})
    assert [one["result"] for one in marked.body["results"]] == ["changed", "changed", "not_found"]
    assert (await admin.get("/api/v1/faxes?read=false")).body["items"] == []
    await admin.post("/api/v1/faxes:mark", {"ids": ids, "read": False})
    await admin.get(f"/api/v1/faxes/{ids[0]}/pdf?mark_read=1")
    assert [one["id"] for one in (await admin.get("/api/v1/faxes?read=true")).body["items"]] == [ids[0]]


async def test_pdf_whole_and_in_part(
    admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    fax_id = await receive(database, media, ours)
    whole = await admin.get(f"/api/v1/faxes/{fax_id}/pdf")
    assert (whole.status, whole.headers["Content-Type"]) == (200, "application/pdf")
    assert len(PdfReader(io.BytesIO(whole.raw)).pages) == 2
    part = await admin.get(f"/api/v1/faxes/{fax_id}/pdf", headers={"Range": "bytes=10-19"})
    assert (part.status, part.raw) == (206, whole.raw[10:20])
    tag = {"If-None-Match": whole.headers["ETag"]}
    assert (await admin.get(f"/api/v1/faxes/{fax_id}/pdf", headers=tag)).status == 304
    named = await admin.get(f"/api/v1/faxes/{fax_id}/pdf?download=1")
    assert "0355556666.pdf" in named.headers["Content-Disposition"]


async def test_pages_are_shown(admin: Client, ours: Furnished, database: Database, media: Media) -> None:
    fax_id = await receive(database, media, ours)
    page = await admin.get(f"/api/v1/faxes/{fax_id}/pages/2")
    assert page.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(page.raw)) as shown:
        assert shown.width == 864
    for bad in ("3", "0", "-1", "x", "99999"):
        assert (await admin.get(f"/api/v1/faxes/{fax_id}/pages/{bad}")).status == 404


async def test_many_as_a_zip(admin: Client, ours: Furnished, database: Database, media: Media) -> None:
    ids = [await receive(database, media, ours) for _ in range(2)]
    answer = await admin.post("/api/v1/faxes:download", {"ids": [*ids, "gone"]})
    with zipfile.ZipFile(io.BytesIO(answer.raw)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        index = archive.read("index.csv").decode("utf-8-sig")
    assert len(names) == len(set(names)) == 3
    assert "見つかりません: gone" in index
    assert index.count("受信済み") == 2


async def test_deleted_with_their_files(
    admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    ids = [await receive(database, media, ours) for _ in range(3)]
    under_way = (await submit(admin, ours)).body["faxes"][0]["id"]
    answer = await admin.post("/api/v1/faxes:delete", {"ids": [*ids[:2], under_way, "gone"]})
    results = [one["result"] for one in answer.body["results"]]
    assert results == ["deleted", "deleted", "under_way", "not_found"]
    assert (await admin("DELETE", f"/api/v1/faxes/{ids[2]}")).status == 204
    assert (await admin("DELETE", f"/api/v1/faxes/{ids[2]}")).status == 404
    assert (await admin("DELETE", f"/api/v1/faxes/{under_way}")).body["code"] == "fax_under_way"
    left = [path.name for path in (media.folder / "faxes").rglob("*") if path.is_file()]
    assert [name for name in left if not name.endswith(".given.pdf")] == []
    async with database.session() as session:
        told = await session.scalars(select(JournalEntry).where(JournalEntry.event == "fax_deleted"))
        assert len(list(told)) == 3


async def finish(database: Database, media: Media, submission_id: str) -> None:
    """Everything of a submission was sent, one fax after the other."""
    names = f"faxes/2026/11/24/{submission_id}"
    tiff = media.folder.parent / "drawn.tif"
    write_pages([Page(Image.new("1", (1728, 1000), 1))] * 2, tiff)
    media.take(tiff, f"{names}.tif")
    tiff.unlink()
    media.put(documents.pdf(2), f"{names}.pdf")
    async with database.session() as session:
        submission = await session.get_one(FaxSubmission, submission_id)
        submission.pdf, submission.tiff, submission.pages = f"{names}.pdf", f"{names}.tif", 2
        submission.pdf_sha256 = "0" * 64
        for fax in await session.scalars(select(Fax).where(Fax.submission_id == submission_id)):
            fax.pdf, fax.tiff, fax.pages, fax.pages_done = submission.pdf, submission.tiff, 2, 2
            fax.pdf_sha256 = submission.pdf_sha256
            await end_fax(session, fax, FaxState.SENT, FaxResultClass.OK, "ok", "送信しました。")


async def test_files_stay_while_another_fax_needs_them(
    admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    submission = (await submit(admin, ours, destinations="0311112222\n0611113333")).body
    await finish(database, media, submission["id"])
    first, second = (fax["id"] for fax in submission["faxes"])
    again = (await admin.post(f"/api/v1/faxes/{first}:resend", None)).body
    assert (again["state"], again["pages"], again["counts"]) == ("ready", 2, {"waiting": 1})
    await admin.post("/api/v1/faxes:delete", {"ids": [first, second]})
    assert (await admin.get(f"/api/v1/fax/submissions/{submission['id']}")).status == 404
    anew = again["faxes"][0]["id"]
    assert (await admin.get(f"/api/v1/faxes/{anew}/pdf")).status == 200
    await admin.post(f"/api/v1/faxes/{anew}:cancel", None)
    await admin("DELETE", f"/api/v1/faxes/{anew}")
    assert [path for path in (media.folder / "faxes").rglob("*") if path.is_file()] == []


async def test_a_transmission_report(
    admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    submission = (await submit(admin, ours)).body
    await finish(database, media, submission["id"])
    answer = await admin.get(f"/api/v1/faxes/{submission['faxes'][0]['id']}/report")
    assert answer.headers["Content-Type"] == "application/pdf"
    text = PdfReader(io.BytesIO(answer.raw)).pages[0].extract_text()
    assert "FAX送信レポート" in text
    assert "0311112222" in text
    assert "2/2" in text


async def test_faxes_past_their_time_go(
    admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    old, kept = [await receive(database, media, ours) for _ in range(2)]
    under_way = (await submit(admin, ours)).body["faxes"][0]["id"]
    assert (await admin.get("/api/v1/account")).body["fax_retention_days"] == 180
    async with database.session() as session:
        for fax_id in (old, under_way):
            (await session.get_one(Fax, fax_id)).created_at = now() - timedelta(days=181)
    assert await purge_faxes(database, media, now()) == 1
    ids = {fax["id"] for fax in (await admin.get("/api/v1/faxes")).body["items"]}
    assert ids == {kept, under_way}
    await admin("PATCH", "/api/v1/account", json={"fax_retention_days": None})
    assert await purge_faxes(database, media, now() + timedelta(days=9999)) == 0


async def test_number_settings(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/numbers/{ours.number_id}/fax"
    first = await admin.get(path)
    assert {"enabled": True, "fax_only": False, "receives": "shared", "mail_addresses": []}.items() <= (
        first.body.items()
    )
    rule = await admin.post("/api/v1/notification-rules", {"name": "FAX"})
    changes = {
        "fax_only": True,
        "mail_addresses": ["fax@customer.example"],
        "notification_rule_id": rule.body["id"],
        "sender_name": "株式会社あさひ",
    }
    changed = await admin.put(path, changes)
    assert changed.body["receives"] == "only"
    assert changed.body["mail_addresses"] == ["fax@customer.example"]
    # What is not given stays.
    assert (await admin.put(path, {"fax_only": False})).body["sender_name"] == "株式会社あさひ"
    used = await admin("DELETE", f"/api/v1/notification-rules/{rule.body['id']}")
    assert (used.status, used.body["used_by"][0]["kind"]) == (409, "number")
    assert (await admin.put(path, {"notification_rule_id": None})).body["notification_rule_id"] is None
    off = await admin.put(path, {"enabled": False})
    assert off.body["receives"] == "none"
    refused = await admin.put(path, {"fax_only": True})
    assert refused.body["errors"][0]["code"] == "fax_option_required"
    for wrong in ({"mail_addresses": ["x"]}, {"notification_rule_id": "nobodys"}, {"nonsense": 1}):
        assert (await admin.put(path, wrong)).status == 422


async def test_access_by_device(admin: Client, ours: Furnished, database: Database, media: Media) -> None:
    path = f"/api/v1/numbers/{ours.number_id}/fax/access"
    alone = await admin.put(path, {"device_ids": [ours.device_id]})
    assert (alone.status, alone.body["code"]) == (409, "one_device_only")
    async with database.session() as session:
        second, _ = await create_device(session, SECRET_KEY, ours.account_id)
    fax_id = await receive(database, media, ours)
    free = await admin.get(path)
    assert (free.body["restricted"], {one["allowed"] for one in free.body["devices"]}) == (False, {True})
    await admin.put(path, {"device_ids": [second.id]})
    chosen = await admin.get(path)
    assert {one["device_id"]: one["allowed"] for one in chosen.body["devices"]} == {
        ours.device_id: False,
        second.id: True,
    }
    seen = {
        device: [fax["id"] for fax in (await admin.get(f"/api/v1/faxes?device_id={device}")).body["items"]]
        for device in (ours.device_id, second.id)
    }
    assert seen == {ours.device_id: [], second.id: [fax_id]}
    refused = await submit(admin, ours, device_id=ours.device_id)
    assert (refused.status, refused.body["code"]) == (409, "fax_access_denied")
    assert (await submit(admin, ours, device_id=second.id)).status == 202
    assert (await admin.put(path, {"device_ids": ["nobodys"]})).status == 422


async def test_nothing_of_another_account(
    other_admin: Client, admin: Client, ours: Furnished, database: Database, media: Media
) -> None:
    fax_id = await receive(database, media, ours)
    submission = (await submit(admin, ours)).body
    for path in (
        f"/faxes/{fax_id}",
        f"/faxes/{fax_id}/pdf",
        f"/faxes/{fax_id}/pages/1",
        f"/faxes/{fax_id}/report",
        f"/fax/submissions/{submission['id']}",
        f"/numbers/{ours.number_id}/fax",
        f"/numbers/{ours.number_id}/fax/access",
    ):
        assert (await other_admin.get(f"/api/v1{path}")).status == 404, path
    for path in (
        f"/faxes/{fax_id}:resend",
        f"/faxes/{fax_id}:cancel",
        f"/fax/submissions/{submission['id']}:cancel",
    ):
        assert (await other_admin.post(f"/api/v1{path}", None)).status == 404, path
    ids = {"ids": [fax_id]}
    deleted = await other_admin.post("/api/v1/faxes:delete", ids)
    assert deleted.body["results"][0]["result"] == "not_found"
    marked = await other_admin.post("/api/v1/faxes:mark", {**ids, "read": True})
    assert marked.body["results"][0]["result"] == "not_found"
    refused = await submit(other_admin, ours)
    assert refused.body["errors"][0] == {
        "field": "number_id",
        "code": "not_found",
        "detail": refused.body["errors"][0]["detail"],
    }
    assert (await other_admin.get("/api/v1/faxes")).body["items"] == []
