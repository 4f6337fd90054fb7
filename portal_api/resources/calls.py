"""`/calls`: call records and their journals."""

import asyncio
import math
import time
from typing import Any, Self

from pydantic import BaseModel, Field

from portal_api.problems import Problem
from portal_api.routing import Ask, Resource
from portal_api.schemas import IdGiven, PageOf, PageQuery, Timestamp
from store import calls, recording_control
from store.models import Call as CallRow
from store.models import CallerKind, JournalEntry
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
    charge: int | None = Field(description="通話料(円)。まだ計算していないときはnull")

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
            charge=None,
        )


class Calls(PageOf[Call]):
    """通話の1ページ。新しい順"""


class CallQuery(PageQuery):
    number_id: IdGiven | None = None


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


@resource.get("/calls", "通話の一覧")
async def list_calls(ask: Ask, account_id: str, query: CallQuery) -> Calls:
    async with ask.session() as session:
        page = await calls.list_calls(session, account_id, query.number_id, query.page())
    return Calls(items=[Call.of(row) for row in page.items], next=page.next_text)


@resource.get("/calls/{call_id}", "通話")
async def get_call(ask: Ask, account_id: str, call_id: str) -> Call:
    async with ask.session() as session:
        return Call.of(await calls.get_call(session, account_id, call_id))


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
