"""`/phonebook`: entries, searching, the contract, imports, and what softphones fetch."""

import csv
import io
import zipfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from aiohttp import FormData, encode_basic_auth

from store.database import Database
from store.devices import create_device
from store.message_reports import report_of
from store.models import VoiceMessage, now
from store.phonebook import NewEntry, NewNumber, set_contract
from store.phonebook_imports import add_entries, forget_imports
from store.phonebook_names import name_of
from tests.furnishing import SECRET_KEY, Furnished
from tests.integration.conftest import Answer, Client, answered

pytestmark = pytest.mark.integration

ENTRIES = "/api/v1/phonebook/entries"
IMPORTS = "/api/v1/phonebook/imports"
TANAKA: dict[str, Any] = {
    "name": "田中 太郎",
    "reading": "たなか たろう",
    "company": "株式会社あさひ",
    "memo": "午前中のみ\n担当: 佐藤",
    "numbers": [{"number": "０３－１２３４－５６７８", "label": "会社"}, {"number": "090-1234-5678"}],
}


async def add(client: Client, name: str, reading: str, *numbers: str) -> str:
    body = {"name": name, "reading": reading, "numbers": [{"number": one} for one in numbers or ("117",)]}
    made = await client.post(ENTRIES, body)
    assert made.status == 201
    return str(made.body["id"])


async def names(client: Client, query: str = "") -> list[str]:
    return [one["name"] for one in (await client.get(f"{ENTRIES}{query}")).body["items"]]


async def send(client: Client, table: str | bytes, **fields: str) -> Answer:
    content = table.encode() if isinstance(table, str) else table
    form = FormData(fields)
    form.add_field("file", io.BytesIO(content), filename="電話帳.csv")
    return await client("POST", IMPORTS, data=form)


async def test_an_entry_is_made_changed_and_deleted(admin: Client) -> None:
    made = await admin.post(ENTRIES, TANAKA)
    assert made.status == 201
    assert made.body["numbers"] == [
        {"label": "会社", "number": "+81312345678"},
        {"label": "", "number": "+819012345678"},
    ]
    path = f"{ENTRIES}/{made.body['id']}"
    assert (await admin.get(path)).body == made.body
    changed = await admin("PATCH", path, json={"name": "田中 次郎", "numbers": [{"number": "117"}]})
    assert (changed.body["name"], changed.body["reading"]) == ("田中 次郎", "たなか たろう")
    assert changed.body["numbers"] == [{"label": "", "number": "117"}]
    assert changed.body["updated_at"] > made.body["updated_at"]
    assert (await admin.get(path)).body == changed.body
    assert await names(admin, "?search=次郎") == ["田中 次郎"]
    assert await names(admin, "?search=0312345678") == []
    assert (await admin("DELETE", path)).status == 204
    assert (await admin.get(path)).status == 404
    assert (await admin("DELETE", path)).status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"numbers": []}, "numbers"),
        ({"numbers": [{"number": "1234-5678"}]}, "numbers.0.number"),
        ({"numbers": [{"number": "117"}, {"number": "１１７"}]}, ""),
        ({"numbers": [{"number": "117", "label": "x" * 21}]}, "numbers.0.label"),
        ({"numbers": [{"number": str(100 + n)} for n in range(11)]}, "numbers"),
        ({"memo": "\u0007"}, "memo"),
    ],
)
async def test_what_cannot_be_entered(admin: Client, change: dict[str, Any], field: str) -> None:
    refused = await admin.post(ENTRIES, TANAKA | change)
    assert (refused.status, refused.fields) == (422, [field])
    assert not refused.body["errors"][0]["detail"].isascii()


async def test_the_list_is_in_the_order_of_readings(admin: Client) -> None:
    for name, reading in (
        ("渡辺", "わたなべ"),
        ("青木", "アオキ"),
        ("加藤", "ｶﾄｳ"),
        ("賀川", "がかわ"),
        ("甲", ""),
    ):
        await add(admin, name, reading)
    assert await names(admin) == ["青木", "賀川", "加藤", "渡辺", "甲"]


async def test_pages_stay_stable_while_entries_come_and_go(admin: Client) -> None:
    made = [await add(admin, f"名{number}", f"あ{number}") for number in range(6)]
    first = (await admin.get(f"{ENTRIES}?limit=2")).body
    # One before the cursor, one after it, and the cursor's own row goes.
    await add(admin, "前", "あ")
    await add(admin, "後", "あ11")
    await admin("DELETE", f"{ENTRIES}/{made[1]}")
    second = (await admin.get(f"{ENTRIES}?limit=2&cursor={first['next']}")).body
    third = (await admin.get(f"{ENTRIES}?limit=10&cursor={second['next']}")).body
    shown = [one["name"] for page in (first, second, third) for one in page["items"]]
    assert shown == ["名0", "名1", "後", "名2", "名3", "名4", "名5"]
    assert third["next"] is None
    for cursor in ("x", "%00", "fHw", first["next"] + "あ"):
        assert (await admin.get(f"{ENTRIES}?cursor={cursor}")).body["code"] == "bad_cursor"


async def test_searching(admin: Client, other_admin: Client) -> None:
    await admin.post(ENTRIES, TANAKA)
    await add(admin, "中田 花子", "なかだ はなこ", "06-1234-5678")
    await add(other_admin, "田中", "たなか", "03-1234-5678")
    for search, found in {
        "田中": ["田中 太郎"],
        "タナカ": ["田中 太郎"],
        "なか": ["田中 太郎", "中田 花子"],
        "株式会社": ["田中 太郎"],
        "1234": ["田中 太郎", "中田 花子"],
        "06 1234": ["中田 花子"],
        "中 花": ["中田 花子"],
        "100%": [],
        "担当": [],
    }.items():
        assert await names(admin, f"?search={search}") == found, search
    assert await names(admin, "?number=0312345678") == ["田中 太郎"]
    assert await names(admin, "?number=%2B81612345678") == ["中田 花子"]
    assert (await admin.get(f"{ENTRIES}?number=x")).body["errors"][0]["field"] == "number"


async def test_many_are_deleted(admin: Client, other_admin: Client) -> None:
    ids = [await add(admin, f"名{number}", "") for number in range(3)]
    theirs = await add(other_admin, "よそ", "")
    answer = await admin.post(f"{ENTRIES}:delete", {"ids": [ids[0], ids[2], theirs, "x", ids[0]]})
    assert [one["result"] for one in answer.body["results"]] == [
        "deleted",
        "deleted",
        "not_found",
        "not_found",
    ]
    assert await names(admin) == ["名1"]
    assert await names(other_admin) == ["よそ"]


async def test_without_the_option_nothing_can_be_done(
    admin: Client, operator: Client, ours: Furnished
) -> None:
    entry = await add(admin, "田中", "", "03-1234-5678")
    contract = f"/api/v1/phonebook/contract?account_id={ours.account_id}"
    assert (await admin("PUT", "/api/v1/phonebook/contract", json={"contracted": True})).status == 403
    assert (await operator.put(contract, {"contracted": False})).body == {"contracted": False, "since": None}
    for method, path, body in (
        ("GET", ENTRIES, None),
        ("GET", f"{ENTRIES}/{entry}", None),
        ("GET", f"{ENTRIES}:export", None),
        ("POST", ENTRIES, TANAKA),
        ("PATCH", f"{ENTRIES}/{entry}", {"name": "x"}),
        ("DELETE", f"{ENTRIES}/{entry}", None),
        ("POST", f"{ENTRIES}:delete", {"ids": [entry]}),
        ("GET", f"{IMPORTS}/x", None),
        ("POST", f"{IMPORTS}/x:apply", {}),
        ("DELETE", f"{IMPORTS}/x", None),
        ("GET", f"/api/v1/devices/{ours.device_id}/phonebook", None),
        ("PUT", f"/api/v1/devices/{ours.device_id}/phonebook", {"standby_type": "list"}),
        ("POST", f"/api/v1/devices/{ours.device_id}/phonebook/links", {}),
    ):
        refused = await admin(method, path, json=body)
        assert (refused.status, refused.body["code"]) == (403, "phonebook_not_contracted"), path
    assert (await send(admin, "名前,電話番号\n田中,117\n")).body["code"] == "phonebook_not_contracted"
    assert (await admin.get("/api/v1/phonebook/contract")).body["contracted"] is False
    await operator.put(contract, {"contracted": True})
    assert await names(admin) == ["田中"]


# ---- imports -----------------------------------------------------------------------------------------

TABLE = (
    "名前,ふりがな,電話番号1,種別1,電話番号2\r\n"
    "田中,たなか,312345678,会社,\r\n"
    "鈴木,すずき,090-1234-5678,,でたらめ\r\n"
    "佐藤,さとう,06-1234-5678,,\r\n"
    "佐藤,さとう,06-1234-5678,,\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
async def test_a_file_is_shown_before_it_counts(admin: Client, encoding: str) -> None:
    shown = await send(admin, TABLE.encode(encoding))
    assert shown.status == 201
    report = shown.body
    assert (report["state"], report["lines"], report["valid"], report["invalid"]) == ("preview", 4, 3, 1)
    assert report["file_name"] == "電話帳.csv"
    assert [(one["line"], one["column"], one["code"]) for one in report["errors"]] == [
        (3, "電話番号2", "phone_number")
    ]
    assert [(one["line"], one["code"]) for one in report["notes"]] == [(2, "leading_zero")]
    assert report["duplicates"] == [{"line": 5, "same_as_line": 4, "entry_id": None}]
    assert report["sample"][0]["numbers"] == [{"label": "会社", "number": "+81312345678"}]
    assert await names(admin) == []
    assert (await admin.get(f"{IMPORTS}/{report['id']}")).body == report


async def test_all_or_nothing(admin: Client) -> None:
    report = (await send(admin, TABLE)).body
    apply = f"{IMPORTS}/{report['id']}:apply"
    refused = await admin.post(apply, {"lines": "all"})
    assert (refused.status, refused.body["code"]) == (422, "import_has_errors")
    assert refused.fields == ["lines.3.電話番号2"]
    assert await names(admin) == []
    applied = await admin.post(apply, {"lines": "valid"})
    assert {name: applied.body[name] for name in ("state", "added", "updated", "skipped")} == {
        "state": "applied",
        "added": 2,
        "updated": 0,
        "skipped": 1,
    }
    assert await names(admin) == ["佐藤", "田中"]
    again = await admin.post(apply, {"lines": "valid"})
    assert (again.status, again.body["code"]) == (409, "import_applied")
    assert await names(admin) == ["佐藤", "田中"]


@pytest.mark.parametrize(
    ("duplicates", "counts", "shown"),
    [
        ("skip", (1, 0, 1), [("青木", "", ["+81312345678"]), ("渡辺", "", ["117"])]),
        ("update", (1, 1, 0), [("青木", "新社", ["+819012345678", "+81312345678"]), ("渡辺", "", ["117"])]),
        (
            "add",
            (2, 0, 0),
            [
                ("青木", "", ["+81312345678"]),
                ("青木", "新社", ["+819012345678", "+81312345678"]),
                ("渡辺", "", ["117"]),
            ],
        ),
    ],
)
async def test_what_is_there_already(
    admin: Client, duplicates: str, counts: tuple[int, ...], shown: list[tuple[str, str, list[str]]]
) -> None:
    there = await add(admin, "青木", "あおき", "03-1234-5678")
    table = "名前,会社名,電話番号1,電話番号2\n青木,新社,090-1234-5678,0312345678\n渡辺,,117,\n"
    report = (await send(admin, table)).body
    assert report["duplicates"] == [{"line": 2, "same_as_line": None, "entry_id": there}]
    applied = (await admin.post(f"{IMPORTS}/{report['id']}:apply", {"duplicates": duplicates})).body
    assert tuple(applied[name] for name in ("added", "updated", "skipped")) == counts
    entries = (await admin.get(ENTRIES)).body["items"]
    numbers: list[tuple[str, str, Sequence[str]]] = [
        (one["name"], one["company"], [number["number"] for number in one["numbers"]]) for one in entries
    ]
    assert sorted(numbers) == sorted(shown)


async def test_files_that_are_no_phonebook(admin: Client) -> None:
    for content, code in (("", "empty"), ("x,y\n1,2\n", "no_header"), (b"PK\3\4\0", "encoding")):
        refused = await send(admin, content)
        assert (refused.status, refused.body["errors"][0]["code"]) == (422, code)
    wrong = await send(admin, TABLE, encoding="latin-1")
    assert (wrong.status, wrong.fields) == (422, ["encoding"])


async def test_files_are_thrown_away(admin: Client, database: Database) -> None:
    first, second = [(await send(admin, TABLE)).body["id"] for _ in range(2)]
    assert (await admin("DELETE", f"{IMPORTS}/{first}")).status == 204
    assert (await admin.get(f"{IMPORTS}/{first}")).status == 404
    async with database.session() as session:
        await forget_imports(session, now())
    assert (await admin.get(f"{IMPORTS}/{second}")).status == 200
    async with database.session() as session:
        await forget_imports(session, now().replace(year=2099))
    assert (await admin.get(f"{IMPORTS}/{second}")).status == 404


async def test_no_more_files_wait_than_can_be_looked_at(admin: Client) -> None:
    for _ in range(20):
        assert (await send(admin, TABLE)).status == 201
    refused = await send(admin, TABLE)
    assert (refused.status, refused.body["code"]) == (409, "too_many_imports")


async def test_a_full_phonebook_takes_no_more(
    admin: Client, database: Database, ours: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.phonebook.MOST_ENTRIES", 1000)
    many = [NewEntry(f"名{number}", numbers=(NewNumber("117"),)) for number in range(999)]
    async with database.session() as session:
        await add_entries(session, ours.account_id, many)
    report = (await send(admin, "名前,電話番号\n甲,118\n乙,118\n")).body
    refused = await admin.post(f"{IMPORTS}/{report['id']}:apply", {})
    assert (refused.status, refused.body["code"]) == (409, "phonebook_full")
    await add(admin, "最後", "あ")
    assert (await admin.post(ENTRIES, TANAKA)).body["code"] == "phonebook_full"
    assert (await admin.get(f"{IMPORTS}/{report['id']}")).body["state"] == "preview"


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis"])
async def test_what_is_exported_can_be_imported(admin: Client, encoding: str) -> None:
    made = (await admin.post(ENTRIES, TANAKA)).body
    await add(admin, "=SUM(A1)", "@x", "+1 650 253 0000")
    exported = await admin.get(f"{ENTRIES}:export?encoding={encoding}")
    assert exported.headers["Content-Type"] == f"text/csv; charset={encoding}"
    assert "phonebook.csv" in exported.headers["Content-Disposition"]
    text = exported.raw.decode("cp932" if encoding == "shift_jis" else "utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1][0] == "'=SUM(A1)"
    before = (await admin.get(ENTRIES)).body["items"]
    await admin.post(f"{ENTRIES}:delete", {"ids": [one["id"] for one in before]})
    report = (await send(admin, exported.raw)).body
    assert (report["encoding"], report["invalid"]) == (encoding, 0)
    await admin.post(f"{IMPORTS}/{report['id']}:apply", {})
    fields = ("name", "reading", "company", "memo", "numbers")
    after = (await admin.get(ENTRIES)).body["items"]
    assert [[one[name] for name in fields] for one in after] == [
        [one[name] for name in fields] for one in before
    ]
    assert made["id"] not in {one["id"] for one in after}


# ---- softphones --------------------------------------------------------------------------------------


async def test_standby_type_is_kept_by_device(admin: Client, ours: Furnished) -> None:
    path = f"/api/v1/devices/{ours.device_id}/phonebook"
    assert (await admin.get(path)).body == {"standby_type": "list"}
    for chosen in ("one_button", "two_buttons"):
        assert (await admin.put(path, {"standby_type": chosen})).body == {"standby_type": chosen}
    assert (await admin.get(path)).body == {"standby_type": "two_buttons"}
    assert (await admin.put(path, {"standby_type": "x"})).fields == ["standby_type"]


async def test_softphones_fetch_with_their_own_password(
    admin: Client, nobody: Client, other_admin: Client, database: Database, ours: Furnished
) -> None:
    await admin.post(ENTRIES, TANAKA)
    await add(other_admin, "よその人", "")
    async with database.session() as session:
        device, password = await create_device(session, SECRET_KEY, ours.account_id, "phone1")
    await admin.put(f"/api/v1/devices/{device.id}/phonebook", {"standby_type": "one_button"})
    right = encode_basic_auth("phone1", password)
    cards = await nobody.get("/softphone/phonebook.vcf", headers={"Authorization": right})
    assert cards.headers["Content-Type"] == "text/vcard; charset=utf-8"
    text = cards.raw.decode().replace("\r\n ", "")
    assert text.startswith("BEGIN:VCARD\r\nVERSION:4.0\r\n")
    assert 'N;SORT-AS="たなか たろう":田中 太郎;;;;\r\n' in text
    assert 'TEL;VALUE=uri;TYPE="voice";X-LABEL="会社":tel:+81312345678\r\n' in text
    assert "NOTE:午前中のみ\\n担当: 佐藤\r\n" in text
    assert "よその人" not in text
    assert max(len(line.encode()) for line in cards.raw.decode().split("\r\n")) <= 75
    friends = await nobody.get("/softphone/phonebook.xml", headers={"Authorization": right})
    space = "{http://www.linphone.org/xsds/lpconfig.xsd}"
    sections = {
        section.attrib["name"]: {entry.attrib["name"]: entry.text for entry in section}
        for section in ElementTree.fromstring(friends.raw).iter(f"{space}section")
    }
    assert sections["friend_0"]["url"] == '"田中 太郎 (会社)" <sip:+81312345678@127.0.0.1>'
    assert sections["friend_1"]["url"] == '"田中 太郎" <sip:+819012345678@127.0.0.1>'
    assert sections["denwaban"]["standby_type"] == "one_button"
    table = await nobody.get("/softphone/phonebook.csv", headers={"Authorization": right})
    assert "田中 太郎" in table.raw.decode("utf-8-sig")
    for login, given in (("phone1", "wrong"), ("phone2", password), ("", ""), ("phone1", "あ")):
        header = encode_basic_auth(login, given, "utf-8")
        refused = await nobody.get("/softphone/phonebook.vcf", headers={"Authorization": header})
        assert (refused.status, refused.body["code"]) == (401, "device_unauthorized")
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
    for header in ("Basic !", "Bearer x", "Basic"):
        assert (await nobody.get("/softphone/phonebook.csv", headers={"Authorization": header})).status == 401


async def test_a_link_works_once(
    admin: Client, nobody: Client, ours: Furnished, caplog: pytest.LogCaptureFixture
) -> None:
    await admin.post(ENTRIES, TANAKA)
    links = f"/api/v1/devices/{ours.device_id}/phonebook/links"
    with caplog.at_level("INFO", logger="portal_api"):
        first, second = [urlsplit((await admin.post(links, {})).body["url"]) for _ in range(2)]
        path, secret = f"{second.path}?{second.query}", second.query.partition("=")[2]
        # A new link ends the older one; looking at it does not use it up.
        assert (await nobody.get(f"{first.path}?{first.query}")).status == 401
        assert (await nobody("HEAD", path)).status == 200
        assert "田中" in (await nobody.get(path)).raw.decode()
        assert (await nobody.get(path)).status == 401
    ours_only = [one.getMessage() for one in caplog.records if one.name.startswith("portal_api")]
    assert ("GET", "/softphone/phonebook.vcf", 200) in answered(caplog)
    assert secret not in str(ours_only)


async def test_names_are_found_by_number(
    admin: Client, operator: Client, database: Database, ours: Furnished, theirs: Furnished
) -> None:
    await add(admin, "田中", "たなか", "03-1234-5678", "090-1234-5678")
    await add(admin, "青木", "あおき", "03-1234-5678")

    async def name(account_id: str, number: str) -> str | None:
        return await database.transaction(lambda connection: name_of(connection, account_id, number))

    assert await name(ours.account_id, "+819012345678") == "田中"
    assert await name(ours.account_id, "+81312345678") == "青木"
    assert await name(ours.account_id, "+81399999999") is None
    assert await name(theirs.account_id, "+819012345678") is None
    async with database.session() as session:
        await set_contract(session, ours.account_id, False)
    assert await name(ours.account_id, "+819012345678") is None


async def test_messages_tell_the_callers_name(admin: Client, database: Database, ours: Furnished) -> None:
    listed = (await admin.get("/api/v1/messages")).body["items"][0]
    assert (listed["caller"], listed["caller_name"]) == ("+819012345678", None)
    await add(admin, "田中 太郎", "", "090-1234-5678")
    assert (await admin.get("/api/v1/messages")).body["items"][0]["caller_name"] == "田中 太郎"
    path = f"/api/v1/messages/{ours.message_id}"
    assert (await admin.get(path)).body["caller_name"] == "田中 太郎"
    zipped = await admin.post("/api/v1/messages:download", {"ids": [ours.message_id]})
    with zipfile.ZipFile(io.BytesIO(zipped.raw)) as archive:
        (row,) = csv.DictReader(io.StringIO(archive.read("index.csv").decode("utf-8-sig")))
    assert (row["発信者"], row["発信者名"]) == ("090-1234-5678", "田中 太郎")
    async with database.session() as session:
        message = await session.get_one(VoiceMessage, ours.message_id)
        report = await report_of(session, message, None)
    assert report.title == "留守レポ: 田中 太郎(09012345678)"
