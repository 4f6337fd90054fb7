"""CSV files on trial, and putting what they hold into the phonebook."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Conflict, NotFound
from store.models import ImportState, PhonebookEntry, PhonebookImport, PhonebookNumber, now
from store.phonebook import (
    MOST_NUMBERS,
    NewEntry,
    described,
    entry_row,
    number_rows,
    read_entries,
    refuse_too_many,
    require_contract,
    take_turn,
)
from store.phonebook_words import folded

KEPT = timedelta(days=1)
"""How long a file waits for its use."""

MOST_WAITING = 20
TOGETHER = 500
T = TypeVar("T")
Key = tuple[str, str]


class Duplicates(StrEnum):
    """What becomes of a line whose name and number are there already."""

    SKIP = "skip"
    UPDATE = "update"
    ADD = "add"


@dataclass(frozen=True)
class Known:
    """What the phonebook holds: a folded name and a number -> the entry's id."""

    keys: Mapping[Key, str] = field(default_factory=dict)

    def find(self, new: NewEntry) -> str | None:
        return next((self.keys[key] for key in keys_of(new) if key in self.keys), None)


@dataclass(frozen=True)
class Plan:
    """What is to be done: entries to add; entries to change, by id; and how many are passed over."""

    added: list[NewEntry]
    updated: list[tuple[str, NewEntry]]
    skipped: int


def keys_of(new: NewEntry) -> list[Key]:
    """By what an entry is known as the same as another."""
    name = "".join(folded(new.name).split())
    return [(name, one.number) for one in new.numbers]


def repeated(entries: Iterable[tuple[int, NewEntry]]) -> dict[int, int]:
    """Lines that hold the same as an earlier one: line -> the earlier line."""
    first: dict[Key, int] = {}
    found = {}
    for line, new in entries:
        keys = keys_of(new)
        earlier = next((first[key] for key in keys if key in first), None)
        if earlier is not None:
            found[line] = earlier
        for key in keys:
            first.setdefault(key, line)
    return found


def plan(entries: Sequence[NewEntry], known: Known, duplicates: Duplicates) -> Plan:
    """Decide what becomes of each entry. Pure."""
    if duplicates is Duplicates.ADD:
        return Plan(list(entries), [], 0)
    again = repeated(enumerate(entries))
    fresh = [new for place, new in enumerate(entries) if place not in again]
    found = [(known.find(new), new) for new in fresh]
    updated = [(entry_id, new) for entry_id, new in found if entry_id is not None]
    added = [new for entry_id, new in found if entry_id is None]
    if duplicates is Duplicates.SKIP:
        return Plan(added, [], len(entries) - len(added))
    return Plan(added, updated, len(again))


def merged(old: NewEntry, new: NewEntry) -> NewEntry:
    """`old` with what `new` says; its other numbers stay, as far as there is room. Pure."""
    told = {name: getattr(new, name) for name in ("reading", "company", "memo") if getattr(new, name)}
    theirs = {one.number for one in new.numbers}
    numbers = (*new.numbers, *(one for one in old.numbers if one.number not in theirs))
    return replace(old, name=new.name, numbers=numbers[:MOST_NUMBERS], **told)


# ---- in the store ------------------------------------------------------------------------------------


async def keep_import(
    session: AsyncSession, account_id: str, file_name: str | None, encoding: str | None, content: bytes
) -> PhonebookImport:
    """Keep a file on trial. Raises Conflict `phonebook_not_contracted`, `too_many_imports`."""
    await take_turn(session, account_id)
    waiting = (PhonebookImport.account_id == account_id, PhonebookImport.state == ImportState.PREVIEW)
    if (await session.scalar(select(func.count()).where(*waiting)) or 0) >= MOST_WAITING:
        raise Conflict("too_many_imports")
    kept = PhonebookImport(
        account_id=account_id, file_name=file_name, encoding=encoding, content=zlib.compress(content, 6)
    )
    session.add(kept)
    await session.flush()
    return kept


async def get_import(session: AsyncSession, account_id: str, import_id: str) -> PhonebookImport:
    """Give the import. Raises NotFound, Conflict `phonebook_not_contracted`."""
    await require_contract(session, account_id)
    kept = await session.get(PhonebookImport, import_id)
    if kept is None or kept.account_id != account_id:
        raise NotFound(import_id)
    return kept


def content_of(kept: PhonebookImport) -> bytes:
    """The file as it came."""
    return zlib.decompress(kept.content)


async def delete_import(session: AsyncSession, account_id: str, import_id: str) -> None:
    """Throw the file away; what was made of it stays. Raises NotFound."""
    await session.delete(await get_import(session, account_id, import_id))


async def forget_imports(session: AsyncSession, at: datetime) -> None:
    """Throw away the files that have waited for a day as of `at`."""
    await session.execute(delete(PhonebookImport).where(PhonebookImport.created_at < at - KEPT))


async def read_known(session: AsyncSession, account_id: str) -> Known:
    """Read what the phonebook holds."""
    ours = select(PhonebookEntry.name, PhonebookNumber.number, PhonebookEntry.id).join(
        PhonebookNumber, PhonebookNumber.entry_id == PhonebookEntry.id
    )
    rows = await session.execute(ours.where(PhonebookEntry.account_id == account_id))
    return Known({("".join(folded(name).split()), number): entry_id for name, number, entry_id in rows})


async def apply_import(
    session: AsyncSession,
    account_id: str,
    import_id: str,
    entries: Sequence[NewEntry],
    duplicates: Duplicates,
) -> PhonebookImport:
    """Put `entries` into the phonebook: all of them, with the import's end, or none.

    Raises NotFound, Conflict `import_applied`, `phonebook_full`, `phonebook_not_contracted`.
    """
    await take_turn(session, account_id)
    kept = await get_import(session, account_id, import_id)
    todo = plan(entries, await read_known(session, account_id), duplicates)
    counts = {"added": len(todo.added), "updated": len(todo.updated), "skipped": todo.skipped}
    await _finish(session, kept, counts)
    await refuse_too_many(session, account_id, len(todo.added))
    await add_entries(session, account_id, todo.added)
    await _update_entries(session, account_id, todo.updated)
    return kept


async def _update_entries(
    session: AsyncSession, account_id: str, updated: Sequence[tuple[str, NewEntry]]
) -> None:
    for some in _batches(updated, TOGETHER):
        there = await read_entries(session, account_id, [entry_id for entry_id, _ in some])
        changed = [(entry_id, merged(there[entry_id], new)) for entry_id, new in some if entry_id in there]
        changed = [(entry_id, new) for entry_id, new in changed if new != there[entry_id]]
        if not changed:
            continue
        at = now()
        rows = [{"id": entry_id, **described(new), "updated_at": at} for entry_id, new in changed]
        await session.execute(update(PhonebookEntry), rows)
        ids = [entry_id for entry_id, _ in changed]
        await session.execute(delete(PhonebookNumber).where(PhonebookNumber.entry_id.in_(ids)))
        numbers = [row for entry_id, new in changed for row in number_rows(account_id, entry_id, new)]
        await session.execute(insert(PhonebookNumber), numbers)


async def add_entries(session: AsyncSession, account_id: str, entries: Sequence[NewEntry]) -> None:
    """Add many entries, some at a time, so that nobody else waits for long.

    Raises Conflict `phonebook_not_contracted`.
    """
    await take_turn(session, account_id)
    at = {"created_at": now(), "updated_at": now()}
    for some in _batches(entries, TOGETHER):
        rows: list[dict[str, Any]] = [{**entry_row(account_id, new), **at} for new in some]
        numbers = [
            number
            for row, new in zip(rows, some, strict=True)
            for number in number_rows(account_id, row["id"], new)
        ]
        await session.execute(insert(PhonebookEntry), rows)
        await session.execute(insert(PhonebookNumber), numbers)


async def _finish(session: AsyncSession, kept: PhonebookImport, counts: dict[str, int]) -> None:
    waiting = (PhonebookImport.id == kept.id, PhonebookImport.state == ImportState.PREVIEW)
    done = update(PhonebookImport).where(*waiting)
    done = done.values(state=ImportState.APPLIED, applied_at=now(), **counts).returning(PhonebookImport.id)
    if await session.scalar(done.execution_options(synchronize_session=False)) is None:
        raise Conflict("import_applied")
    await session.refresh(kept)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
