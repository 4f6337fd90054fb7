"""`/recordings` and `/numbers/{id}/recording`: what is recorded of calls (通話録音)."""

import asyncio
from collections.abc import Sequence
from typing import Literal, Self

from aiohttp import web
from pydantic import BaseModel, Field

from portal_api.audio import SoundFormat, SoundQuery, disposition, send_mp3, send_wav
from portal_api.bulk import Ids, Selection
from portal_api.mp3 import ffmpeg
from portal_api.recording_archive import archive, file_name
from portal_api.routing import Ask, Resource
from portal_api.schemas import JAPAN, Body, IdGiven, NumberGiven, PageOf, PageQuery, TimeGiven, Timestamp
from portal_api.zip_stream import send_zip
from store import recording_settings, recordings
from store.e164 import E164
from store.models import CallerKind, TranscriptState, now
from store.models import Recording as RecordingRow
from store.recording_settings import RecordingChoice
from store.recordings import Deleted, Direction, RecordingFilter

resource = Resource("通話録音")

CHANNELS = 2


class RecordingSetting(BaseModel):
    """この番号の通話録音"""

    inbound: bool = Field(description="着信した通話をすべて録音する")
    outbound: bool = Field(description="発信した通話をすべて録音する")
    announcement: bool = Field(description="録音を始める前に、相手に音声を流す")
    prompt_id: str | None = Field(description="流す音声")
    transcribe: bool = Field(description="録音を文字起こしする")

    @classmethod
    def of(cls, choice: RecordingChoice) -> Self:
        return cls(**vars(choice))


class RecordingSettingChange(Body):
    """次の通話から有効。案内をONにするには、この番号の音声(prompt_id)が必要"""

    inbound: bool
    outbound: bool
    announcement: bool
    prompt_id: IdGiven | None = None
    transcribe: bool = False


class Announcement(BaseModel):
    """録音前に相手に流した案内の証跡。当時の内容の写し"""

    prompt_id: str
    played_to_end: bool = Field(description="最後まで流れたか")
    started_at: Timestamp | None
    ended_at: Timestamp | None
    sha256: str | None = Field(description="流した音声ファイル(WAV)のSHA-256")
    text: str | None = Field(description="音声を生成したテキスト。ファイルから登録した音声ではnull")
    played_to: str | None = Field(description="流した相手の番号。番号がないときはnull")


class RecordedSpan(BaseModel):
    since: Timestamp = Field(alias="from")
    until: Timestamp = Field(alias="to")


class RecordingTranscript(BaseModel):
    """文字起こし。文字起こしをしない設定ではnull"""

    state: TranscriptState
    text: str | None = Field(description="発言ごとに1行。「相手: 」「自分: 」で始まる")


class Recording(BaseModel):
    id: str
    call_id: str
    number_id: str
    number: str = Field(description="このアカウントの電話番号", examples=["+81312345678"])
    direction: Direction
    other_party: str | None = Field(description="相手の番号。ないときは理由がother_party_kindにある")
    other_party_kind: CallerKind
    started_at: Timestamp
    ended_at: Timestamp
    duration_s: float = Field(description="音声の長さ。一時停止の間は含まない")
    sections: list[RecordedSpan] = Field(description="一時停止で分かれた区間。音声には続けて入っている")
    complete: bool = Field(description="falseは、障害で終わりが欠けているもの")
    audio: Literal["stored", "missing"] = Field(description="音声ファイルがあるか。missingは失われている")
    announcement: Announcement | None = Field(description="案内を流していないときはnull")
    transcript: RecordingTranscript | None
    delete_at: Timestamp = Field(description="この日時を過ぎると自動で削除される")

    @classmethod
    def of(cls, row: RecordingRow, has_audio: bool) -> Self:
        return cls(
            id=row.id,
            call_id=row.call_id,
            number_id=row.number_id,
            number=row.number.e164,
            direction="outbound" if row.direction == "outbound" else "inbound",
            other_party=row.other_party,
            other_party_kind=row.other_party_kind,
            started_at=row.started_at,
            ended_at=row.ended_at,
            duration_s=row.duration_s,
            sections=[RecordedSpan.model_validate(section) for section in row.sections],
            complete=row.complete,
            audio="stored" if has_audio else "missing",
            announcement=_announcement(row),
            transcript=(
                RecordingTranscript(state=row.transcript.state, text=row.transcript.text)
                if row.transcript
                else None
            ),
            delete_at=row.created_at + recordings.KEPT_FOR,
        )


class Recordings(PageOf[Recording]):
    """通話録音の1ページ。新しい順"""


class RecordingQuery(PageQuery):
    number_id: IdGiven | None = None
    number: NumberGiven | None = Field(
        default=None, description="このアカウントの電話番号。03-1234-5678、+81… などどの書き方でも"
    )
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降(この日時を含む)")
    until: TimeGiven | None = Field(
        default=None, alias="to", description="この日時より前(この日時を含まない)"
    )
    other_party: NumberGiven | None = Field(default=None, description="相手の番号。どの書き方でも")
    caller: NumberGiven | None = Field(default=None, description="other_partyと同じ")
    direction: Direction | None = Field(default=None, description="inbound: 着信、outbound: 発信")
    call_id: IdGiven | None = None

    def filter(self) -> RecordingFilter:
        other_party = self.other_party if self.other_party is not None else self.caller
        return RecordingFilter(
            number_id=self.number_id,
            number=E164(self.number) if self.number is not None else None,
            since=self.since,
            until=self.until,
            other_party=E164(other_party) if other_party is not None else None,
            direction=self.direction,
            call_id=self.call_id,
        )


class RecordingDownload(Body):
    ids: Ids
    format: SoundFormat = Field(default="wav", description="音声の形式")


class RecordingDeletion(BaseModel):
    id: str
    result: Deleted = Field(description="failedは音声ファイルを削除できず、録音も残したもの")


class RecordingDeletions(BaseModel):
    results: list[RecordingDeletion]


@resource.get("/numbers/{number_id}/recording", "通話録音の設定")
async def get_recording_setting(ask: Ask, account_id: str, number_id: str) -> RecordingSetting:
    async with ask.session() as session:
        choice = await recording_settings.get_recording_setting(session, account_id, number_id)
    return RecordingSetting.of(choice)


@resource.put("/numbers/{number_id}/recording", "通話録音と、録音前の案内を設定する")
async def set_recording(
    ask: Ask, account_id: str, number_id: str, body: RecordingSettingChange
) -> RecordingSetting:
    wanted = RecordingChoice(**body.model_dump())
    async with ask.session() as session:
        choice = await recording_settings.set_recording(session, account_id, number_id, wanted)
    return RecordingSetting.of(choice)


@resource.get("/recordings", "通話録音の一覧")
async def list_recordings(ask: Ask, account_id: str, query: RecordingQuery) -> Recordings:
    async with ask.session() as session:
        page = await recordings.list_recordings(session, account_id, query.filter(), query.page())
    return Recordings(items=await _shown(ask, page.items), next=page.next_text)


@resource.post("/recordings:delete", "通話録音をまとめて削除する")
async def delete_recordings(ask: Ask, account_id: str, body: Selection) -> RecordingDeletions:
    outcome = await recordings.delete_recordings(
        ask.session, ask.parts.media, account_id, body.ids, by=ask.identity.by
    )
    return RecordingDeletions(
        results=[RecordingDeletion(id=one, result=result) for one, result in outcome.items()]
    )


@resource.post(
    "/recordings:download",
    "通話録音の音声と一覧表(index.csv)をZIPで取得する",
    produces="application/zip",
)
async def download_recordings(ask: Ask, account_id: str, body: RecordingDownload) -> web.StreamResponse:
    if body.format == "mp3":
        ffmpeg()
    async with ask.session() as session:
        found = await recordings.read_recordings(session, account_id, body.ids)
    wanted = [found.get(one) or one for one in body.ids]
    members = archive(wanted, ask.parts.media, body.format, ask.parts.conversions)
    name = f"通話録音_{now().astimezone(JAPAN):%Y%m%d_%H%M%S}.zip"
    return await send_zip(ask.request, members, disposition(name, "recordings.zip"))


@resource.get("/recordings/{recording_id}", "通話録音")
async def get_recording(ask: Ask, account_id: str, recording_id: str) -> Recording:
    async with ask.session() as session:
        row = await recordings.get_recording(session, account_id, recording_id)
    return (await _shown(ask, [row]))[0]


@resource.delete("/recordings/{recording_id}", "通話録音を音声ごと削除する")
async def delete_recording(ask: Ask, account_id: str, recording_id: str) -> None:
    async with ask.session() as session:
        await recordings.delete_recording(
            session, ask.parts.media, account_id, recording_id, by=ask.identity.by
        )


@resource.get(
    "/recordings/{recording_id}/audio",
    "通話録音の音声ファイル。ステレオで、左が相手、右が自分",
    produces=("audio/wav", "audio/mpeg"),
)
async def get_recording_audio(
    ask: Ask, account_id: str, recording_id: str, query: SoundQuery
) -> web.StreamResponse:
    async with ask.session() as session:
        row = await recordings.get_recording(session, account_id, recording_id)
    path = ask.parts.media.path(row.media)
    name = file_name(row, query.format) if query.download else None
    if query.format == "mp3":
        return await send_mp3(ask.request, path, ask.parts.conversions, name, CHANNELS)
    return await send_wav(ask.request, path, row.sha256, name)


def _announcement(row: RecordingRow) -> Announcement | None:
    if row.announcement_prompt_id is None:
        return None
    return Announcement(
        prompt_id=row.announcement_prompt_id,
        played_to_end=bool(row.announcement_played_to_end),
        started_at=row.announcement_started_at,
        ended_at=row.announcement_ended_at,
        sha256=row.announcement_sha256,
        text=row.announcement_text,
        played_to=row.other_party,
    )


async def _shown(ask: Ask, rows: Sequence[RecordingRow]) -> list[Recording]:
    missing = await asyncio.to_thread(ask.parts.media.missing, [row.media for row in rows])
    return [Recording.of(row, has_audio=row.media not in missing) for row in rows]
