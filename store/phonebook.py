"""Web電話帳: entries and their numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Select,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import Conflict, NotFound
from store.models import PhonebookContract, PhonebookEntry, PhonebookNumber, new_id, now
from store.pages import TextCursor, TextPage
from store.phonebook_search import search_entries
from store.phonebook_words import sort_key, terms, words
from store.upserts import insert_for

MOST_ENTRIES = 50_000
MOST_NUMBERS = 10


@dataclass(frozen=True)
class NewNumber:
    """`number` as `store.phonebook_words.parse_dialled` gives it."""

    number: str
    label: str = ""


@dataclass(frozen=True)
class NewEntry:
    name: str
    reading: str = ""
    company: str = ""
    memo: str = ""
    numbers: tuple[NewNumber, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entry(NewEntry):
    """An entry that is there: made of columns, for lists of entries are long."""

    id: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class EntryPageRequest:
    """At most `limit` entries after the one that `after` names."""

    limit: int = 50
    after: TextCursor | None = None


# ---- the contract ------------------------------------------------------------------------------------


async def contract_since(session: AsyncSession, account_id: str) -> datetime | None:
    """Since when the account has the option; None where it has not."""
    contract = await session.get(PhonebookContract, account_id)
    return contract.since if contract else None


async def set_contract(session: AsyncSession, account_id: str, contracted: bool) -> datetime | None:
    """Give the account the option, for all its IDs, or take it away; what was entered stays."""
    if contracted:
        new = insert_for(session, PhonebookContract).values(account_id=account_id, since=now())
        await session.execute(new.on_conflict_do_nothing(index_elements=["account_id"]))
    else:
        await session.execute(delete(PhonebookContract).where(PhonebookContract.account_id == account_id))
    return await contract_since(session, account_id)


async def require_contract(session: AsyncSession, account_id: str) -> None:
    """Raises Conflict `phonebook_not_contracted`."""
    if await contract_since(session, account_id) is None:
        raise Conflict("phonebook_not_contracted")


# ---- reading -----------------------------------------------------------------------------------------


async def list_entries(
    session: AsyncSession,
    account_id: str,
    request: EntryPageRequest,
    search: str | None = None,
    number: str | None = None,
) -> TextPage[Entry]:
    """Give a page of the account's entries in the order of their readings, each with its `numbers`.

    `search` is found in name, reading, company or numbers; `number` is one of theirs as it is kept.
    """
    more = request.limit + 1
    if search and number is None:
        keys = await search_entries(session, account_id, terms(search), request.after, more)
    else:
        found = _listed(account_id, request.after, terms(search or ""), number).limit(more)
        keys = [(key, entry_id) for key, entry_id in await session.execute(found)]
    shown = keys[: request.limit]
    after = TextCursor(*shown[-1]) if len(keys) == more else None
    return TextPage(await _in_order(session, account_id, [entry_id for _, entry_id in shown]), after)


def _listed(
    account_id: str, after: TextCursor | None, having: Sequence[tuple[str, ...]], number: str | None
) -> Select[str, str]:
    key = (PhonebookEntry.sort_key, PhonebookEntry.id)
    rows = select(*key).where(PhonebookEntry.account_id == account_id).order_by(*key)
    for term in having:
        words = (PhonebookEntry.words.contains(spelling, autoescape=True) for spelling in term)
        rows = rows.where(or_(*words))
    if number is not None:
        held = (PhonebookNumber.account_id == account_id, PhonebookNumber.number == number)
        rows = rows.where(PhonebookEntry.id.in_(select(PhonebookNumber.entry_id).where(*held)))
    if after:
        last = (literal(after.text, key[0].type), literal(after.id, key[1].type))
        rows = rows.where(tuple_(*key) > tuple_(*last))
    return rows


_COLUMNS = (
    PhonebookEntry.id,
    PhonebookEntry.account_id,
    PhonebookEntry.name,
    PhonebookEntry.reading,
    PhonebookEntry.company,
    PhonebookEntry.memo,
    PhonebookEntry.created_at,
    PhonebookEntry.updated_at,
)
_NUMBER_COLUMNS = (PhonebookNumber.entry_id, PhonebookNumber.number, PhonebookNumber.label)


async def _in_order(session: AsyncSession, account_id: str, entry_ids: Sequence[str]) -> list[Entry]:
    if not entry_ids:
        return []
    numbers: dict[str, list[NewNumber]] = {}
    held = select(*_NUMBER_COLUMNS).where(PhonebookNumber.entry_id.in_(entry_ids))
    for entry_id, number, label in await session.execute(held.order_by(PhonebookNumber.position)):
        numbers.setdefault(entry_id, []).append(NewNumber(number, label))
    # By id alone: asked for an account as well, SQLite walks through all that the account has.
    rows = await session.execute(select(*_COLUMNS).where(PhonebookEntry.id.in_(entry_ids)))
    entries = {row.id: _entry(row, numbers.get(row.id, ())) for row in rows if row.account_id == account_id}
    return [entries[entry_id] for entry_id in entry_ids if entry_id in entries]


def _entry(row: Any, numbers: Sequence[NewNumber]) -> Entry:
    return Entry(
        row.name,
        row.reading,
        row.company,
        row.memo,
        tuple(numbers),
        id=row.id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def get_entry(session: AsyncSession, account_id: str, entry_id: str) -> Entry:
    """Give the entry with its `numbers`. Raises NotFound."""
    found = await _in_order(session, account_id, [entry_id])
    if not found:
        raise NotFound(entry_id)
    return found[0]


async def read_entries(
    session: AsyncSession, account_id: str, entry_ids: Sequence[str]
) -> dict[str, NewEntry]:
    """Give those of the entries that are there, as they would be given, by id."""
    return {entry.id: given(entry) for entry in await _in_order(session, account_id, entry_ids)}


async def next_entries(
    session: AsyncSession, account_id: str, after: TextCursor | None, limit: int
) -> TextPage[Entry]:
    """`list_entries` for who reads them all. Raises Conflict `phonebook_not_contracted`."""
    await require_contract(session, account_id)
    return await list_entries(session, account_id, EntryPageRequest(limit, after))


# ---- writing -----------------------------------------------------------------------------------------


async def take_turn(session: AsyncSession, account_id: str) -> None:
    """Put those who change one account's phonebook one after the other, until the commit.

    Raises Conflict `phonebook_not_contracted`.
    """
    ours = update(PhonebookContract).where(PhonebookContract.account_id == account_id)
    touched = ours.values(changes=PhonebookContract.changes + 1).returning(PhonebookContract.account_id)
    if await session.scalar(touched.execution_options(synchronize_session=False)) is None:
        raise Conflict("phonebook_not_contracted")


async def refuse_too_many(session: AsyncSession, account_id: str, more: int) -> None:
    """Raises Conflict `phonebook_full` where `more` entries would be too many."""
    there = select(func.count()).where(PhonebookEntry.account_id == account_id)
    if (await session.scalar(there) or 0) + more > MOST_ENTRIES:
        raise Conflict("phonebook_full")


async def create_entry(session: AsyncSession, account_id: str, new: NewEntry) -> Entry:
    """Make an entry. Raises Conflict `phonebook_full`."""
    await take_turn(session, account_id)
    await refuse_too_many(session, account_id, 1)
    row = entry_row(account_id, new)
    session.add(PhonebookEntry(**row))
    await session.flush()
    await session.execute(insert(PhonebookNumber), number_rows(account_id, row["id"], new))
    return await get_entry(session, account_id, row["id"])


async def change_entry(
    session: AsyncSession, account_id: str, entry_id: str, changes: Mapping[str, Any]
) -> Entry:
    """Change what is given of the entry, by the names that NewEntry has. Raises NotFound."""
    await take_turn(session, account_id)
    changed = replace(given(await get_entry(session, account_id, entry_id)), **changes)
    entry = await session.get_one(PhonebookEntry, entry_id)
    for name, value in described(changed).items():
        setattr(entry, name, value)
    entry.updated_at = now()
    await session.flush()
    await session.execute(delete(PhonebookNumber).where(PhonebookNumber.entry_id == entry_id))
    await session.execute(insert(PhonebookNumber), number_rows(account_id, entry_id, changed))
    return await get_entry(session, account_id, entry_id)


async def delete_entry(session: AsyncSession, account_id: str, entry_id: str) -> None:
    """Delete the entry. Raises NotFound."""
    if not await delete_entries(session, account_id, [entry_id]):
        raise NotFound(entry_id)


async def delete_entries(session: AsyncSession, account_id: str, entry_ids: Iterable[str]) -> set[str]:
    """Delete entries; give the ids of those that were there."""
    await take_turn(session, account_id)
    ours = (PhonebookEntry.account_id == account_id, PhonebookEntry.id.in_(list(entry_ids)))
    gone = delete(PhonebookEntry).where(*ours).returning(PhonebookEntry.id)
    return set(await session.scalars(gone.execution_options(synchronize_session=False)))


def given(entry: Entry) -> NewEntry:
    """The entry as it would be given."""
    return NewEntry(entry.name, entry.reading, entry.company, entry.memo, entry.numbers)


def described(new: NewEntry) -> dict[str, str]:
    """The columns that an entry's description makes up."""
    return {
        "name": new.name,
        "reading": new.reading,
        "company": new.company,
        "memo": new.memo,
        "sort_key": sort_key(new.name, new.reading),
        "words": words(new.name, new.reading, new.company, (one.number for one in new.numbers)),
    }


def entry_row(account_id: str, new: NewEntry) -> dict[str, str]:
    """A new entry's columns, beside its times."""
    return {"id": new_id(), "account_id": account_id, **described(new)}


def number_rows(account_id: str, entry_id: str, new: NewEntry) -> list[dict[str, str | int]]:
    return [
        {
            "entry_id": entry_id,
            "position": position,
            "account_id": account_id,
            "label": one.label,
            "number": one.number,
        }
        for position, one in enumerate(new.numbers)
    ]
