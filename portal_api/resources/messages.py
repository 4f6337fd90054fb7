"""`/messages`: what callers said to 留守レポ."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api.audio import SoundFormat, SoundQuery, disposition, send_mp3, send_wav
from portal_api.bulk import Ids, Markings, Selection
from portal_api.message_archive import archive, file_name
from portal_api.mp3 import ffmpeg
from portal_api.routing import API, Ask, Resource
from portal_api.schemas import (
    JAPAN,
    Body,
    IdGiven,
    Label,
    Lines,
    NumberGiven,
    PageOf,
    PageQuery,
    TimeGiven,
    Timestamp,
)
from portal_api.zip_stream import send_zip
from store import messages
from store.e164 import E164
from store.messages import Deleted, MessageCount, MessageFilter
from store.models import CallerKind, EndedBy, MessageSource, MessageStatus, TranscriptState, VoiceMessage, now
from store.phonebook_names import read_names

resource = Resource("メッセージ")


class Transcript(BaseModel):
    """文字起こし"""

    state: TranscriptState
    text: str | None

    @classmethod
    def of(cls, message: VoiceMessage) -> Self:
        row = message.transcript
        return cls(
            state=row.shown_state if row else TranscriptState.WAITING, text=row.shown_text if row else None
        )


class Message(BaseModel):
    id: str
    call_id: str
    number_id: str
    number: str = Field(description="かかってきた電話番号", examples=["+81312345678"])
    caller: str | None = Field(description="発信者の番号。ないときは理由がcaller_kindにある")
    caller_kind: CallerKind
    caller_name: str | None = Field(
        description="発信者の名前。Web電話帳にないときはnull", examples=["田中 太郎"]
    )
    started_at: Timestamp
    duration_s: float
    ended_by: EndedBy
    source: MessageSource
    audio: Literal["stored", "missing"] = Field(description="音声ファイルがあるか。missingは失われている")
    transcript: Transcript
    read: bool = Field(description="既読か。音声を聞くだけでは変わらない")
    read_at: Timestamp | None = Field(description="既読にした日時")
    read_by: str | None = Field(description="最初に既読にしたユーザーまたはトークンのID")
    status: MessageStatus = Field(description="open: 未対応、in_progress: 対応中、done: 完了")
    note: str = Field(description="対応メモ")
    updated_at: Timestamp = Field(description="既読・対応状況・メモを最後に変えた日時")

    @classmethod
    def of(cls, message: VoiceMessage, has_audio: bool, caller_name: str | None) -> Self:
        return cls(
            id=message.id,
            call_id=message.call_id,
            number_id=message.number_id,
            number=message.number.e164,
            caller=message.caller,
            caller_kind=message.caller_kind,
            caller_name=caller_name,
            started_at=message.started_at,
            duration_s=message.duration_s,
            ended_by=message.ended_by,
            source=message.source,
            audio="stored" if has_audio else "missing",
            transcript=Transcript.of(message),
            read=message.read_at is not None,
            read_at=message.read_at,
            read_by=message.read_by,
            status=message.status,
            note=message.note,
            updated_at=message.updated_at,
        )


class Messages(PageOf[Message]):
    """メッセージの1ページ。新しい順"""


class NumberSummary(BaseModel):
    number_id: str
    number: str
    messages: int
    unread: int

    @classmethod
    def of(cls, count: MessageCount) -> Self:
        return cls(
            number_id=count.number_id, number=count.number, messages=count.messages, unread=count.unread
        )


class Summary(BaseModel):
    """アカウントと、その電話番号ごとのメッセージの数"""

    messages: int
    unread: int
    numbers: list[NumberSummary] = Field(description="番号の作成順にすべて")


class MessageQuery(PageQuery):
    number_id: IdGiven | None = None
    number: NumberGiven | None = Field(
        default=None, description="電話番号。03-1234-5678、+81… などどの書き方でも"
    )
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降(この日時を含む)")
    until: TimeGiven | None = Field(
        default=None, alias="to", description="この日時より前(この日時を含まない)"
    )
    read: bool | None = Field(default=None, description="falseで未読だけ、trueで既読だけ")
    status: MessageStatus | None = Field(default=None, description="対応状況")
    caller: NumberGiven | None = Field(default=None, description="発信者の番号。どの書き方でも")
    caller_kind: CallerKind | None = Field(default=None, description="withheldは非通知、など")

    text: Label | None = Field(default=None, description="文字起こし(修正を含む)に含まれる言葉")

    def filter(self) -> MessageFilter:
        return MessageFilter(
            number_id=self.number_id,
            number=E164(self.number) if self.number is not None else None,
            since=self.since,
            until=self.until,
            read=self.read,
            status=self.status,
            caller=E164(self.caller) if self.caller is not None else None,
            caller_kind=self.caller_kind,
            text=self.text,
        )


class MessageChange(Body):
    """指定した項目だけを変える"""

    # The made-up defaults are never used: only the fields that were sent are read.
    read: bool = Field(default=False, description="既読にする、未読に戻す")
    status: MessageStatus = Field(default=MessageStatus.OPEN, strict=False)
    note: Lines = Field(default="", description="対応メモ。2,000文字まで")


class MessageAudioQuery(SoundQuery):
    mark_read: bool = Field(default=False, description="1: 聞いたものとして既読にする(HEADでは変えない)")


class Marking(Body):
    """指定した項目だけを変える"""

    ids: Ids
    read: bool = Field(default=False, description="既読にする、未読に戻す")
    status: MessageStatus = Field(default=MessageStatus.OPEN, strict=False)


class Download(Body):
    ids: Ids
    format: SoundFormat = Field(default="wav", description="音声の形式")


class Deletion(BaseModel):
    id: str
    result: Deleted = Field(description="failedは音声ファイルを削除できず、メッセージも残したもの")


class Deletions(BaseModel):
    results: list[Deletion]


@resource.get("/messages", "メッセージの一覧")
async def list_messages(ask: Ask, account_id: str, query: MessageQuery) -> Messages:
    async with ask.session() as session:
        page = await messages.list_messages(session, account_id, query.filter(), query.page())
        names = await _names(session, account_id, page.items)
    return Messages(items=await _shown(ask, page.items, names), next=page.next_text)


@resource.get("/messages/summary", "未読などの数")
async def get_message_summary(ask: Ask, account_id: str) -> Summary:
    async with ask.session() as session:
        counts = await messages.count_messages(session, account_id)
    return Summary(
        messages=sum(count.messages for count in counts),
        unread=sum(count.unread for count in counts),
        numbers=[NumberSummary.of(count) for count in counts],
    )


@resource.post("/messages:delete", "メッセージをまとめて削除する")
async def delete_messages(ask: Ask, account_id: str, body: Selection) -> Deletions:
    outcome = await messages.delete_messages(
        ask.session, ask.parts.media, account_id, body.ids, by=ask.identity.by
    )
    return Deletions(results=[Deletion(id=one, result=result) for one, result in outcome.items()])


@resource.post("/messages:mark", "メッセージの既読・対応状況をまとめて変える")
async def mark_messages(ask: Ask, account_id: str, body: Marking) -> Markings:
    changes = body.model_dump(exclude_unset=True, exclude={"ids"})
    async with ask.session() as session:
        changed = await messages.change_messages(session, account_id, body.ids, by=ask.identity.by, **changes)
    return Markings.of(body.ids, changed)


@resource.post(
    "/messages:download",
    "メッセージの音声と一覧表(index.csv)をZIPで取得する",
    produces="application/zip",
)
async def download_messages(ask: Ask, account_id: str, body: Download) -> web.StreamResponse:
    if body.format == "mp3":
        ffmpeg()
    async with ask.session() as session:
        found = await messages.read_messages(session, account_id, body.ids)
        names = await _names(session, account_id, list(found.values()))
    members = archive(
        [found.get(one) or one for one in body.ids],
        ask.parts.media,
        body.format,
        ask.parts.conversions,
        said=lambda message: Transcript.of(message).text or "",
        name_of=lambda message: names.get(message.caller or "", ""),
    )
    name = f"留守レポ_{now().astimezone(JAPAN):%Y%m%d_%H%M%S}.zip"
    return await send_zip(ask.request, members, disposition(name, "messages.zip"))


@resource.get("/messages/{message_id}", "メッセージ")
async def get_message(ask: Ask, account_id: str, message_id: str) -> Message:
    async with ask.session() as session:
        message = await messages.get_message(session, account_id, message_id)
        names = await _names(session, account_id, [message])
    return (await _shown(ask, [message], names))[0]


@resource.patch("/messages/{message_id}", "メッセージの既読・対応状況・メモを変える")
async def change_message(ask: Ask, account_id: str, message_id: str, body: MessageChange) -> Message:
    changes = body.model_dump(exclude_unset=True)
    async with ask.session() as session:
        await messages.change_messages(session, account_id, [message_id], by=ask.identity.by, **changes)
        message = await messages.get_message(session, account_id, message_id)
        names = await _names(session, account_id, [message])
    return (await _shown(ask, [message], names))[0]


@resource.delete("/messages/{message_id}", "メッセージを音声ごと削除する")
async def delete_message(ask: Ask, account_id: str, message_id: str) -> None:
    async with ask.session() as session:
        await messages.delete_message(session, ask.parts.media, account_id, message_id, by=ask.identity.by)


@resource.get(
    "/messages/{message_id}/audio", "メッセージの音声ファイル", produces=("audio/wav", "audio/mpeg")
)
async def get_message_audio(
    ask: Ask, account_id: str, message_id: str, query: MessageAudioQuery
) -> web.StreamResponse:
    marks = query.mark_read and ask.request.method == "GET"
    if marks:
        ask.demand("PATCH", f"{API}/messages/{{message_id}}")
    async with ask.session() as session:
        if marks:
            by = ask.identity.by
            await messages.change_messages(session, account_id, [message_id], by, read=True)
        message = await messages.get_message(session, account_id, message_id)
    path = ask.parts.media.path(message.media)
    name = file_name(message, query.format) if query.download else None
    if query.format == "mp3":
        return await send_mp3(ask.request, path, ask.parts.conversions, name)
    return await send_wav(ask.request, path, message.sha256, name)


async def _names(session: AsyncSession, account_id: str, rows: Sequence[VoiceMessage]) -> dict[str, str]:
    return await read_names(session, account_id, {row.caller for row in rows if row.caller})


async def _shown(ask: Ask, rows: Sequence[VoiceMessage], names: Mapping[str, str]) -> list[Message]:
    missing = await asyncio.to_thread(ask.parts.media.missing, [row.media for row in rows])
    return [Message.of(row, row.media not in missing, names.get(row.caller or "")) for row in rows]
