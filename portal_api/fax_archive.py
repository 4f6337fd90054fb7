"""Faxes as files: their names, the ZIP of chosen ones with its `index.csv`, and what a report says of one."""

import asyncio
import csv
import io
import logging
from collections.abc import AsyncGenerator, Sequence

from faxpages.contents import Tried
from portal_api.archives import NO_CALLER, NOT_FOUND, harmless
from portal_api.schemas import JAPAN
from portal_api.zip_stream import Member, Members, unique_name
from store.e164 import E164, national
from store.media import Media
from store.models import Fax, FaxAttempt, FaxDirection, FaxResultClass, FaxState, FaxTransport, now

log = logging.getLogger(__name__)

CHUNK = 64 * 1024
INDEX = "index.csv"
COLUMNS = ("日時", "送受信", "FAX番号", "相手", "ページ", "状態", "結果", "コード", "ファイル名", "備考")
DIRECTION = {FaxDirection.IN: "受信", FaxDirection.OUT: "送信"}
STATE = {
    FaxState.PREPARING: "変換中",
    FaxState.WAITING: "待機中",
    FaxState.DIALLING: "発信中",
    FaxState.SENDING: "送信中",
    FaxState.SENT: "送信済み",
    FaxState.FAILED: "失敗",
    FaxState.CANCELLED: "取り消し",
    FaxState.RECEIVED: "受信済み",
    FaxState.PARTIAL: "途中まで受信",
}
RESULT = {
    FaxResultClass.OK: "正常",
    FaxResultClass.DAMAGED: "一部に乱れ",
    FaxResultClass.BUSY: "話中",
    FaxResultClass.NO_ANSWER: "応答なし",
    FaxResultClass.NOT_A_FAX: "FAX以外が応答",
    FaxResultClass.CUT_OFF: "途中切断",
    FaxResultClass.BAD_LINE: "通信不成立",
    FaxResultClass.NOT_CAPABLE: "相手機能不足",
    FaxResultClass.BAD_NUMBER: "番号不正",
    FaxResultClass.REFUSED: "拒否",
    FaxResultClass.NETWORK: "接続できず",
    FaxResultClass.UNKNOWN: "到達不明",
    FaxResultClass.BAD_DOCUMENT: "文書の問題",
    FaxResultClass.CANCELLED: "取り消し",
    FaxResultClass.OUR_FAULT: "送信側の問題",
}
TRANSPORT = {FaxTransport.T38: "T.38", FaxTransport.G711: "G.711"}
NO_FILE = "ファイルがありません"

Row = tuple[str, ...]


def other_party(fax: Fax) -> str:
    """The far side in words."""
    return national(E164(fax.other_party)) if fax.other_party else NO_CALLER[fax.other_party_kind]


def file_name(fax: Fax) -> str:
    """A name for the fax's PDF: which way, when, with whom."""
    at = f"{fax.started_at.astimezone(JAPAN):%Y%m%d_%H%M%S}"
    return f"FAX{DIRECTION[fax.direction]}_{at}_{other_party(fax)}.pdf"


async def archive(wanted: Sequence[Fax | str], media: Media) -> Members:
    """Give the files of the ZIP; an id in `wanted` is one that was not found. The index comes last."""
    rows: list[Row] = []
    names = {INDEX}
    for one in wanted:
        if isinstance(one, str):
            rows.append((*[""] * (len(COLUMNS) - 1), f"{NOT_FOUND}: {one}"))
            continue
        opened = await asyncio.to_thread(_open, media, one.pdf)
        name = "" if opened is None else unique_name(file_name(one), names)
        if opened is not None:
            yield Member(name, one.started_at.astimezone(JAPAN), _content(opened))
        rows.append(_row(one, name, "" if opened else NO_FILE))
    yield Member(INDEX, now().astimezone(JAPAN), _text(rows))


def _open(media: Media, name: str | None) -> io.BufferedReader | None:
    try:
        return media.path(name).open("rb") if name else None
    except OSError:
        return None


async def _content(file: io.BufferedReader) -> AsyncGenerator[bytes, None]:
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


def _row(fax: Fax, name: str, remark: str) -> Row:
    return (
        f"{fax.started_at.astimezone(JAPAN):%Y-%m-%d %H:%M:%S}",
        DIRECTION[fax.direction],
        national(E164(fax.number.e164)),
        other_party(fax),
        pages_of(fax),
        STATE[fax.state],
        fax.result_text or "",
        fax.result_code or "",
        name,
        remark,
    )


def pages_of(fax: Fax) -> str:
    if fax.direction is FaxDirection.IN or fax.pages is None:
        return str(fax.pages_done)
    return f"{fax.pages_done}/{fax.pages}"


async def _text(rows: Sequence[Row]) -> AsyncGenerator[bytes, None]:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows([harmless(cell) for cell in row] for row in rows)
    yield text.getvalue().encode("utf-8-sig")


def reported(fax: Fax) -> list[tuple[str, str]]:
    """What a transmission report says of the fax."""
    ended = f"{fax.ended_at.astimezone(JAPAN):%Y/%m/%d %H:%M:%S}" if fax.ended_at else ""
    facts = [
        ("結果", f"{STATE[fax.state]} {fax.result_text or ''}".strip()),
        ("コード", fax.result_code or ""),
        ("送信先", other_party(fax)),
        ("相手局", fax.remote_station),
        ("送信元", national(E164(fax.number.e164))),
        ("文書", fax.file_name),
        ("ページ", pages_of(fax)),
        ("受付日時", f"{fax.created_at.astimezone(JAPAN):%Y/%m/%d %H:%M:%S}"),
        ("終了日時", ended),
        ("通信時間", f"{fax.duration_s:.0f}秒" if fax.duration_s is not None else ""),
        (
            "方式",
            " ".join(filter(None, (_transport(fax.transport), f"{fax.rate} bit/s" if fax.rate else ""))),
        ),
    ]
    return [(label, text) for label, text in facts if text]


def tried(attempts: Sequence[FaxAttempt]) -> list[Tried]:
    """Each call of the fax for its report."""
    return [
        Tried(
            at=one.started_at,
            result=RESULT[one.result_class] if one.result_class else "通信中",
            code=one.result_code or "",
            pages=f"{one.first_page}〜" if not one.pages_done else f"{one.first_page}〜{_last(one)}",
            transport=_transport(one.mode or one.transport),
        )
        for one in attempts
    ]


def _last(attempt: FaxAttempt) -> int:
    return attempt.first_page + attempt.pages_done - 1


def _transport(transport: FaxTransport | None) -> str:
    return TRANSPORT[transport] if transport else ""
