"""The ZIP of chosen recordings: their sound, and `index.csv`, a table for a spreadsheet."""

import asyncio
from collections.abc import Sequence

from portal_api.archives import INDEX, NO_CALLER, NOT_FOUND, Row, content, opened, table, written
from portal_api.audio import SoundFormat
from portal_api.schemas import JAPAN
from portal_api.zip_stream import Member, Members, unique_name
from store.e164 import E164, national
from store.media import Media
from store.models import Recording, now

COLUMNS = (
    "日時",
    "方向",
    "電話番号",
    "相手",
    "秒数",
    "録音前の案内",
    "案内の開始",
    "案内の終了",
    "案内の内容",
    "案内のSHA-256",
    "文字起こし",
    "ファイル名",
    "備考",
)
DIRECTIONS = {"inbound": "着信", "outbound": "発信"}
INCOMPLETE = "途中で途切れています"


def file_name(recording: Recording, sound: SoundFormat) -> str:
    """A name for the recording's sound: when, and with whom."""
    at = recording.started_at.astimezone(JAPAN)
    return f"通話録音_{at:%Y%m%d_%H%M%S}_{_other(recording, spaced=False)}.{sound}"


async def archive(
    wanted: Sequence[Recording | str], media: Media, sound: SoundFormat, turns: asyncio.Semaphore
) -> Members:
    """Give the files of the ZIP; an id in `wanted` is one that was not found.

    What is wrong with one file stands in the index, which comes last, and stops no other.
    """
    rows: list[Row] = []
    names = {INDEX}
    for one in wanted:
        if isinstance(one, str):
            rows.append((*[""] * (len(COLUMNS) - 1), f"{NOT_FOUND}: {one}"))
            continue
        file, trouble = await opened(media.path(one.media), sound, turns, channels=2)
        name = "" if file is None else unique_name(file_name(one, sound), names)
        remarks = [trouble or ("" if one.complete else INCOMPLETE)]
        if file is not None:
            yield Member(name, one.started_at.astimezone(JAPAN), content(file, remarks))
        rows.append(_row(one, name, remarks[-1]))
    yield Member(INDEX, now().astimezone(JAPAN), table(COLUMNS, rows))


def _row(recording: Recording, name: str, remark: str) -> Row:
    transcript = recording.transcript
    return (
        f"{recording.started_at.astimezone(JAPAN):%Y-%m-%d %H:%M:%S}",
        DIRECTIONS[recording.direction],
        written(E164(recording.number.e164)),
        _other(recording, spaced=True),
        f"{recording.duration_s:.1f}",
        *_announcement(recording),
        (transcript.text or "") if transcript else "",
        name,
        remark,
    )


def _announcement(recording: Recording) -> Row:
    """The evidence, in five cells."""
    played = recording.announcement_played_to_end
    if played is None:
        return ("なし", "", "", "", "")
    times = (recording.announcement_started_at, recording.announcement_ended_at)
    return (
        "最後まで再生" if played else "途中で終了",
        *(f"{at.astimezone(JAPAN):%Y-%m-%d %H:%M:%S.%f}"[:-3] if at else "" for at in times),
        recording.announcement_text or "(音声ファイル)",
        recording.announcement_sha256 or "",
    )


def _other(recording: Recording, spaced: bool) -> str:
    number = recording.other_party
    if number is None:
        return NO_CALLER[recording.other_party_kind]
    if spaced:
        return written(E164(number))
    return national(E164(number)) if number.startswith("+") else number
