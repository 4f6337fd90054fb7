"""通話明細 through the API: conditions, six months, legs, CSV."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal_api.call_table import HEADINGS
from store.calls import month_span, shown_since
from store.database import Database
from store.models import Call, CallerKind, CallLeg, LegRole
from tests.furnishing import FIRST_CALL, Furnished
from tests.integration.conftest import Client

pytestmark = pytest.mark.integration

LIST = "/api/v1/calls"
DOWNLOAD = "/api/v1/calls:download"


async def made(database: Database, ours: Furnished, call_id: str, **facts: Any) -> None:
    row: dict[str, Any] = {
        "id": call_id,
        "node": "test",
        "account_id": ours.account_id,
        "number_id": ours.number_id,
        "dialled": ours.e164,
        "caller": "+81312340000",
        "caller_kind": CallerKind.NUMBER,
        "started_at": FIRST_CALL - timedelta(days=40),
        "answered_at": None,
        "ended_at": FIRST_CALL - timedelta(days=40) + timedelta(seconds=9),
        "result": "no_answer",
        **facts,
    }
    async with database.session() as session:
        session.add(Call(**row))


def leg(ours: Furnished, call_id: str, leg_id: str, **facts: Any) -> CallLeg:
    started = FIRST_CALL - timedelta(days=40)
    row: dict[str, Any] = {
        "id": leg_id,
        "call_id": call_id,
        "node": "test",
        "account_id": ours.account_id,
        "direction": "inbound",
        "role": LegRole.CALLEE,
        "started_at": started,
        "answered_at": started + timedelta(seconds=2),
        "ended_at": started + timedelta(seconds=9.1),
        "result": "answered",
        "end_seen": True,
        **facts,
    }
    return CallLeg(**row)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["first", "old", "out"]),
        ("month=2026-11", ["first"]),
        ("month=2026-10", ["old", "out"]),
        ("month=2026-09", []),
        ("direction=outbound", ["out"]),
        ("direction=inbound&month=2026-10", ["old"]),
        ("other_party=03-1234-0000", ["old", "out"]),
        ("other_party=%2B81312340000&direction=outbound", ["out"]),
        ("other_party=0399999999", []),
        ("from=2026-11-01T00:00:00%2B09:00", ["first"]),
        ("to=2026-11-01T00:00:00%2B09:00", ["old", "out"]),
        ("month=2026-10&from=2026-10-31T00:00:00%2B09:00", []),
        ("device_id={device}", ["old"]),
        ("device_id=unknown", []),
        ("number_id={number}", ["first", "old"]),
    ],
)
async def test_conditions(
    admin: Client, ours: Furnished, database: Database, query: str, found: list[str]
) -> None:
    names = {"old": "test-old", "out": "test-out", "first": ours.call_id}
    await made(database, ours, names["old"])
    outside = {"number_id": None, "direction": "outbound", "dialled": "0312340000", "caller": ours.e164}
    await made(database, ours, names["out"], **outside)
    async with database.session() as session:
        session.add(leg(ours, names["old"], "test-1", device_id=ours.device_id, device="1001"))
        # It only rang.
        rang = {"device_id": ours.device_id, "answered_at": None, "result": "answered_elsewhere"}
        session.add(leg(ours, names["first"], "test-2", **rang))
    query = query.format(device=ours.device_id, number=ours.number_id)
    answer = await admin.get(f"{LIST}?{query}")
    assert sorted(row["id"] for row in answer.body["items"]) == sorted(names[name] for name in found)
    table = read(await admin.get(f"{DOWNLOAD}?{query}"), "utf-8-sig")
    assert sorted(row["通話ID"] for row in table) == sorted(names[name] for name in found)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("month=2026-13", "month"),
        ("month=2026-1", "month"),
        ("month=9999-01", "month"),
        ("direction=sideways", "direction"),
        ("other_party=", "other_party"),
        ("from=yesterday", "from"),
        ("encoding=utf-16", "encoding"),
    ],
)
async def test_unfit_conditions(admin: Client, query: str, field: str) -> None:
    answer = await admin.get(f"{DOWNLOAD}?{query}")
    assert (answer.status, answer.body["code"], answer.fields) == (400, "invalid_query", [field])
    assert answer.body["errors"][0]["detail"]


async def test_six_months(admin: Client, ours: Furnished, database: Database) -> None:
    """The API's clock is the day after the first call, 2026-11-24 09:00 in Japan."""
    since = datetime(2026, 5, 23, 15, 0, tzinfo=UTC)
    await made(database, ours, "test-in", started_at=since)
    await made(database, ours, "test-out", started_at=since - timedelta(seconds=1))
    listed = [row["id"] for row in (await admin.get(f"{LIST}?month=2026-05")).body["items"]]
    assert listed == ["test-in"]
    assert (await admin.get(f"{LIST}/test-in")).status == 200
    for path in ("test-out", "test-out/journal"):
        assert (await admin.get(f"{LIST}/{path}")).status == 404
    assert len(read(await admin.get(f"{DOWNLOAD}?month=2026-05"), "utf-8-sig")) == 1


@pytest.mark.parametrize(
    ("day", "since"),
    [
        ("2026-08-31", "2026-02-28"),
        ("2028-08-31", "2028-02-29"),
        ("2026-03-01", "2025-09-01"),
        ("2026-12-31", "2026-06-30"),
    ],
)
def test_six_months_back_to_the_day(day: str, since: str) -> None:
    assert f"{shown_since(datetime.fromisoformat(f'{day}T12:00:00+09:00')):%Y-%m-%d %H:%M %z}" == (
        f"{since} 00:00 +0900"
    )


def test_a_month_is_japans() -> None:
    first, following = month_span(2026, 12)
    assert (first.isoformat(), following.isoformat()) == (
        "2026-12-01T00:00:00+09:00",
        "2027-01-01T00:00:00+09:00",
    )


async def test_legs_of_a_call(admin: Client, ours: Furnished, database: Database) -> None:
    await made(database, ours, "test-old")
    async with database.session() as session:
        caller = leg(ours, "test-old", "test-1", role=LegRole.CALLER, other_party="+81312340000")
        session.add(caller)
        session.add(
            leg(ours, "test-old", "test-2", device_id=ours.device_id, device="1001", transfer="blind")
        )
    outside, inside = (await admin.get(f"{LIST}/test-old")).body["legs"]
    assert (outside["role"], outside["other_party"], outside["seconds"]) == ("caller", "+81312340000", 8)
    assert (inside["device_id"], inside["device"], inside["transfer"]) == (ours.device_id, "1001", "blind")


# ---- CSV -------------------------------------------------------------------------------------------


def read(answer: Any, encoding: str) -> list[dict[str, str]]:
    assert answer.status == 200
    return list(csv.DictReader(io.StringIO(answer.raw.decode(encoding), newline="")))


async def test_csv_for_excel(admin: Client, ours: Furnished) -> None:
    answer = await admin.get(f"{DOWNLOAD}?month=2026-11")
    assert answer.raw.startswith(b"\xef\xbb\xbf")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="calls-2026-11.csv"'
    (row,) = read(answer, "utf-8-sig")
    assert tuple(row) == HEADINGS
    assert row == {
        "通話ID": ours.call_id,
        "区分": "着信",
        "電話番号": "0312345678",
        "端末": "",
        "相手先": "09012345678",
        "開始日時": "2026-11-23 09:00:00",
        "応答日時": "2026-11-23 09:00:01",
        "終了日時": "2026-11-23 09:00:12",
        "通話秒数": "12",
        "結果": "伝言あり",
        "通話料(円)": "0",
    }


async def test_csv_in_shift_jis(admin: Client, ours: Furnished, database: Database) -> None:
    """What Windows knows (髙, ㈱) is kept; what it does not know becomes a question mark."""
    await admin("PATCH", f"/api/v1/devices/{ours.device_id}", json={"name": "㈱髙橋 😀"})
    await made(
        database, ours, "test-old", device_id=ours.device_id, caller_kind=CallerKind.PAYPHONE, caller=None
    )
    answer = await admin.get(f"{DOWNLOAD}?month=2026-10&encoding=shift_jis")
    assert answer.headers["Content-Type"] == "text/csv; charset=shift_jis"
    (row,) = read(answer, "cp932")
    assert (row["端末"], row["相手先"], row["結果"]) == ("㈱髙橋 ?", "公衆電話", "応答なし")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1"])
async def test_no_cell_is_a_formula(admin: Client, ours: Furnished, database: Database, name: str) -> None:
    await admin("PATCH", f"/api/v1/devices/{ours.device_id}", json={"name": name})
    await made(database, ours, "test-old", device_id=ours.device_id, caller="+12125550100")
    (row,) = read(await admin.get(f"{DOWNLOAD}?month=2026-10"), "utf-8-sig")
    assert row["端末"] == f"'{name}"
    assert row["相手先"] == "'+12125550100"


async def test_an_empty_month_has_its_headings(admin: Client, ours: Furnished) -> None:
    answer = await admin.get(f"{DOWNLOAD}?month=2026-07")
    assert answer.raw.decode("utf-8-sig").splitlines() == [",".join(HEADINGS)]


async def test_more_than_a_batch(admin: Client, ours: Furnished, database: Database) -> None:
    async with database.session() as session:
        session.add_all(
            Call(
                id=f"test-{number}",
                node="test",
                account_id=ours.account_id,
                dialled=ours.e164,
                caller_kind=CallerKind.WITHHELD,
                started_at=FIRST_CALL - timedelta(days=30, seconds=number),
            )
            for number in range(1203)
        )
    rows = read(await admin.get(f"{DOWNLOAD}?month=2026-10"), "utf-8-sig")
    assert len({row["通話ID"] for row in rows}) == 1203
    assert [row["開始日時"] for row in rows] == sorted((row["開始日時"] for row in rows), reverse=True)


async def test_others_see_nothing(admin: Client, ours: Furnished, theirs: Furnished) -> None:
    rows = read(await admin.get(f"{DOWNLOAD}?number_id={theirs.number_id}"), "utf-8-sig")
    assert rows == []
