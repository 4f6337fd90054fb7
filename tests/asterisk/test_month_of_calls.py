"""A month of calls of every class through the real switch, and what it costs by somebody else's reckoning."""

import asyncio
import csv
import io
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import insert, select, update

from billing.closing import GRACE, close_months
from billing.rating import publish_file, rate_missed, recompute
from portal_api.routing import Parts
from settings import BillingSettings
from store.billing_month import BillingMonth, midnight
from store.database import Database, open_database
from store.media import Media
from store.models import Account, Call, Device, PhoneNumber, Role, Subscription
from store.subscriptions import keep_up
from store.tokens import issue_token
from tests.asterisk.conftest import Line, heard
from tests.asterisk.test_callers import leave_message, registered
from tests.asterisk.test_outbound import carrier, shown
from tests.asterisk.test_trunks import trunk
from tests.furnishing import SECRET_KEY
from tests.integration.conftest import Client, serving
from tests.recomputation import Expected, expected_month, rated
from tests.running_switch import Json, RunningSwitch, eventually
from tests.sip import CallEnded, IncomingCall, OutgoingCall, Refused, SipCaller
from tests.tariffs import EXAMPLE

pytestmark = [pytest.mark.asterisk, pytest.mark.usefixtures("no_call_back")]

NOVEMBER, DECEMBER = BillingMonth(2026, 11), BillingMonth(2026, 12)
SINCE = date(2026, 11, 4)
ISSUER = BillingSettings(issuer_name="デモ通信株式会社", issuer_number="T9000000000000")
PLAN_DEVICE, PLAN = 1, "two_seconds"
TARIFF = """
[[tariff]]
valid_from = 2024-01-26
name = "by the second"
[tariff.calls.fixed]
label = "固定電話"
unit_s = 1
yen = 0.7
[tariff.calls.mobile]
label = "携帯電話"
unit_s = 1
yen = 17.35
[tariff.calls.ip]
label = "IP電話"
unit_s = 2
yen = 1.5
[tariff.calls.navi]
label = "ナビダイヤル"
unit_s = 3
yen = 20
[tariff.calls.special]
label = "特番"
unit_s = 1
yen = 8.5
[tariff.plans.two_seconds]
label = "2秒かけ放題"
monthly = 1000
classes = ["fixed", "mobile"]
free_s = 2
unit_s = 1
yen = 3.3
[tariff.items.basic]
label = "基本料"
per = "account"
monthly = 980
[tariff.items.device]
label = "ID"
per = "device"
monthly = 700
initial = 5000
[tariff.usage.rusurepo_message]
label = "留守レポ"
yen = 20.5
included = 1
[[tariff.overseas]]
prefix = "+1"
label = "アメリカ"
unit_s = 1
yen = 0.9
[[tariff.overseas]]
prefix = "+1808"
label = "ハワイ"
unit_s = 1
yen = 12.25
"""


@dataclass(frozen=True)
class Planned:
    """A call to be made: which device, what is dialled, who is reached and for how long (0: busy there)."""

    device: int
    dialled: str
    reached: str
    seconds: float
    from_number: str = "0312345678"


CALLS = (
    Planned(0, "0311118001", "0311118001", 1.3),
    Planned(0, "0311118002", "0311118002", 2.4),
    Planned(0, "09011118003", "09011118003", 3.4),
    Planned(0, "09011118004", "09011118004", 0),
    Planned(0, "05011118005", "05011118005", 2.3),
    Planned(0, "0570118006", "0570118006", 1.2),
    Planned(0, "0120118007", "0120118007", 1.2),
    Planned(0, "117", "117", 1.4),
    Planned(0, "01018085558009", "01018085558009", 2.2),
    Planned(0, "01012125558010", "01012125558010", 1.6),
    Planned(0, "18409011118011", "09011118011", 1.2, "anonymous"),
    Planned(0, "*020311118012", "0311118012", 1.2, "0312345679"),
    Planned(PLAN_DEVICE, "0311118013", "0311118013", 1.3),
    Planned(PLAN_DEVICE, "09011118014", "09011118014", 3.3),
    Planned(PLAN_DEVICE, "05011118015", "05011118015", 1.2),
    Planned(0, "119", "119", 1.3),
)
CALLERS = ("09011119001", "09011119002", "09011119003")
INTERNAL_S = 1.2
SENT_ON, JOINED = ("0311118020", "09011118021"), ("0311118022", "09011118023")


@asynccontextmanager
async def overseas_allowed(switch: RunningSwitch) -> AsyncIterator[None]:
    path = "/api/v1/account/outbound"
    before = (await switch.ask("GET", path))["classes"]
    await switch.ask("PUT", path, json={"classes": [*before, "overseas"]})
    try:
        yield
    finally:
        await switch.ask("PUT", path, json={"classes": before})


class FarSide:
    """Answers what comes, each as long as it was planned, and keeps who came."""

    def __init__(self) -> None:
        self.came: dict[str, IncomingCall] = {}
        self._lasting: list[asyncio.Task[None]] = []

    async def take(self, phone: SipCaller) -> None:
        while True:
            arriving = await phone.incoming(60)
            self.came[arriving.invite.addressee.uri.user] = arriving
            self._lasting.append(asyncio.create_task(self._talk(arriving)))

    async def _talk(self, arriving: IncomingCall) -> None:
        reached = arriving.invite.addressee.uri.user
        planned = next((one for one in CALLS if one.reached == reached), None)
        if planned is None:
            await arriving.answer()
        elif planned.seconds:
            await arriving.answer()
            await asyncio.sleep(planned.seconds)
            await arriving.hang_up()
        else:
            arriving.reject(486)

    async def reached(self, number: str) -> IncomingCall:
        async def answered() -> IncomingCall | None:
            call = self.came.get(number)
            return call if call is not None and call.answered_at is not None else None

        call = await eventually(answered, 15, f"{number} is reached")
        assert call is not None
        return call


async def until_over(call: OutgoingCall) -> None:
    try:
        await call.answered(20)
        await call.ended(20)
    except (Refused, CallEnded):
        return


async def call_each_other(switch: RunningSwitch, device: SipCaller, colleague: SipCaller) -> None:
    call = await device.invite(switch.uri(switch.ready["devices"][1]["username"]))
    arriving = await colleague.incoming(10)
    await arriving.answer()
    await call.answered(10)
    await asyncio.sleep(INTERNAL_S)
    await call.hang_up()


async def send_on(switch: RunningSwitch, device: SipCaller, far_side: FarSide) -> None:
    """A call out is sent on to another outside (blind): both are paid for, the first one to the end."""
    call = await device.invite(switch.uri(SENT_ON[0]))
    first = await far_side.reached(SENT_ON[0])
    await call.answered(10)
    await heard(first, call)
    await call.refer(switch.uri(SENT_ON[1]))
    await far_side.reached(SENT_ON[1])
    await call.hang_up()
    await asyncio.sleep(1.4)
    await first.hang_up()


async def join(switch: RunningSwitch, device: SipCaller, far_side: FarSide) -> None:
    """Two calls out are joined (attended), and go on without the device that made them."""
    calls = [await device.invite(switch.uri(number)) for number in JOINED]
    for call in calls:
        await call.answered(15)
    for number, call in zip(JOINED, calls, strict=True):
        await heard(await far_side.reached(number), call)
    await calls[0].refer(switch.uri(JOINED[1]), instead_of=calls[1])
    await asyncio.gather(*(call.hang_up() for call in calls))
    await asyncio.sleep(1.6)
    await (await far_side.reached(JOINED[1])).hang_up()


async def make_the_calls(switch: RunningSwitch, line: Line) -> dict[str, IncomingCall]:
    """Everything at once, while callers leave messages; gives the far ends by what they were called as."""
    far_side = FarSide()
    async with (
        overseas_allowed(switch),
        carrier(switch) as outside,
        trunk(switch, emergency=True, priority=200) as rescue,
        registered(switch, 0) as device,
        registered(switch, 1) as colleague,
        SipCaller() as callers,
    ):
        messages = [await callers.invite(switch.uri(line.dialled), number) for number in CALLERS]
        # After the call to 119 every call rings the devices for an hour.
        await asyncio.gather(*(message.answered(15) for message in messages))
        taking = [asyncio.create_task(far_side.take(phone)) for phone in (outside, rescue)]
        devices = (device, colleague)
        calls = [await devices[one.device].invite(switch.uri(one.dialled)) for one in CALLS]
        await asyncio.gather(
            *map(until_over, calls),
            call_each_other(switch, device, colleague),
            send_on(switch, device, far_side),
            join(switch, device, far_side),
            *map(leave_message, messages),
        )
        for call in far_side.came.values():
            await call.ended(10)
        for task in taking:
            task.cancel()
    for one in CALLS:
        assert shown(far_side.came[one.reached])[0] == one.from_number
    return far_side.came


async def records(switch: RunningSwitch, since: datetime) -> list[Json]:
    """What the switch wrote of them, once the legs have been read and everything is charged."""
    wanted = len(CALLS) + len(CALLERS) + 1 + len(SENT_ON) + len(JOINED)

    async def settled() -> list[Json]:
        told = await switch.ask("GET", "/api/v1/calls", params={"from": since.isoformat(), "limit": "100"})
        calls: list[Json] = told["items"]
        done = [call for call in calls if call["ended_at"] and (call["charge"] is not None or is_free(call))]
        return calls if len(done) == len(calls) == wanted and await _have_legs(switch, calls) else []

    return await eventually(settled, 45, f"{wanted} calls are over and charged")


def is_free(call: Json) -> bool:
    """It holds nothing back, so that its charge, of nothing, may take a minute."""
    return call["destination_class"] in {"free", "emergency"}


async def _have_legs(switch: RunningSwitch, calls: list[Json]) -> bool:
    """A call that was sent on has its leg with the call it comes from."""
    told = [await switch.ask("GET", f"/api/v1/calls/{call['id']}") for call in calls]
    return all(call["legs"] or spoken_as(call) == SENT_ON[1] for call in told)


def spoken_as(call: Json) -> str:
    """As the far end was called."""
    other: str = call["other_party"]
    if other.startswith("+81"):
        return f"0{other[3:]}"
    return f"010{other[1:]}" if other.startswith("+") else other


@pytest.fixture
def ledger(migrated_sqlite: Path, tmp_path: Path) -> Path:
    shutil.copyfile(migrated_sqlite, tmp_path / "ledger.db")
    (tmp_path / "tariff.toml").write_text(TARIFF)
    return tmp_path / "ledger.db"


async def lay_over(switch: RunningSwitch, ledger: Database, calls: list[Json]) -> str:
    """The switch's own records in another database, a second apart around the end of 25 November.

    Those of the last seconds are talked on after it; one begins a millisecond before. Gives the account.
    """
    begins = {
        call["id"]: NOVEMBER.ends + timedelta(seconds=place - len(calls) // 2, milliseconds=-1)
        for place, call in enumerate(sorted(calls, key=lambda call: str(call["started_at"])))
    }
    devices = [one["id"] for one in switch.ready["devices"]]
    source = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with source.session() as theirs, ledger.session() as mine:
            number = await theirs.get_one(PhoneNumber, switch.voice_number["id"])
            for table, which in (
                (Account, Account.id == number.account_id),
                (PhoneNumber, PhoneNumber.account_id == number.account_id),
                (Device, Device.id.in_(devices)),
                (Call, Call.id.in_([call["id"] for call in calls])),
            ):
                rows = await theirs.execute(select(table.__table__).where(which))
                await mine.execute(insert(table), [_laid(dict(row._mapping), begins) for row in rows])
            await mine.execute(update(Device).values(name=Device.username))
            mine.add(
                Subscription(
                    account_id=number.account_id,
                    item=PLAN,
                    subject_id=devices[PLAN_DEVICE],
                    starts_on=SINCE,
                )
            )
    finally:
        await source.close()
    return number.account_id


def _laid(row: dict[str, Any], begins: dict[str, datetime]) -> dict[str, Any]:
    """Calls begin as told, and last as they did; whatever else there is has been there since `SINCE`."""
    if row["id"] not in begins:
        return row | {"created_at": midnight(SINCE)}
    shift = begins[row["id"]] - row["started_at"]
    moments = ("started_at", "answered_at", "ended_at")
    return row | {name: row[name] + shift for name in moments if row[name]}


async def invoices_of(admin: Client) -> dict[str, Json]:
    listed = (await admin.get("/api/v1/invoices")).body["items"]
    return {one["month"]: (await admin.get(f"/api/v1/invoices/{one['id']}")).body for one in listed}


async def says(admin: Client, invoice: Json, expected: Expected) -> None:
    """The invoice, and its CSV of calls, to the yen and call by call."""
    lines = {
        (line["label"].removeprefix("通話料 "), line["tax_percent"]): [line["quantity"], line["amount"]]
        for line in invoice["lines"]
        if line["section"] == "call"
    }
    wanted = {key: [sums[0], sums[2]] for key, sums in expected.calls.items() if sums[1]}
    assert lines == wanted
    used = {line["detail"]: line["amount"] for line in invoice["lines"] if line["section"] == "usage"}
    assert used == expected.messages
    others = [line["amount"] for line in invoice["lines"] if line["section"] not in {"call", "usage"}]
    assert (sum(others), invoice["total"]) == (expected.fees, expected.total)
    table = await admin.get(f"/api/v1/invoices/{invoice['id']}/calls.csv")
    charged = csv.DictReader(io.StringIO(table.raw.decode("utf-8-sig")))
    assert {row["通話ID"]: int(row["金額(税抜)"]) for row in charged} == expected.charges


async def test_a_month_through_the_switch_costs_what_somebody_else_reckons(
    switch: RunningSwitch, line: Line, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every class, plans, hidden numbers, transfers, messages, on both sides of the 25th's midnight."""
    over = DECEMBER.ends + GRACE
    monkeypatch.setattr("store.calls.now", lambda: over)
    since = datetime.now(UTC)
    far_ends = await make_the_calls(switch, line)
    calls = await records(switch, since)
    for call in calls:
        if call["direction"] == "outbound":
            end = far_ends[spoken_as(call)]
            talked = end.ending.at - end.answered_at if end.answered_at and end.ending else 0
            # The switch sees an answer, and an end, a little after the far side: never by a second.
            assert talked - 1 <= call["billed_s"] <= talked + 2, spoken_as(call)

    # What the switch itself has charged meanwhile.
    table = await switch.download(f"/api/v1/calls:download?from={quote(since.isoformat())}")
    for row, _, _, yen in rated(table.decode("utf-8-sig"), EXAMPLE.read_text(), {}):
        assert int(row["通話料(円)"] or 0) == yen, row

    database = open_database(f"sqlite+aiosqlite:///{ledger}")
    try:
        account_id = await lay_over(switch, database, calls)
        await publish_file(database, tmp_path / "tariff.toml", midnight(date(2024, 1, 26)))
        await database.transaction(lambda connection: keep_up(connection, over))
        assert (await rate_missed(database, over)).unrated == 0
        await close_months(database, Media(tmp_path / "media"), ISSUER, over)
        async with database.session() as session:
            _, token = await issue_token(session, Role.ADMINISTRATOR, account_id)
        parts = Parts(database, Media(tmp_path / "media"), "test", SECRET_KEY, clock=lambda: over)
        async with serving(parts) as make_client:
            admin = make_client(token)
            details = (await admin.get("/api/v1/calls:download")).raw.decode("utf-8-sig")
            found = await invoices_of(admin)
            devices = [one["username"] for one in switch.ready["devices"]]
            sold = [(code, SINCE) for code in ("basic", "device", "device", PLAN)]
            for month in (NOVEMBER, DECEMBER):
                plans = {devices[PLAN_DEVICE]: PLAN}
                expected = expected_month(str(month), details, TARIFF, plans, sold)
                assert len(expected.charges) >= 8
                await says(admin, found[str(month)], expected)
        assert (await recompute(database, mend=False, at=over)).differences == []
    finally:
        await database.close()
