"""`/faxes`: the trays."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from aiohttp import web
from pydantic import BaseModel, Field

from faxpages.contents import Tried
from faxpages.workshop import gothic
from portal_api.audio import AudioQuery, disposition, send_pdf, unchanging
from portal_api.bulk import Ids, Markings, Selection
from portal_api.fax_archive import archive, file_name, reported, tried
from portal_api.problems import Problem
from portal_api.routing import API, Ask, Resource
from portal_api.schemas import (
    JAPAN,
    Body,
    IdGiven,
    NumberGiven,
    PageOf,
    PageQuery,
    TimeGiven,
    Timestamp,
)
from portal_api.zip_stream import send_zip
from store import faxes
from store.e164 import E164
from store.fax_queue import attempts_of
from store.faxes import Deleted, FaxCount, FaxFilter
from store.models import (
    CallerKind,
    FaxDirection,
    FaxResultClass,
    FaxState,
    FaxTransport,
    now,
)
from store.models import Fax as FaxRow

resource = Resource("FAX")

MOST_PAGE_DIGITS = 4


class Result(BaseModel):
    """結果。送信を繰り返している間は、前回の結果"""

    class_: FaxResultClass = Field(
        alias="class",
        serialization_alias="class",
        description="busy: 話中、no_answer: 応答なし、not_a_fax: FAX以外が応答、cut_off: 途中切断、"
        "bad_line: 通信不成立、not_capable: 相手機能不足、bad_number: 番号不正、refused: 拒否、"
        "network: 網の都合、unknown: 届いたか不明、bad_document: 文書の問題、cancelled: 取り消し、"
        "damaged: 一部乱れあり、our_fault: 送信側の問題、ok: 正常",
    )
    code: str = Field(description="T.30(t30_…)、SIP(sip_…)、Q.850(q850_…)などのコード")
    text: str


class Fax(BaseModel):
    """送受信したFAX"""

    id: str
    direction: FaxDirection
    state: FaxState = Field(
        description="preparing: 変換中、waiting: 待機中、dialling: 発信中、sending: 送信中、"
        "sent: 送信済み、failed: 失敗、cancelled: 取り消し、received: 受信済み、partial: 途中まで受信"
    )
    number_id: str
    number: str = Field(description="このアカウントのFAX番号", examples=["+81312345679"])
    other_party: str | None = Field(description="相手の番号。ないときは理由がother_party_kindにある")
    other_party_kind: CallerKind
    remote_station: str = Field(description="相手機が名乗った番号(CSI/TSI)")
    file_name: str
    pages: int | None
    pages_done: int
    result: Result | None
    transport: FaxTransport | None
    started_at: Timestamp = Field(description="受信を始めた日時。送信では、受け付けた日時か予約の日時")
    ended_at: Timestamp | None
    duration_s: float | None = Field(description="通話の秒数。繰り返したときは合計")
    rate: int | None = Field(description="通信速度(bit/s)")
    ecm: bool | None
    resolution: str = Field(description="1メートルあたりの画素数。8031x7700はファイン")
    bad_rows: int = Field(description="乱れていた行の数(ECMでない受信)")
    attempts: int
    submission_id: str | None
    call_id: str | None = Field(description="通話のID。送信では最後の発信のもの")
    read: bool
    read_at: Timestamp | None
    created_at: Timestamp

    @classmethod
    def of(cls, fax: FaxRow) -> Self:
        return cls(
            id=fax.id,
            direction=fax.direction,
            state=fax.state,
            number_id=fax.number_id,
            number=fax.number.e164,
            other_party=fax.other_party,
            other_party_kind=fax.other_party_kind,
            remote_station=fax.remote_station,
            file_name=fax.file_name,
            pages=fax.pages,
            pages_done=fax.pages_done,
            result=_result(fax),
            transport=fax.transport,
            started_at=fax.started_at,
            ended_at=fax.ended_at,
            duration_s=fax.duration_s,
            rate=fax.rate,
            ecm=fax.ecm,
            resolution=fax.resolution,
            bad_rows=fax.bad_rows,
            attempts=fax.attempts,
            submission_id=fax.submission_id,
            call_id=fax.call_id,
            read=fax.read_at is not None,
            read_at=fax.read_at,
            created_at=fax.created_at,
        )


def _result(fax: FaxRow) -> Result | None:
    if fax.result_class is None:
        return None
    return Result.model_validate(
        {"class": fax.result_class, "code": fax.result_code or "", "text": fax.result_text or ""}
    )


class Faxes(PageOf[Fax]):
    """FAXの1ページ。新しい順"""


class NumberTrays(BaseModel):
    number_id: str
    number: str
    received: int
    unread: int
    sent: int = Field(description="送信済みトレイの件数(送信中、失敗を含む)")

    @classmethod
    def of(cls, count: FaxCount) -> Self:
        return cls.model_validate(count, from_attributes=True)


class Trays(BaseModel):
    """FAXのある電話番号ごとの件数"""

    numbers: list[NumberTrays]


class FaxQuery(PageQuery):
    number_id: IdGiven | None = None
    number: NumberGiven | None = Field(default=None, description="このアカウントの電話番号。どの書き方でも")
    direction: FaxDirection | None = Field(default=None, description="in: 受信トレイ、out: 送信済みトレイ")
    state: FaxState | None = None
    other_party: NumberGiven | None = Field(default=None, description="相手の番号。どの書き方でも")
    submission_id: IdGiven | None = None
    since: TimeGiven | None = Field(default=None, alias="from", description="この日時以降(この日時を含む)")
    until: TimeGiven | None = Field(
        default=None, alias="to", description="この日時より前(この日時を含まない)"
    )
    read: bool | None = Field(default=None, description="falseで未読だけ、trueで既読だけ")
    device_id: IdGiven | None = Field(default=None, description="アクセス設定で、このIDが見られるものだけ")

    def filter(self) -> FaxFilter:
        return FaxFilter(
            number_id=self.number_id,
            number=E164(self.number) if self.number is not None else None,
            direction=self.direction,
            states=(self.state,) if self.state is not None else (),
            other_party=E164(self.other_party) if self.other_party is not None else None,
            submission_id=self.submission_id,
            since=self.since,
            until=self.until,
            read=self.read,
            device_id=self.device_id,
        )


class FaxChange(Body):
    read: bool = Field(description="既読にする、未読に戻す")


class FaxFileQuery(AudioQuery):
    mark_read: bool = Field(default=False, description="1: 見たものとして既読にする(HEADでは変えない)")


class FaxMarking(Body):
    ids: Ids
    read: bool = Field(description="既読にする、未読に戻す")


class FaxDeletion(BaseModel):
    id: str
    result: Deleted = Field(description="under_wayは送信中のもの、failedはファイルを削除できず残したもの")


class FaxDeletions(BaseModel):
    results: list[FaxDeletion]


@resource.get("/faxes", "FAXの一覧(受信トレイ、送信済みトレイ)")
async def list_faxes(ask: Ask, account_id: str, query: FaxQuery) -> Faxes:
    async with ask.session() as session:
        page = await faxes.list_faxes(session, account_id, query.filter(), query.page())
    return Faxes(items=[Fax.of(row) for row in page.items], next=page.next_text)


@resource.get("/faxes/summary", "未読などの数")
async def get_fax_summary(ask: Ask, account_id: str) -> Trays:
    async with ask.session() as session:
        counts = await faxes.count_faxes(session, account_id)
    return Trays(numbers=[NumberTrays.of(count) for count in counts])


@resource.post("/faxes:delete", "FAXをまとめて削除する")
async def delete_faxes(ask: Ask, account_id: str, body: Selection) -> FaxDeletions:
    by = ask.identity.by
    outcome = await faxes.delete_faxes(ask.session, ask.parts.media, account_id, body.ids, by)
    return FaxDeletions(results=[FaxDeletion(id=one, result=result) for one, result in outcome.items()])


@resource.post("/faxes:mark", "FAXの既読をまとめて変える")
async def mark_faxes(ask: Ask, account_id: str, body: FaxMarking) -> Markings:
    async with ask.session() as session:
        changed = await faxes.mark_faxes(session, account_id, body.ids, body.read, by=ask.identity.by)
    return Markings.of(body.ids, changed)


@resource.post("/faxes:download", "FAXのPDFと一覧表(index.csv)をZIPで取得する", produces="application/zip")
async def download_faxes(ask: Ask, account_id: str, body: Selection) -> web.StreamResponse:
    async with ask.session() as session:
        found = await faxes.read_faxes(session, account_id, body.ids)
    members = archive([found.get(one) or one for one in body.ids], ask.parts.media)
    name = f"FAX_{now().astimezone(JAPAN):%Y%m%d_%H%M%S}.zip"
    return await send_zip(ask.request, members, disposition(name, "faxes.zip"))


@resource.get("/faxes/{fax_id}", "1件のFAX")
async def get_fax(ask: Ask, account_id: str, fax_id: str) -> Fax:
    async with ask.session() as session:
        return Fax.of(await faxes.get_fax(session, account_id, fax_id))


@resource.patch("/faxes/{fax_id}", "FAXの既読を変える")
async def change_fax(ask: Ask, account_id: str, fax_id: str, body: FaxChange) -> Fax:
    async with ask.session() as session:
        await faxes.mark_faxes(session, account_id, [fax_id], body.read, by=ask.identity.by)
        return Fax.of(await faxes.get_fax(session, account_id, fax_id))


@resource.delete("/faxes/{fax_id}", "FAXを削除する")
async def delete_fax(ask: Ask, account_id: str, fax_id: str) -> None:
    async with ask.session() as session:
        result = await faxes.delete_fax(session, ask.parts.media, account_id, fax_id, by=ask.identity.by)
    if result == "not_found":
        raise Problem("not_found")
    if result == "under_way":
        raise Problem("fax_under_way")


@resource.get("/faxes/{fax_id}/pdf", "FAXのPDF", produces="application/pdf")
async def get_fax_pdf(ask: Ask, account_id: str, fax_id: str, query: FaxFileQuery) -> web.StreamResponse:
    marks = query.mark_read and ask.request.method == "GET"
    if marks:
        ask.demand("PATCH", f"{API}/faxes/{{fax_id}}")
    async with ask.session() as session:
        if marks:
            await faxes.mark_faxes(session, account_id, [fax_id], True, by=ask.identity.by)
        fax = await faxes.get_fax(session, account_id, fax_id)
    if fax.pdf is None or fax.pdf_sha256 is None:
        raise Problem("fax_file_missing")
    name = file_name(fax) if query.download else None
    return await send_pdf(ask.request, ask.parts.media.path(fax.pdf), fax.pdf_sha256, name)


@resource.get("/faxes/{fax_id}/pages/{page}", "FAXの1ページの画像(1から数える)", produces="image/png")
async def get_fax_page(ask: Ask, account_id: str, fax_id: str, page: str) -> web.StreamResponse:
    async with ask.session() as session:
        fax = await faxes.get_fax(session, account_id, fax_id)
    if not (page.isascii() and page.isdecimal() and 0 < len(page) <= MOST_PAGE_DIGITS and int(page)):
        raise Problem("not_found")
    if fax.tiff is None:
        raise Problem("fax_file_missing")
    path = ask.parts.media.path(fax.tiff)
    async with ask.parts.conversions:
        png = await asyncio.to_thread(_png, path, int(page))
    if png is None:
        raise Problem("not_found")
    return unchanging(ask.request, png, "image/png")


@resource.get("/faxes/{fax_id}/report", "送信レポート(PDF)", produces="application/pdf")
async def get_fax_report(ask: Ask, account_id: str, fax_id: str) -> web.StreamResponse:
    async with ask.session() as session:
        fax = await faxes.get_fax(session, account_id, fax_id)
        rows = tried(await attempts_of(session, fax_id))
    if fax.direction is not FaxDirection.OUT:
        raise Problem("not_found")
    async with ask.parts.conversions:
        first = ask.parts.media.path(fax.tiff) if fax.tiff else None
        pdf = await asyncio.to_thread(_report, reported(fax), rows, first)
    headers = {"Content-Disposition": disposition(f"送信レポート_{file_name(fax)}", "report.pdf")}
    return web.Response(body=pdf, content_type="application/pdf", headers=headers)


def _png(path: Path, page: int) -> bytes | None:
    # What draws pages is large, and most portals never ask for one.
    from faxpages.tiffs import png_of

    return png_of(path, page) if path.is_file() else None


def _report(facts: Sequence[tuple[str, str]], rows: Sequence[Tried], tiff: Path | None) -> bytes:
    # A report is seldom drawn, and what draws it is large.
    from faxpages.paper import write_report

    with tempfile.TemporaryDirectory() as folder:
        out, picture = Path(folder) / "report.pdf", Path(folder) / "page.png"
        png = _png(tiff, 1) if tiff else None
        if png:
            picture.write_bytes(png)
        write_report(facts, rows, picture if png else None, out, gothic())
        return out.read_bytes()
