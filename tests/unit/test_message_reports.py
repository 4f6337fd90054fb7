from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.signals import LONGEST_TEXT_BYTES, sender_of
from store.message_reports import (
    NO_SPEECH,
    NO_TEXT,
    NO_TEXT_YET,
    UNSURE,
    Heard,
    MessageReport,
    describe,
    short_text,
)
from store.models import CallerKind, NumberUse, PhoneNumber, VoiceMessage

pytestmark = pytest.mark.unit

NUMBER = PhoneNumber(e164="+81312345678", use=NumberUse.VOICE, display_name="代表")


def message(**more: Any) -> VoiceMessage:
    about = {
        "id": "m1",
        "caller": "+819012345678",
        "caller_kind": CallerKind.NUMBER,
        "started_at": datetime(2026, 11, 23, 15, 30, tzinfo=UTC),
        "duration_s": 12.4,
    }
    return VoiceMessage(**{**about, **more})


def test_all_there_is_to_say() -> None:
    report = describe(message(), NUMBER, Heard("折り返しください", 0.9), "山田商店", "https://p.example.jp")
    assert report.title == "留守レポ: 山田商店(09012345678)"
    assert report.facts == (
        ("発信者", "山田商店(09012345678)"),
        ("着信番号", "代表(0312345678)"),
        ("着信日時", "2026/11/24 00:30:00"),
        ("録音時間", "12秒"),
    )
    assert (report.body, report.link) == ("折り返しください", "https://p.example.jp/messages/m1")


def test_without_portal_there_is_no_link() -> None:
    assert describe(message(), NUMBER, Heard(), None, None).link is None


@pytest.mark.parametrize(
    ("heard", "body"),
    [
        (Heard(), NO_TEXT_YET),
        (Heard(failed=True), NO_TEXT),
        (Heard(""), NO_SPEECH),
        (Heard(" \n"), NO_SPEECH),
        (Heard("はい", 0.59), f"はい\n{UNSURE}"),
        (Heard("はい", 0.6), "はい"),
        (Heard("はい"), "はい"),
    ],
)
def test_what_was_heard(heard: Heard, body: str) -> None:
    assert describe(message(), NUMBER, heard, None, None).body == body


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        (CallerKind.WITHHELD, "非通知"),
        (CallerKind.PAYPHONE, "公衆電話"),
        (CallerKind.UNAVAILABLE, "表示圏外"),
    ],
)
def test_who_does_not_tell_a_number(kind: CallerKind, who: str) -> None:
    report = describe(message(caller=None, caller_kind=kind), NUMBER, Heard(), None, None)
    assert (report.title, report.facts[0]) == (f"留守レポ: {who}", ("発信者", who))


def test_a_short_text_holds_everything_when_there_is_room() -> None:
    report = describe(message(), NUMBER, Heard("折り返しください"), None, "https://p.example.jp")
    assert short_text(report, 800).splitlines() == [
        "留守レポ: 09012345678",
        "着信番号: 代表(0312345678)",
        "着信日時: 2026/11/24 00:30:00",
        "録音時間: 12秒",
        "折り返しください",
        "https://p.example.jp/messages/m1",
    ]


@given(st.text(max_size=600), st.text(max_size=100), st.integers(300, LONGEST_TEXT_BYTES))
def test_a_short_text_is_never_too_long_and_keeps_its_link(body: str, name: str, most: int) -> None:
    link = "https://p.example.jp/messages/m1"
    report = MessageReport(f"留守レポ: {name[:20]}", (("発信者", name),), body, link)
    text = short_text(report, most)
    assert len(text.encode()) <= most
    assert text.endswith(link)


def test_the_sender_of_a_text_is_the_called_number() -> None:
    assert sender_of("+81312345678", "", "192.0.2.1") == "sip:0312345678@192.0.2.1"
    assert sender_of("+81312345678", '代"表<x>\\\r\n', "::1") == '"代表x" <sip:0312345678@[::1]>'
