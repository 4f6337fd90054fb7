"""Entries of whitelists as people write them, one by one and as a pasted list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.e164 import NotAPhoneNumber, national, parse_e164, parse_prefix
from store.models import EntryKind
from store.whitelists import NewEntry, new_entry, read_line, repeated

pytestmark = pytest.mark.unit

FULL_WIDTH = str.maketrans("0123456789-+*", "0123456789-+*")


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("0120", "+81120"),
        ("0120*", "+81120"),
        ("050…", "+8150"),
        ("050...", "+8150"),
        ("0120-", "+81120"),
        ("03-1234", "+8131234"),
        ("+8190", "+8190"),
        ("+81 90", "+8190"),
        ("8190", "+8190"),
        ("00813", "+813"),
        ("0", "+81"),
        ("+81", "+81"),
        ("+1", "+1"),
        ("010-1-212", "+1212"),
    ],
)
def test_prefixes_in_every_spelling(text: str, prefix: str) -> None:
    assert parse_prefix(text) == prefix
    assert parse_prefix(text.translate(FULL_WIDTH)) == prefix


@pytest.mark.parametrize(
    "text", ["", "*", "+", "00", "+0", "+8103", "184", "abc", "03*4", "0" * 65, "+1" * 9]
)
def test_what_no_number_begins_with(text: str) -> None:
    with pytest.raises(NotAPhoneNumber):
        parse_prefix(text)


@given(st.sampled_from(["0312345678", "09012345678", "05012345678", "0120123456"]), st.integers(1, 9))
def test_a_number_begins_with_its_prefixes(number: str, length: int) -> None:
    assert parse_e164(number).startswith(parse_prefix(number[:length]))


@pytest.mark.parametrize(
    "text",
    ["03-1234-5678", "0312345678", "+81 3 1234 5678", "00813-1234-5678", "81312345678", "(03)12345678"],
)
def test_numbers_in_every_spelling(text: str) -> None:
    for spelling in (text, text.translate(FULL_WIDTH)):
        assert new_entry(EntryKind.NUMBER, spelling).value == "+81312345678"
    assert national(parse_e164(text)) == "0312345678"


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("03-1234-5678", NewEntry(EntryKind.NUMBER, "+81312345678")),
        (" 03-1234-5678 , 山田商店 ", NewEntry(EntryKind.NUMBER, "+81312345678", "山田商店")),
        ("090-1234-5678\t鈴木, 佐藤", NewEntry(EntryKind.NUMBER, "+819012345678", "鈴木, 佐藤")),
        ("0120*、フリーダイヤル", NewEntry(EntryKind.PREFIX, "+81120", "フリーダイヤル")),
        ("0120", NewEntry(EntryKind.PREFIX, "+81120")),
        ("04992", NewEntry(EntryKind.PREFIX, "+814992")),
        ("050…", NewEntry(EntryKind.PREFIX, "+8150")),
        ("+81 3-1234*", NewEntry(EntryKind.PREFIX, "+8131234")),
        ("非通知", NewEntry(EntryKind.WITHHELD, "")),
        ("公衆電話,駅前", NewEntry(EntryKind.PAYPHONE, "", "駅前")),
        ("表示圏外", NewEntry(EntryKind.UNAVAILABLE, "")),
    ],
)
def test_lines(line: str, entry: NewEntry) -> None:
    assert read_line(line) == entry


@pytest.mark.parametrize(
    "line", ["03-1234-567", "09012345", "山田商店", ",山田", "184-0312345678", "110", "*"]
)
def test_a_number_cut_short_is_no_prefix(line: str) -> None:
    with pytest.raises(NotAPhoneNumber):
        read_line(line)


def test_what_is_there_twice() -> None:
    entries = [
        new_entry(EntryKind.NUMBER, "03-1234-5678"),
        new_entry(EntryKind.PREFIX, "0120"),
        new_entry(EntryKind.NUMBER, "+81312345678", "別の名前"),
        new_entry(EntryKind.WITHHELD, ""),
        new_entry(EntryKind.PREFIX, "+81120*"),
    ]
    assert repeated(entries) == {2: 0, 4: 1}
