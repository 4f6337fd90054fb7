"""What every ZIP of sounds is made of: the files, and the table that says what they are."""

import asyncio
import csv
import io
import logging
import unicodedata
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import phonenumbers

from portal_api.audio import SoundFormat
from portal_api.mp3 import NotConverted, make_mp3
from store.e164 import E164, is_japanese
from store.models import CallerKind

log = logging.getLogger(__name__)

CHUNK = 64 * 1024
INDEX = "index.csv"
NO_CALLER = {
    CallerKind.NUMBER: "番号不明",
    CallerKind.WITHHELD: "非通知",
    CallerKind.PAYPHONE: "公衆電話",
    CallerKind.UNAVAILABLE: "表示圏外",
}
NOT_FOUND = "見つかりません"
NO_SOUND = "音声ファイルがありません"
BROKEN_OFF = "音声ファイルを最後まで読み取れませんでした"
NOT_AS_MP3 = "音声を変換できませんでした"
STARTS_A_FORMULA = set("=+-@\t\r\n|")

Row = tuple[str, ...]


async def opened(
    path: Path, sound: SoundFormat, turns: asyncio.Semaphore, channels: int = 1
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
        return io.BytesIO(await make_mp3(path, turns, channels)), ""
    except NotConverted:
        return None, NOT_AS_MP3


async def content(file: io.BufferedIOBase, remarks: list[str]) -> AsyncGenerator[bytes, None]:
    with file:
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        except OSError as broken:
            log.error("a sound's file broke off: %s", broken.strerror, extra={"action": "media_unreadable"})
            remarks.append(BROKEN_OFF)


def written(number: E164) -> str:
    """As people write it, with hyphens: a spreadsheet takes bare digits for a quantity and drops the 0."""
    if not number.startswith("+"):
        return number
    style = phonenumbers.PhoneNumberFormat
    how = style.NATIONAL if is_japanese(number) else style.INTERNATIONAL
    return phonenumbers.format_number(phonenumbers.parse(number), how)


async def table(columns: Row, rows: Sequence[Row]) -> AsyncGenerator[bytes, None]:
    """The table as CSV. It begins with a byte order mark, or Excel would not take it for UTF-8."""
    text = io.StringIO(newline="")
    rows_of = csv.writer(text)
    rows_of.writerow(columns)
    rows_of.writerows([harmless(cell) for cell in row] for row in rows)
    yield text.getvalue().encode("utf-8-sig")


def harmless(cell: str) -> str:
    """`cell` so that no spreadsheet takes it for a formula; wide signs count as their narrow twins."""
    starts = unicodedata.normalize("NFKC", cell.lstrip()[:1])
    return f"'{cell}" if cell[:1] in STARTS_A_FORMULA or starts in STARTS_A_FORMULA else cell
