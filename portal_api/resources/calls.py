"""`/calls`: call records (通話明細), their legs and their journals."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from aiohttp import web
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from portal_api.call_table import Encoding, Line, begin_table, table_lines
from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import IdGiven, PageOf, PageQuery, Query, TimeGiven, Timestamp, plain_text
from store import call_legs, calls, devices, recording_control
from store.models import Call as CallRow
from store.models import CallerKind, CallLeg, JournalEntry, LegRole
from store.pages import PageRequest
from store.recording_control import Order, RecordingState

resource = Resource("通話")

CONTROL_LIMIT_S = 8.0
CONTROL_LOOK_S = 0.1


class Call(BaseModel):
    id: str
    direction: str
    number_id: str | None
    number: str = Field(description="このアカウントの電話番号", examples=["+81312345678"])
    device_id: str | None
    other_party: str | None = Field(description="相手の番号。ないときは理由がcaller_kindにある")
    caller_kind: CallerKind
    started_at: Timestamp
    answered_at: Timestamp | None
    ended_at: Timestamp | None
    billed_s: int | None = Field(description="応答から終了までの秒数(切り上げ)。通話中はnull、応答なしは0")
    result: str | None
    destination_class: str | None = Field(
        description="発信先の種類(emergency=緊急、internal=内線、free=無料、fixed=固定、mobile=携帯、ip=050、"
        "navi=0570、special=1XY、premium=情報料、overseas=海外)。着信ではnull"
    )
    charge: int | None = Field(description="通話料(円、税抜)。まだ計算していないときはnull")

    @classmethod
    def of(cls, call: CallRow) -> Self:
        inbound = call.direction == "inbound"
        return cls(
            id=call.id,
            direction=call.direction,
            number_id=call.number_id,
            number=call.number.e164 if call.number else call.dialled if inbound else call.caller or "",
            device_id=call.device_id,
            other_party=call.caller if inbound else call.dialled,
            caller_kind=call.caller_kind,
            started_at=call.started_at,
            answered_at=call.answered_at,
            ended_at=call.ended_at,
            billed_s=_talk_s(call),
            result=call.result,
            destination_class=call.destination_class,
            charge=call.charge if call.direction == "outbound" else 0,
        )


class Calls(PageOf[Call]):
    """通話の1ページ。新しい順"""


class Leg(BaseModel):
    """1つの通話の、1つの電話機または回線から見た記録"""

    id: str
    role: LegRole = Field(description="caller: かけた側、callee: 呼ばれた側")
    device_id: str | None = Field(description="端末。回線(外線)の側ではnull")
    device: str | None = Field(description="端末のID。削除された端末でも残る")
    other_party: str | None
    started_at: Timestamp
    answered_at: Timestamp | None
    ended_at: Timestamp
    seconds: int = Field(description="応答から終了までの秒数(切り上げ)。応答なしは0")
    result: str = Field(
        description="answered, busy, no_answer, cancelled, answered_elsewhere, refused, unreachable, "
        "unknown_number, failed, lost(終了を確認できなかった)"
    )
    cause: int | None = Field(description="Q.850の切断理由")
    transfer: str | None = Field(description="この側が転送したとき blind または attended")
    end_seen: bool = Field(description="falseのとき、終了の日時は最後に確認できた日時")

    @classmethod
    def of(cls, row: CallLeg) -> Self:
        return cls(
            id=row.id,
            role=row.role,
            device_id=row.device_id,
            device=row.device,
            other_party=row.other_party,
            started_at=row.started_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            seconds=call_legs.seconds(row),
            result=row.result,
            cause=row.cause,
            transfer=row.transfer,
            end_seen=row.end_seen,
        )


class CallWithLegs(Call):
    legs: list[Leg] = Field(description="終わったもの。通話の数秒後にそろう")

    @classmethod
    def showing(cls, call: CallRow, legs: list[Leg]) -> Self:
        return cls(**Call.of(call).model_dump(mode="python"), legs=legs)


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


def _month(text: str) -> str:
    if not 1 <= int(text[5:]) <= 12 or not 1970 <= int(text[:4]) <= 9000:
        raise PydanticCustomError("month", "月は2026-11の形で指定してください。")
    return text


Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$"), AfterValidator(_month)]
OtherParty = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), AfterValidator(plain_text)
]


class CallFilterQuery(Query):
    number_id: IdGiven | None = None
    device_id: IdGiven | None = Field(default=None, description="かけた、または応答した端末")
    direction: Direction | None = None
    other_party: OtherParty | None = Field(default=None, description="相手の番号。表記は問わない")
    month: Month | None = Field(default=None, description="日本時間の月", examples=["2026-11"])
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降")
    until: TimeGiven | None = Field(default=None, alias="to", description="この日時より前")

    def wanted(self) -> calls.CallFilter:
        since, until = self.since, self.until
        if self.month is not None:
            first, following = calls.month_span(int(self.month[:4]), int(self.month[5:]))
            since = max(first, since) if since else first
            until = min(following, until) if until else following
        return calls.CallFilter(
            number_id=self.number_id,
            device_id=self.device_id,
            direction=self.direction,
            other_party=self.other_party,
            since=since,
            until=until,
        )


class CallQuery(CallFilterQuery, PageQuery):
    """1ページと、その条件"""


class DownloadQuery(CallFilterQuery):
    encoding: Encoding = Field(default=Encoding.UTF_8, description="Shift_JISにない文字は「?」になる")


class Milestone(BaseModel):
    at: Timestamp
    event: str
    details: dict[str, Any]

    @classmethod
    def of(cls, entry: JournalEntry) -> Self:
        return cls(at=entry.at, event=entry.event, details=entry.details)


class RecordingControl(BaseModel):
    """今の録音の状態"""

    state: RecordingState = Field(
        description="announcing: 案内を流している(終わると録音が始まる)、recording: 録音中、"
        "paused: 一時停止中、stopped: 終了した"
    )


class Journal(PageOf[Milestone]):
    """1つの通話の経過。起きた順にすべて"""


@resource.get("/calls", "通話の一覧。6か月前まで")
async def list_calls(ask: Ask, account_id: str, query: CallQuery) -> Calls:
    async with ask.session() as session:
        page = await calls.list_calls(session, account_id, query.wanted(), query.page())
    return Calls(items=[Call.of(row) for row in page.items], next=page.next_text)


@resource.get("/calls:download", "通話明細をCSVで取得する", produces="text/csv")
async def download_calls(ask: Ask, account_id: str, query: DownloadQuery) -> web.StreamResponse:
    async with ask.session() as session:
        names = {
            device.id: device.name or device.username
            for device in await devices.every_device(session, account_id)
        }
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{_file(query)}"'})
    response.content_type = "text/csv"
    response.charset = query.encoding.charset
    first: bytes | None = begin_table(query.encoding)
    async for rows in _batches(ask, account_id, query.wanted()):
        if not response.prepared:
            await response.prepare(ask.request)
        lines = [_line(row, names) for row in rows]
        await response.write((first or b"") + table_lines(lines, query.encoding))
        first = None
    if not response.prepared:
        await response.prepare(ask.request)
    await response.write_eof(first or b"")
    return response


async def _batches(ask: Ask, account_id: str, wanted: calls.CallFilter) -> AsyncIterator[list[CallRow]]:
    request: PageRequest | None = PageRequest(calls.EXPORT_BATCH)
    while request is not None:
        async with ask.session() as session:
            page = await calls.list_calls(session, account_id, wanted, request)
        if page.items:
            yield page.items
        request = PageRequest(calls.EXPORT_BATCH, page.next) if page.next else None


def _line(row: CallRow, device_names: dict[str, str]) -> Line:
    call = Call.of(row)
    return Line(
        call_id=call.id,
        direction=call.direction,
        number=call.number,
        device=device_names.get(call.device_id or "", ""),
        other_party=call.other_party,
        caller_kind=call.caller_kind,
        started_at=call.started_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        seconds=call.billed_s,
        result=call.result,
        charge=call.charge,
    )


def _file(query: DownloadQuery) -> str:
    month = query.month or datetime.now(UTC).astimezone(calls.JAPAN).strftime("%Y-%m-%d")
    return f"calls-{month}.csv"


@resource.get("/calls/{call_id}", "通話")
async def get_call(ask: Ask, account_id: str, call_id: str) -> CallWithLegs:
    async with ask.session() as session:
        call = await calls.get_call(session, account_id, call_id)
        legs = await call_legs.legs_of_call(session, call_id)
    return CallWithLegs.showing(call, [Leg.of(leg) for leg in legs])


@resource.post("/calls/{call_id}/recording:start", "通話の録音を始める。案内がONなら先に相手に流す")
async def start_recording(ask: Ask, account_id: str, call_id: str) -> RecordingControl:
    return await _control(ask, account_id, call_id, Order.START)


@resource.post("/calls/{call_id}/recording:pause", "通話の録音を一時停止する")
async def pause_recording(ask: Ask, account_id: str, call_id: str) -> RecordingControl:
    return await _control(ask, account_id, call_id, Order.PAUSE)


@resource.post("/calls/{call_id}/recording:resume", "一時停止した録音を再開する")
async def resume_recording(ask: Ask, account_id: str, call_id: str) -> RecordingControl:
    return await _control(ask, account_id, call_id, Order.RESUME)


@resource.post("/calls/{call_id}/recording:stop", "通話の録音を終える。録音した分は残る")
async def stop_recording(ask: Ask, account_id: str, call_id: str) -> RecordingControl:
    return await _control(ask, account_id, call_id, Order.STOP)


@resource.get("/calls/{call_id}/journal", "通話の経過")
async def get_journal(ask: Ask, account_id: str, call_id: str) -> Journal:
    async with ask.session() as session:
        entries = await calls.read_journal(session, account_id, call_id)
    return Journal(items=[Milestone.of(entry) for entry in entries], next=None)


async def _control(ask: Ask, account_id: str, call_id: str, order: Order) -> RecordingControl:
    """Have the call's own node do it, and wait for how it went."""
    async with ask.session() as session:
        job_id = await recording_control.ask_control(session, account_id, call_id, order)
    deadline = time.monotonic() + CONTROL_LIMIT_S
    while time.monotonic() < deadline:
        await asyncio.sleep(CONTROL_LOOK_S)
        async with ask.session() as session:
            outcome = await recording_control.outcome_of(session, job_id)
        if outcome is not None and outcome.state is not None:
            return RecordingControl(state=outcome.state)
        if outcome is not None:
            raise Problem(outcome.problem or "switch_unavailable")
    async with ask.session() as session:
        await recording_control.withdraw(session, job_id)
    raise Problem("switch_unavailable", headers={"Retry-After": "2"})


def _talk_s(call: CallRow) -> int | None:
    if call.ended_at is None:
        return None
    return math.ceil((call.ended_at - call.answered_at).total_seconds()) if call.answered_at else 0
