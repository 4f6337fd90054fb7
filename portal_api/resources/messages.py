"""`/messages`: what callers said to 留守レポ."""

from typing import Annotated, Literal, Self

from aiohttp import web
from pydantic import BaseModel, Field

from portal_api.audio import AudioQuery, send_wav
from portal_api.routing import Ask, Resource
from portal_api.schemas import (
    JAPAN,
    Body,
    IdGiven,
    Label,
    NumberGiven,
    PageOf,
    PageQuery,
    TimeGiven,
    Timestamp,
)
from store import messages
from store.e164 import E164, national
from store.errors import NotFound
from store.messages import MessageFilter
from store.models import CallerKind, EndedBy, MessageSource, TranscriptState, VoiceMessage

resource = Resource("メッセージ")

NO_CALLER = {
    CallerKind.NUMBER: "番号不明",
    CallerKind.WITHHELD: "非通知",
    CallerKind.PAYPHONE: "公衆電話",
    CallerKind.UNAVAILABLE: "表示圏外",
}


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
    started_at: Timestamp
    duration_s: float
    ended_by: EndedBy
    source: MessageSource
    transcript: Transcript

    @classmethod
    def of(cls, message: VoiceMessage) -> Self:
        return cls(
            id=message.id,
            call_id=message.call_id,
            number_id=message.number_id,
            number=message.number.e164,
            caller=message.caller,
            caller_kind=message.caller_kind,
            started_at=message.started_at,
            duration_s=message.duration_s,
            ended_by=message.ended_by,
            source=message.source,
            transcript=Transcript.of(message),
        )


class Messages(PageOf[Message]):
    """メッセージの1ページ。新しい順"""


class MessageQuery(PageQuery):
    number_id: IdGiven | None = None
    number: NumberGiven | None = Field(
        default=None, description="電話番号。03-1234-5678、+81… などどの書き方でも"
    )
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降(この日時を含む)")
    until: TimeGiven | None = Field(
        default=None, alias="to", description="この日時より前(この日時を含まない)"
    )

    text: Label | None = Field(default=None, description="文字起こし(修正を含む)に含まれる言葉")

    def filter(self) -> MessageFilter:
        number = E164(self.number) if self.number is not None else None
        return MessageFilter(self.number_id, number, self.since, self.until, self.text)


class Selection(Body):
    ids: Annotated[list[IdGiven], Field(min_length=1, max_length=100)]


class Deletion(BaseModel):
    id: str
    result: Literal["deleted", "not_found"]


class Deletions(BaseModel):
    results: list[Deletion]


@resource.get("/messages", "メッセージの一覧")
async def list_messages(ask: Ask, account_id: str, query: MessageQuery) -> Messages:
    async with ask.session() as session:
        page = await messages.list_messages(session, account_id, query.filter(), query.page())
    return Messages(items=[Message.of(row) for row in page.items], next=page.next_text)


@resource.post("/messages:delete", "メッセージをまとめて削除する")
async def delete_messages(ask: Ask, account_id: str, body: Selection) -> Deletions:
    return Deletions(
        results=[await _delete_if_there(ask, account_id, wanted) for wanted in dict.fromkeys(body.ids)]
    )


@resource.get("/messages/{message_id}", "メッセージ")
async def get_message(ask: Ask, account_id: str, message_id: str) -> Message:
    async with ask.session() as session:
        return Message.of(await messages.get_message(session, account_id, message_id))


@resource.delete("/messages/{message_id}", "メッセージを音声ごと削除する")
async def delete_message(ask: Ask, account_id: str, message_id: str) -> None:
    async with ask.session() as session:
        await messages.delete_message(
            session, ask.parts.media, account_id, message_id, by=ask.identity.token_id
        )


@resource.get("/messages/{message_id}/audio", "メッセージの音声ファイル", produces="audio/wav")
async def get_message_audio(
    ask: Ask, account_id: str, message_id: str, query: AudioQuery
) -> web.StreamResponse:
    async with ask.session() as session:
        message = await messages.get_message(session, account_id, message_id)
    path = ask.parts.media.path(message.media)
    return await send_wav(ask.request, path, message.sha256, _file_name(message) if query.download else None)


async def _delete_if_there(ask: Ask, account_id: str, message_id: str) -> Deletion:
    # A transaction each: a failure halfway must not bring back rows whose files are gone.
    try:
        await delete_message(ask, account_id, message_id)
    except NotFound:
        return Deletion(id=message_id, result="not_found")
    return Deletion(id=message_id, result="deleted")


def _file_name(message: VoiceMessage) -> str:
    caller = national(E164(message.caller)) if message.caller else NO_CALLER[message.caller_kind]
    return f"留守レポ_{message.started_at.astimezone(JAPAN):%Y%m%d_%H%M%S}_{caller}.wav"
