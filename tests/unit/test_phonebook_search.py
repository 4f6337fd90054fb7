"""Finding entries in a phonebook's words: the same as looking at each of them."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from store.pages import TextCursor
from store.phonebook_search import Words, found_in, words_of
from store.phonebook_words import terms

pytestmark = pytest.mark.unit

STAMP = (datetime(2026, 11, 24, tzinfo=UTC), 1)
SEARCHES = ("た", "たな", "田中", "090", "たな 090", "0901 会社", "会社1", "ぬ", "090-1", "た た", "\u3000た")


def phonebook(*words: str) -> Words:
    return words_of(STAMP, [(f"{number:03}", f"id-{number}") for number in range(len(words))], words)


def one_by_one(words: Sequence[str], search: str) -> list[str]:
    return [
        f"id-{number}"
        for number, one in enumerate(words)
        if all(any(spelling in one for spelling in term) for term in terms(search))
    ]


def test_the_same_is_found_as_by_looking_at_each() -> None:
    chance = random.Random(7)
    parts = ("09012345678", "+819012345678", "田中太郎", "たなかたろう", "会社1", "会社12", "ぬ", "た")
    words = ["\n".join(chance.sample(parts, chance.randrange(4))) for _ in range(200)]
    book = phonebook(*words)
    for search in SEARCHES:
        found = [entry_id for _, entry_id in found_in(book, terms(search), None, 1000)]
        assert found == one_by_one(words, search), search


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_go_on_where_the_last_one_ended(limit: int) -> None:
    book = phonebook("たなか", "さとう", "たかはし", "たけだ", "いとう", "たなべ")
    found: list[str] = []
    after: TextCursor | None = None
    while page := found_in(book, terms("た"), after, limit):
        found += [entry_id for _, entry_id in page]
        after = TextCursor(*page[-1])
    assert found == ["id-0", "id-2", "id-3", "id-5"]


def test_nothing_is_found_across_two_entries() -> None:
    assert found_in(phonebook("た", "な"), terms("たな"), None, 10) == []


def test_a_search_of_nothing_finds_all() -> None:
    assert len(found_in(phonebook("た", "な"), terms(" "), None, 10)) == 2


def test_an_empty_phonebook() -> None:
    assert found_in(phonebook(), terms("た"), None, 10) == []
