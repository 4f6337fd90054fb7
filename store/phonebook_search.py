"""Finding entries by any part of their words, in memory: no database has an index for that.

The words of an account's entries are kept as one text, in the order in which entries are listed, for as long
as nobody changes the phonebook. Walking through 50,000 rows for each search takes the database ten times as
long.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import PhonebookContract, PhonebookEntry
from store.pages import TextCursor

MOST_KEPT = 16
"""Phonebooks in memory at once: some 15 MB for each of the largest."""

BETWEEN = "\0"
"""Stands after each entry's words; nobody can search for it."""

Stamp = tuple[datetime, int]
Terms = Sequence[tuple[str, ...]]
Key = tuple[str, str]


@dataclass(frozen=True)
class Words:
    """A phonebook as it is searched. `keys` are (sort key, id), `starts` where each one's words begin."""

    stamp: Stamp
    keys: list[Key]
    starts: list[int]
    text: str


@dataclass
class _Kept:
    """The phonebooks of one database, those searched last at the end."""

    words: OrderedDict[str, Words] = field(default_factory=OrderedDict)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


_KEPT: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


async def search_entries(
    session: AsyncSession, account_id: str, terms: Terms, after: TextCursor | None, limit: int
) -> list[Key]:
    """Give the sort keys and ids of the first `limit` entries after `after` that have all `terms`.

    Not for a transaction that changes the phonebook: what may be taken back must not be kept.
    """
    stamp = await _stamp(session, account_id)
    if stamp is None:
        return []
    kept = _KEPT.setdefault(session.get_bind(), _Kept())
    if not _is_current(kept, account_id, stamp):
        async with kept.reading:
            # Whoever waited here finds what the first one read.
            if not _is_current(kept, account_id, stamp):
                kept.words[account_id] = await _read(session, account_id, stamp)
    kept.words.move_to_end(account_id)
    words = kept.words[account_id]
    while len(kept.words) > MOST_KEPT:
        kept.words.popitem(last=False)
    return found_in(words, terms, after, limit)


def _is_current(kept: _Kept, account_id: str, stamp: Stamp) -> bool:
    there = kept.words.get(account_id)
    return there is not None and there.stamp >= stamp


async def _stamp(session: AsyncSession, account_id: str) -> Stamp | None:
    """What differs after each change; None without the option, when nobody may search."""
    contract = select(PhonebookContract.since, PhonebookContract.changes)
    row = (await session.execute(contract.where(PhonebookContract.account_id == account_id))).one_or_none()
    return None if row is None else (row.since, row.changes)


async def _read(session: AsyncSession, account_id: str, stamp: Stamp) -> Words:
    columns = (PhonebookEntry.sort_key, PhonebookEntry.id, PhonebookEntry.words)
    ours = select(*columns).where(PhonebookEntry.account_id == account_id).order_by(*columns[:2])
    # Read after its stamp: what comes in between is newer than said, and read again.
    rows = (await session.execute(ours)).all()
    return words_of(stamp, [(key, entry_id) for key, entry_id, _ in rows], [words for _, _, words in rows])


def words_of(stamp: Stamp, keys: list[Key], words: Sequence[str]) -> Words:
    """Put a phonebook together from its entries, in the order of their keys. Pure."""
    starts = list(accumulate((len(one) + len(BETWEEN) for one in words), initial=0))
    return Words(stamp, keys, starts[:-1], "".join(f"{one}{BETWEEN}" for one in words))


def found_in(words: Words, terms: Terms, after: TextCursor | None, limit: int) -> list[Key]:
    """The first `limit` keys after `after` whose words have, of each term, one spelling. Pure."""
    place = bisect_right(words.keys, (after.text, after.id)) if after else 0
    if not terms:
        return words.keys[place : place + limit]
    # Entries are looked for by the rarest, and then for the rest.
    by_number = terms if len(terms) == 1 else sorted(terms, key=lambda term: _count(words.text, term))
    rarest, *others = by_number
    found: list[Key] = []
    nearest: dict[str, int | None] = dict.fromkeys(rarest, -1)
    while place < len(words.keys) and len(found) < limit:
        start = words.starts[place]
        hit = _next_hit(words.text, nearest, start)
        if hit is None:
            break
        place = bisect_right(words.starts, hit) - 1
        end = words.starts[place + 1] if place + 1 < len(words.starts) else len(words.text)
        entry = words.text[words.starts[place] : end]
        if all(any(spelling in entry for spelling in term) for term in others):
            found.append(words.keys[place])
        place += 1
    return found


def _count(text: str, term: tuple[str, ...]) -> int:
    return sum(text.count(spelling) for spelling in term)


def _next_hit(text: str, nearest: dict[str, int | None], start: int) -> int | None:
    """Where the first of some spellings stands from `start` on; `nearest` remembers where each was found."""
    for spelling, at in nearest.items():
        if at is not None and at < start:
            again = text.find(spelling, start)
            nearest[spelling] = again if again >= 0 else None
    return min((at for at in nearest.values() if at is not None), default=None)
