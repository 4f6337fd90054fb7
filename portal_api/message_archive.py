"""The ZIP of chosen messages: their sound, and `index.csv`, a table for a spreadsheet."""

import asyncio
import csv
import io
import logging
import unicodedata
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from pathlib import Path

import phonenumbers

from portal_api.audio import SoundFormat
from portal_api.mp3 import NotConverted, make_mp3
from portal_api.schemas import JAPAN
from portal_api.zip_stream import Member, Members, unique_name
from store.e164 import E164, is_japanese, national
from store.media import Media
from store.models import CallerKind, EndedBy, MessageStatus, VoiceMessage, now

log = logging.getLogger(__name__)

CHUNK = 64 * 1024
INDEX = "index.csv"
COLUMNS = (
    "日時",
    "着信番号",
    "発信者",
    "発信者名",
    "秒数",
    "終了理由",
    "状態",
    "文字起こし",
    "ファイル名",
    "メモ",
    "備考",
)
NO_CALLER = {
    CallerKind.NUMBER: "番号不明",
    CallerKind.WITHHELD: "非通知",
    CallerKind.PAYPHONE: "公衆電話",
    CallerKind.UNAVAILABLE: "表示圏外",
}
ENDED_BY = {
    EndedBy.HASH: "#",
    EndedBy.LIMIT: "時間の上限",
    EndedBy.HANGUP: "切断",
    EndedBy.SILENCE: "無音",
    EndedBy.ERROR: "障害",
}
STATUS = {
    MessageStatus.OPEN: "未対応",
    MessageStatus.IN_PROGRESS: "対応中",
    MessageStatus.DONE: "完了",
}
NOT_FOUND = "見つかりません"
NO_SOUND = "音声ファイルがありません"
BROKEN_OFF = "音声ファイルを最後まで読み取れませんでした"
NOT_AS_MP3 = "音声を変換できませんでした"
STARTS_A_FORMULA = set("=+-@\t\r\n|")

Row = tuple[str, ...]


def file_name(message: VoiceMessage, sound: SoundFormat) -> str:
    """A name for the message's sound: when, and from whom."""
    caller = national(E164(message.caller)) if message.caller else NO_CALLER[message.caller_kind]
    return f"留守レポ_{message.started_at.astimezone(JAPAN):%Y%m%d_%H%M%S}_{caller}.{sound}"


async def archive(
    wanted: Sequence[VoiceMessage | str],
    media: Media,
    sound: SoundFormat,
    turns: asyncio.Semaphore,
    said: Callable[[VoiceMessage], str],
    name_of: Callable[[VoiceMessage], str],
) -> Members:
    """Give the files of the ZIP; an id in `wanted` is one that was not found. `said` gives a message's
    text, `name_of` its caller's name.

    What is wrong with one file stands in the index, which comes last, and stops no other.
    """
    rows: list[Row] = []
    names = {INDEX}
    for one in wanted:
        if isinstance(one, str):
            rows.append(_row_without_message(one))
            continue
        opened, trouble = await _open(media.path(one.media), sound, turns)
        name = "" if opened is None else unique_name(file_name(one, sound), names)
        remarks = [trouble]
        if opened is not None:
            yield Member(name, one.started_at.astimezone(JAPAN), _content(opened, remarks))
        rows.append(_row(one, said(one), name_of(one), name, remarks[-1]))
    yield Member(INDEX, now().astimezone(JAPAN), _text(rows))


async def _open(
    path: Path, sound: SoundFormat, turns: asyncio.Semaphore
) -> tuple[io.BufferedIOBase | None, str]:
    """The file to send, or None and why there is none."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except OSError:
        return None, NO_SOUND
    if sound == "wav":
        return file, ""
    file.close()
    try:
        return io.BytesIO(await make_mp3(path, turns)), ""
    except NotConverted:
        return None, NOT_AS_MP3


async def _content(file: io.BufferedIOBase, remarks: list[str]) -> AsyncGenerator[bytes, None]:
    with file:
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        except OSError as broken:
            log.error("a message's file broke off: %s", broken.strerror, extra={"action": "media_unreadable"})
            remarks.append(BROKEN_OFF)


def _row(message: VoiceMessage, said: str, caller_name: str, name: str, remark: str) -> Row:
    at: datetime = message.started_at.astimezone(JAPAN)
    return (
        f"{at:%Y-%m-%d %H:%M:%S}",
        _written(E164(message.number.e164)),
        _written(E164(message.caller)) if message.caller else NO_CALLER[message.caller_kind],
        caller_name,
        f"{message.duration_s:.1f}",
        ENDED_BY[message.ended_by],
        STATUS[message.status],
        said,
        name,
        message.note,
        remark,
    )


def _row_without_message(message_id: str) -> Row:
    return (*[""] * (len(COLUMNS) - 1), f"{NOT_FOUND}: {message_id}")


def _written(number: E164) -> str:
    """As people write it, with hyphens: a spreadsheet takes bare digits for a quantity and drops the 0."""
    style = phonenumbers.PhoneNumberFormat
    how = style.NATIONAL if is_japanese(number) else style.INTERNATIONAL
    return phonenumbers.format_number(phonenumbers.parse(number), how)


async def _text(rows: Sequence[Row]) -> AsyncGenerator[bytes, None]:
    """The table as CSV. It begins with a byte order mark, or Excel would not take it for UTF-8."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows([harmless(cell) for cell in row] for row in rows)
    yield text.getvalue().encode("utf-8-sig")


def harmless(cell: str) -> str:
    """`cell` so that no spreadsheet takes it for a formula; wide signs count as their narrow twins."""
    starts = unicodedata.normalize("NFKC", cell.lstrip()[:1])
    return f"'{cell}" if cell[:1] in STARTS_A_FORMULA or starts in STARTS_A_FORMULA else cell
