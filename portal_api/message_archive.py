"""The ZIP of chosen messages: their sound, and `index.csv`, a table for a spreadsheet."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from portal_api.archives import INDEX, NO_CALLER, NOT_FOUND, Row, content, opened, table, written
from portal_api.audio import SoundFormat
from portal_api.schemas import JAPAN
from portal_api.zip_stream import Member, Members, unique_name
from store.e164 import E164, national
from store.media import Media
from store.models import EndedBy, MessageStatus, VoiceMessage, now

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
        file, trouble = await opened(media.path(one.media), sound, turns)
        name = "" if file is None else unique_name(file_name(one, sound), names)
        remarks = [trouble]
        if file is not None:
            yield Member(name, one.started_at.astimezone(JAPAN), content(file, remarks))
        rows.append(_row(one, said(one), name_of(one), name, remarks[-1]))
    yield Member(INDEX, now().astimezone(JAPAN), table(COLUMNS, rows))


def _row(message: VoiceMessage, said: str, caller_name: str, name: str, remark: str) -> Row:
    at: datetime = message.started_at.astimezone(JAPAN)
    return (
        f"{at:%Y-%m-%d %H:%M:%S}",
        written(E164(message.number.e164)),
        written(E164(message.caller)) if message.caller else NO_CALLER[message.caller_kind],
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
