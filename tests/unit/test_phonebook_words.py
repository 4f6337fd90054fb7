"""What a phonebook is sorted and searched by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.e164 import NotAPhoneNumber
from store.phonebook_words import SORT_KEY_BYTES, WORDS_BYTES, parse_dialled, sort_key, terms, words

pytestmark = pytest.mark.unit


def found(search: str, text: str) -> bool:
    return all(any(spelling in text for spelling in term) for term in terms(search))


@pytest.mark.parametrize(
    "readings",
    [
        ["あおき", "いとう", "うえだ", "かとう", "さとう", "たなか"],
        # Voicing, small signs and ー come second.
        ["はし", "はじ", "はしだ", "はじだ", "はしま"],
        ["すうがく", "スーパー", "すえ"],
        ["きょう", "きよう", "きようと"],
        ["かっこ", "がっこう", "かつどう"],
    ],
)
def test_readings_are_in_dictionary_order(readings: list[str]) -> None:
    shuffled = sorted(readings, reverse=True)
    assert sorted(shuffled, key=lambda reading: sort_key("名", reading)) == readings


def test_widths_and_kinds_of_kana_are_alike() -> None:
    assert (
        sort_key("x", "タナカ") == sort_key("y", "たなか") == sort_key("z", "ﾀﾅｶ") == sort_key("", "た なか")
    )


def test_without_a_reading_the_name_counts() -> None:
    assert sort_key("あおい", "") < sort_key("x", "いとう") < sort_key("阿部", "")


NUMBERS = ["0312", "1234-5678", "03-1234-5678", "+81 3 1234", "０３－１２３４", "(03)1234", "5678"]
TEXTS = ["田中", "たなか", "タナカ", "ﾀﾅｶ", "太郎", "asahi", "ＡＳＡＨＩ", "田中 asahi", "第2-1"]


@pytest.mark.parametrize("search", [*NUMBERS, *TEXTS])
def test_any_part_is_found(search: str) -> None:
    text = words("田中 太郎", "たなか たろう", "Asahi第2-1工場", ["+81312345678"])
    assert found(search, text)


@pytest.mark.parametrize("search", ["鈴木", "0313", "田中 鈴木", "たなかまる", "%", "_"])
def test_what_is_not_there_is_not_found(search: str) -> None:
    assert not found(search, words("田中", "たなか", "", ["+81312345678"]))


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=100))
def test_nothing_is_too_long_for_an_index(name: str, reading: str, company: str) -> None:
    numbers = ["+81312345678"] * 10
    assert len(sort_key(name, reading).encode("utf-8", "surrogatepass")) <= SORT_KEY_BYTES
    assert len(words(name, reading, company, numbers).encode("utf-8", "surrogatepass")) <= WORDS_BYTES
    assert words(name, reading, company, numbers).startswith("0312345678\n+81312345678")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("03-1234-5678", "+81312345678"),
        ("117", "117"),
        ("１１０", "110"),
        ("1001", "1001"),
        ("#9910", "#9910"),
        ("*55", "*55"),
        ("+1 650 253 0000", "+16502530000"),
    ],
)
def test_numbers_are_kept_as_dialled(text: str, number: str) -> None:
    assert parse_dialled(text) == number


@pytest.mark.parametrize("text", ["", "1", "0.5", "1-1-0", "1234-5678", "あ", "03-1234", "12#4", "1" * 100])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(NotAPhoneNumber):
        parse_dialled(text)
