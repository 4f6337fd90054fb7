"""Call details as a table for spreadsheets: CSV with Japanese headings. Pure.

What stands in a cell may come from outside: no spreadsheet takes it for a formula. A number's + would be the
beginning of one, and get an apostrophe; numbers are therefore written as dialled in Japan.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from portal_api.archives import harmless
from store.calls import JAPAN
from store.e164 import E164, national
from store.models import CallerKind

HEADINGS = (
    "通話ID",
    "区分",
    "電話番号",
    "端末",
    "相手先",
    "開始日時",
    "応答日時",
    "終了日時",
    "通話秒数",
    "結果",
    "通話料(円)",
)
DIRECTIONS = {"inbound": "着信", "outbound": "発信", "internal": "内線"}
KINDS = {
    CallerKind.WITHHELD: "非通知",
    CallerKind.PAYPHONE: "公衆電話",
    CallerKind.UNAVAILABLE: "表示圏外",
}
RESULTS = {
    "answered": "応答",
    "message": "伝言あり",
    "no_message": "伝言なし",
    "no_answer": "応答なし",
    "busy": "話中",
    "hung_up": "切断",
    "cancelled": "取消",
    "unknown_number": "番号なし",
    "not_in_service": "取扱なし",
    "unreachable": "接続不可",
    "refused": "拒否",
    "failed": "失敗",
    "ended_unseen": "終了未確認",
}


class Encoding(StrEnum):
    UTF_8 = "utf-8"
    SHIFT_JIS = "shift_jis"

    @property
    def charset(self) -> str:
        return "utf-8" if self is Encoding.UTF_8 else "Shift_JIS"

    @property
    def codec(self) -> str:
        """What Windows means by Shift_JIS: with ①, ㈱ and 髙."""
        return "utf-8" if self is Encoding.UTF_8 else "cp932"


@dataclass(frozen=True)
class Line:
    """One call. Times are aware; `seconds` from answer to end."""

    call_id: str
    direction: str
    number: str
    device: str
    other_party: str | None
    caller_kind: CallerKind
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    seconds: int | None
    result: str | None
    charge: int | None


def begin_table(encoding: Encoding) -> bytes:
    """The line of headings, after the mark by which Excel knows UTF-8."""
    mark = b"\xef\xbb\xbf" if encoding is Encoding.UTF_8 else b""
    return mark + _written([list(HEADINGS)], encoding)


def table_lines(lines: Iterable[Line], encoding: Encoding) -> bytes:
    """A line per call. What the encoding has no sign for becomes `?`."""
    return _written([_cells(line) for line in lines], encoding)


def _written(rows: list[list[str]], encoding: Encoding) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(encoding.codec, errors="replace")


def _cells(line: Line) -> list[str]:
    other = line.other_party
    cells = [
        line.call_id,
        DIRECTIONS.get(line.direction, line.direction),
        national(E164(line.number)),
        line.device,
        national(E164(other)) if other else KINDS.get(line.caller_kind, ""),
        *(_local(at) for at in (line.started_at, line.answered_at, line.ended_at)),
        "" if line.seconds is None else str(line.seconds),
        RESULTS.get(line.result or "", line.result or ""),
        "" if line.charge is None else str(line.charge),
    ]
    return [harmless(cell) for cell in cells]


def _local(at: datetime | None) -> str:
    return at.astimezone(JAPAN).strftime("%Y-%m-%d %H:%M:%S") if at else ""
