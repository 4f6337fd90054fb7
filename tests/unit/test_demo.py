"""What the demo finds in the API's answers, and how it tells of a message."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from scripts.demo import DemoFailed, call_of_ours, described, until, voice_number

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=9)))
MESSAGE: dict[str, Any] = {
    "id": "m1",
    "number": "+81312345678",
    "caller": "+819012345678",
    "caller_kind": "number",
    "started_at": "2026-11-23T03:00:05Z",
    "duration_s": 9.58,
    "ended_by": "hash",
    "transcript": {"state": "waiting", "text": None},
}


def call(call_id: str, other_party: str | None, started_at: datetime) -> dict[str, Any]:
    return {"id": call_id, "other_party": other_party, "started_at": started_at.isoformat()}


def test_our_call_is_the_one_by_us_since_we_dialled() -> None:
    calls = [
        call("another", "+815012345678", NOON + timedelta(seconds=2)),
        call("withheld", None, NOON + timedelta(seconds=2)),
        call("ours", "+819012345678", NOON + timedelta(seconds=1)),
        call("earlier", "+819012345678", NOON - timedelta(hours=1)),
    ]
    found = call_of_ours(calls, "+819012345678", NOON)
    assert found is not None
    assert found["id"] == "ours"
    assert call_of_ours(calls[-1:], "+819012345678", NOON) is None


def test_voice_number_is_not_the_fax_number() -> None:
    fax, voice = {"use": "fax", "e164": "+81312345679"}, {"use": "voice", "e164": "+81312345678"}
    assert voice_number({"numbers": [fax, voice]}) == "+81312345678"
    with pytest.raises(DemoFailed):
        voice_number({"numbers": [fax]})


def test_message_is_told_in_japanese_time_and_words() -> None:
    assert described(MESSAGE, "http://127.0.0.1:8080").splitlines() == [
        "  発信者: +819012345678",
        "  着信番号: +81312345678",
        "  日時: 2026年11月23日 12時00分05秒",
        "  長さ: 9.6秒",
        "  終わり方: # が押された",
        "  文字: (文字起こし待ち)",
        "  音声: http://127.0.0.1:8080/api/v1/messages/m1/audio",
    ]


def test_withheld_caller_and_transcript_are_told() -> None:
    transcript = {"state": "done", "text": "もしもし"}
    message = MESSAGE | {"caller": None, "caller_kind": "withheld", "transcript": transcript}
    told = described(message, "")
    assert "発信者: 非通知" in told
    assert "文字: もしもし" in told


async def test_waiting_ends_with_the_answer_or_the_reason() -> None:
    answers = iter([None, "there"])

    async def ask() -> str | None:
        return next(answers)

    async def never() -> None:
        return None

    assert await until(ask, 5, "ありません") == "there"
    with pytest.raises(DemoFailed, match="ありません"):
        await until(never, 0, "ありません")
