"""`/schedules`: which rule a number follows at which hour."""

import re
from datetime import date, datetime
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from portal_api.routing import Ask, Resource
from portal_api.schemas import Body, IdGiven, Label, PageOf, PageQuery, Query, TimeGiven, Timestamp
from store import schedules
from store.hours import (
    WEEK,
    Choice,
    Day,
    Override,
    Source,
    Span,
    applies,
    overlap,
    overlap_across_midnight,
    read_span,
    until,
)
from store.models import Schedule as ScheduleRow
from store.models import now

resource = Resource("スケジュール")

ISO_DATE = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}")
MOST_SPANS = 24
MOST_EXCEPTIONS = 200
DAYS = dict(zip(Day, "月火水木金土日祝", strict=True))
RULE = "適用するルール。nullは留守レポOFF"
HOLIDAYS = "祝日をどの曜日として扱うか。holidayなら祝日の時間帯、nullなら暦どおりの曜日"
SOURCES = (
    "override=手動の切り替え、exception=特別な日、holiday=祝日、weekly=曜日、default=時間帯の外、"
    "manual=スケジュールOFF(動作設定のとおり)"
)


def _iso_date(text: Any) -> Any:
    """pydantic alone would take times and seconds since 1970 too."""
    if not isinstance(text, date) and not (isinstance(text, str) and ISO_DATE.fullmatch(text)):
        raise PydanticCustomError("date", "日付(2026-12-29)で指定してください。")
    return text


DateGiven = Annotated[date, Field(strict=False, examples=["2026-12-29"]), BeforeValidator(_iso_date)]
RuleChosen = Annotated[IdGiven | None, Field(description=RULE)]
StartTime = Annotated[
    str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["09:00"])
]
EndTime = Annotated[
    str,
    StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"),
    Field(examples=["18:00"], description="開始以前の時刻なら翌日。1日の終わりは24:00"),
]


class SpanGiven(Body):
    """時間帯。開始を含み、終了を含まない"""

    start: StartTime
    end: EndTime
    rule_id: RuleChosen

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise PydanticCustomError("empty_span", "開始と終了が同じです。終日は00:00から24:00までです。")
        return self

    def span(self) -> Span:
        return read_span(self.start, self.end, self.rule_id)


def _apart(given: list[SpanGiven]) -> list[SpanGiven]:
    _refuse(overlap(_spans(given)))
    return given


SpansGiven = Annotated[
    list[SpanGiven], Field(max_length=MOST_SPANS, description="重ならない時間帯"), AfterValidator(_apart)
]


class Weekly(Body):
    """曜日ごとの時間帯。日をまたぐ時間帯は、始まる曜日に書く"""

    mon: SpansGiven = Field(default=[])
    tue: SpansGiven = Field(default=[])
    wed: SpansGiven = Field(default=[])
    thu: SpansGiven = Field(default=[])
    fri: SpansGiven = Field(default=[])
    sat: SpansGiven = Field(default=[])
    sun: SpansGiven = Field(default=[])
    holiday: SpansGiven = Field(default=[])

    @model_validator(mode="after")
    def _nights_end_in_time(self) -> Self:
        for day, following in zip(WEEK, (*WEEK[1:], WEEK[0]), strict=True):
            found = overlap_across_midnight(_spans(getattr(self, day)), _spans(getattr(self, following)))
            _refuse(found, f"{DAYS[day]}曜の", f"{DAYS[following]}曜の")
        return self


class ExceptionGiven(Body):
    """年末年始や臨時休業など。その日の曜日・祝日の時間帯に代わる"""

    name: Label = ""
    first_day: DateGiven
    last_day: Annotated[DateGiven, Field(description="この日を含む")]
    spans: SpansGiven

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_day < self.first_day:
            raise PydanticCustomError("order", "最終日が初日より前です。")
        return self


def _days_apart(given: list[ExceptionGiven]) -> list[ExceptionGiven]:
    for earlier, later in pairwise(sorted(given, key=lambda days: days.first_day)):
        if later.first_day <= earlier.last_day:
            which = {"earlier": _described(earlier), "later": _described(later)}
            raise PydanticCustomError("overlap", "{earlier} と {later} の日が重なっています。", which)
    return given


def _described(days: ExceptionGiven) -> str:
    return f"{days.name}({days.first_day}から{days.last_day})"


def _spans(given: list[SpanGiven]) -> tuple[Span, ...]:
    return tuple(one.span() for one in given)


def _refuse(found: tuple[Span, Span] | None, day: str = "", following: str = "") -> None:
    if found:
        which = {"one": f"{day}{found[0]}", "other": f"{following}{found[1]}"}
        raise PydanticCustomError("overlap", "{one} と {other} が重なっています。", which)


ExceptionsGiven = Annotated[
    list[ExceptionGiven], Field(max_length=MOST_EXCEPTIONS), AfterValidator(_days_apart)
]
Holidays = Annotated[Day | None, Field(description=HOLIDAYS)]
Default = Annotated[IdGiven | None, Field(description="どの時間帯でもないときのルール。nullは留守レポOFF")]
PLAN = {"default_rule_id", "weekly", "holidays", "exceptions"}


class OverrideShown(BaseModel):
    """手動の切り替え"""

    rule_id: str | None = Field(description=RULE)
    until: Timestamp | None = Field(description="この日時まで。nullなら取り消すまで")


class Schedule(BaseModel):
    id: str
    number_id: str
    enabled: bool = Field(description="ONの間は、動作設定より優先する")
    default_rule_id: Default
    weekly: Weekly
    holidays: Holidays
    exceptions: list[ExceptionGiven]
    override: OverrideShown | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, schedule: ScheduleRow) -> Self:
        override = schedules.override_of(schedule, now())
        return cls(
            id=schedule.id,
            number_id=schedule.number_id,
            enabled=schedule.enabled,
            **schedule.plan,
            override=OverrideShown(rule_id=override.rule_id, until=override.until) if override else None,
            created_at=schedule.created_at,
            updated_at=schedule.updated_at,
        )


class Schedules(PageOf[Schedule]):
    """スケジュールの1ページ。作成順"""


class NewSchedule(Body):
    """電話番号ごとに1つ。ルールは同じ電話番号のものに限る"""

    number_id: IdGiven
    enabled: bool = False
    default_rule_id: Default
    weekly: Weekly = Field(default_factory=Weekly)
    holidays: Holidays = Day.HOLIDAY
    exceptions: ExceptionsGiven = Field(default=[])


class ScheduleChange(Body):
    """指定した項目だけを変える。weekly と exceptions は全体を置き換える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    enabled: bool = Field(default_factory=bool)
    default_rule_id: Default = Field(default_factory=str)
    weekly: Weekly = Field(default_factory=Weekly)
    holidays: Holidays = Field(default_factory=lambda: Day.HOLIDAY)
    exceptions: ExceptionsGiven = Field(default=[])


class ScheduleQuery(PageQuery):
    number_id: IdGiven | None = None


class AppliesQuery(Query):
    at: TimeGiven | None = Field(default=None, description="この日時に。省略すると今")


class Applying(BaseModel):
    """ある日時に適用されるルールと、その理由"""

    at: Timestamp
    rule_id: str | None = Field(description=RULE)
    source: Source = Field(description=SOURCES)
    day: date | None = Field(description="時間帯が始まった日")
    span: str | None = Field(description="時間帯", examples=["22:00-06:00"])
    name: str = Field(description="祝日や特別な日の名前")
    until: Timestamp | None = Field(description="別のルールに変わる日時。1年以内に変わらなければnull")

    @classmethod
    def of(cls, choice: Choice, at: datetime) -> Self:
        found = applies(choice, at)
        return cls(
            at=at,
            rule_id=found.rule_id,
            source=found.source,
            day=found.day,
            span=str(found.span) if found.span else None,
            name=found.name,
            until=until(choice, at),
        )


class OverrideGiven(Body):
    """untilまで、nullなら取り消すまで、時間帯に代えてこのルールを適用する"""

    rule_id: RuleChosen
    until: TimeGiven | None = None


@resource.get("/schedules", "スケジュールの一覧")
async def list_schedules(ask: Ask, account_id: str, query: ScheduleQuery) -> Schedules:
    async with ask.session() as session:
        page = await schedules.list_schedules(session, account_id, query.number_id, query.page())
    return Schedules(items=[Schedule.of(row) for row in page.items], next=page.next_text)


@resource.post("/schedules", "スケジュールを作る", status=201)
async def create_schedule(ask: Ask, account_id: str, body: NewSchedule) -> Schedule:
    plan = body.model_dump(mode="json", include=PLAN)
    async with ask.session() as session:
        made = await schedules.create_schedule(session, account_id, body.number_id, body.enabled, plan)
    return Schedule.of(made)


@resource.get("/schedules/{schedule_id}", "スケジュール")
async def get_schedule(ask: Ask, account_id: str, schedule_id: str) -> Schedule:
    async with ask.session() as session:
        return Schedule.of(await schedules.get_schedule(session, account_id, schedule_id))


@resource.patch("/schedules/{schedule_id}", "スケジュールを変える。OFFにすると手動の切り替えも終わる")
async def change_schedule(ask: Ask, account_id: str, schedule_id: str, body: ScheduleChange) -> Schedule:
    enabled = body.enabled if "enabled" in body.model_fields_set else None
    plan = body.model_dump(mode="json", include=PLAN & body.model_fields_set)
    async with ask.session() as session:
        changed = await schedules.change_schedule(session, account_id, schedule_id, enabled, plan)
    return Schedule.of(changed)


@resource.delete("/schedules/{schedule_id}", "スケジュールを削除する。動作設定のとおりに戻る")
async def delete_schedule(ask: Ask, account_id: str, schedule_id: str) -> None:
    async with ask.session() as session:
        await schedules.delete_schedule(session, account_id, schedule_id)


@resource.get("/schedules/{schedule_id}/applies", "ある日時に、どのルールが、なぜ、いつまで適用されるか")
async def get_applying(ask: Ask, account_id: str, schedule_id: str, query: AppliesQuery) -> Applying:
    async with ask.session() as session:
        schedule = await schedules.get_schedule(session, account_id, schedule_id)
        choice = await schedules.choice_of(session, schedule)
    return Applying.of(choice, query.at or now())


@resource.put("/schedules/{schedule_id}/override", "手動で切り替える。スケジュールがONのときだけ")
async def set_override(ask: Ask, account_id: str, schedule_id: str, body: OverrideGiven) -> Schedule:
    override = Override(body.rule_id, body.until)
    async with ask.session() as session:
        return Schedule.of(await schedules.set_override(session, account_id, schedule_id, override))


@resource.delete("/schedules/{schedule_id}/override", "手動の切り替えを終え、時間帯のとおりに戻す")
async def end_override(ask: Ask, account_id: str, schedule_id: str) -> None:
    async with ask.session() as session:
        await schedules.end_override(session, account_id, schedule_id)
