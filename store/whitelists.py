"""Whitelists and their entries; and which entry a caller matches."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.e164 import NotAPhoneNumber, parse_e164, parse_prefix
from store.errors import Conflict, InUse, NotFound, Unusable, Use
from store.models import EntryKind, PhoneNumber, RusurepoRule, Whitelist, WhitelistEntry
from store.pages import Page, PageRequest, read_page

MOST_ENTRIES = 1000
AREA_CODE_DIGITS = 5
"""A line of no more digits than area codes have is a beginning; of more, it is a number cut short."""

WITHOUT_NUMBER = {
    "非通知": EntryKind.WITHHELD,
    "公衆電話": EntryKind.PAYPHONE,
    "表示圏外": EntryKind.UNAVAILABLE,
}
LINE = re.compile(r"\s*([^,、\t]*)(?:[,、\t](.*))?")


@dataclass(frozen=True)
class NewEntry:
    """An entry to be: `value` as `WhitelistEntry.value`."""

    kind: EntryKind
    value: str
    name: str = ""


def new_entry(kind: EntryKind, text: str, name: str = "") -> NewEntry:
    """Read an entry's number or prefix, in any usual spelling. Raises NotAPhoneNumber."""
    match kind:
        case EntryKind.NUMBER:
            return NewEntry(kind, parse_e164(text), name)
        case EntryKind.PREFIX:
            return NewEntry(kind, parse_prefix(text), name)
        case _:
            return NewEntry(kind, "", name)


def read_line(line: str) -> NewEntry:
    """Read a line of a pasted list: a number, a prefix or 非通知 and the like; a comma or tab; a name.

    A prefix ends with `*` or `…`, or is as short as an area code. Raises NotAPhoneNumber.
    """
    found = LINE.match(unicodedata.normalize("NFKC", line).replace("...", "*"))
    text, name = (found[1].strip(), (found[2] or "").strip()) if found else ("", "")
    if text in WITHOUT_NUMBER:
        return NewEntry(WITHOUT_NUMBER[text], "", name)
    if text.endswith("*"):
        return new_entry(EntryKind.PREFIX, text, name)
    try:
        return new_entry(EntryKind.NUMBER, text, name)
    except NotAPhoneNumber:
        prefix = new_entry(EntryKind.PREFIX, text, name)
        if len(prefix.value.replace("+81", "0")) > AREA_CODE_DIGITS:
            raise
        return prefix


def repeated(entries: Sequence[NewEntry]) -> dict[int, int]:
    """Find entries that match the same callers as an earlier one: place -> place of the earlier one."""
    first: dict[tuple[EntryKind, str], int] = {}
    for place, entry in enumerate(entries):
        first.setdefault((entry.kind, entry.value), place)
    places = {place: first[entry.kind, entry.value] for place, entry in enumerate(entries)}
    return {place: earlier for place, earlier in places.items() if place != earlier}


# ---- in the store ------------------------------------------------------------------------------------


async def list_whitelists(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[Whitelist]:
    """Give a page of the account's whitelists, oldest first; of one number where `number_id` is given."""
    rows = select(Whitelist).where(Whitelist.account_id == account_id)
    if number_id is not None:
        rows = rows.where(Whitelist.number_id == number_id)
    key = (Whitelist.created_at, Whitelist.id)
    return await read_page(session, rows, key, request, newest_first=False)


async def get_whitelist(session: AsyncSession, account_id: str, whitelist_id: str) -> Whitelist:
    """Give the whitelist. Raises NotFound."""
    whitelist = await session.get(Whitelist, whitelist_id)
    if whitelist is None or whitelist.account_id != account_id:
        raise NotFound(whitelist_id)
    return whitelist


async def entries_of(session: AsyncSession, *whitelist_ids: str) -> dict[str, list[WhitelistEntry]]:
    """Give the entries of whitelists, each list's in their order."""
    found: dict[str, list[WhitelistEntry]] = {whitelist_id: [] for whitelist_id in whitelist_ids}
    rows = select(WhitelistEntry).where(WhitelistEntry.whitelist_id.in_(whitelist_ids))
    for entry in await session.scalars(rows.order_by(WhitelistEntry.position)):
        found[entry.whitelist_id].append(entry)
    return found


async def create_whitelist(
    session: AsyncSession, account_id: str, number_id: str, name: str, entries: Sequence[NewEntry]
) -> Whitelist:
    """Make a whitelist of a number; `entries` hold nothing twice.

    Raises Unusable naming the field, or Conflict `name_taken`.
    """
    await revisions.bump(session)
    number = await session.get(PhoneNumber, number_id)
    if number is None or number.account_id != account_id:
        raise Unusable("number_id", "not_found")
    whitelist = Whitelist(account_id=account_id, number_id=number_id, name=name)
    await _refuse_taken_name(session, whitelist)
    session.add(whitelist)
    await session.flush()
    await _append(session, whitelist.id, entries, 0)
    return whitelist


async def change_whitelist(
    session: AsyncSession,
    account_id: str,
    whitelist_id: str,
    name: str | None = None,
    entries: Sequence[NewEntry] | None = None,
) -> Whitelist:
    """Rename it, put `entries` in the place of all it has, or both. Raises NotFound, Conflict, Unusable."""
    await revisions.bump(session)
    whitelist = await get_whitelist(session, account_id, whitelist_id)
    with session.no_autoflush:
        whitelist.name = name or whitelist.name
        await _refuse_taken_name(session, whitelist)
    if entries is not None:
        await session.execute(delete(WhitelistEntry).where(WhitelistEntry.whitelist_id == whitelist_id))
        await _append(session, whitelist_id, entries, 0)
    await session.flush()
    return whitelist


async def add_entries(
    session: AsyncSession, account_id: str, whitelist_id: str, entries: Sequence[NewEntry]
) -> set[int]:
    """Add entries at the end; give the places in `entries` of those that are there already.

    Raises NotFound, or Conflict `whitelist_full`.
    """
    await revisions.bump(session)
    whitelist = await get_whitelist(session, account_id, whitelist_id)
    there = (await entries_of(session, whitelist.id))[whitelist.id]
    known = {(entry.kind, entry.value) for entry in there}
    again = repeated(entries).keys() | {
        place for place, entry in enumerate(entries) if (entry.kind, entry.value) in known
    }
    added = [entry for place, entry in enumerate(entries) if place not in again]
    if len(there) + len(added) > MOST_ENTRIES:
        raise Conflict("whitelist_full")
    await _append(session, whitelist.id, added, there[-1].position + 1 if there else 0)
    return again


async def delete_entries(
    session: AsyncSession, account_id: str, whitelist_id: str, entry_ids: Iterable[str]
) -> set[str]:
    """Delete entries; give the ids of those that were there. Raises NotFound for the whitelist."""
    await revisions.bump(session)
    whitelist = await get_whitelist(session, account_id, whitelist_id)
    wanted = select(WhitelistEntry).where(
        WhitelistEntry.whitelist_id == whitelist.id, WhitelistEntry.id.in_(list(entry_ids))
    )
    found = list(await session.scalars(wanted))
    for entry in found:
        await session.delete(entry)
    return {entry.id for entry in found}


async def delete_whitelist(session: AsyncSession, account_id: str, whitelist_id: str) -> None:
    """Delete it with its entries. Raises NotFound, or InUse naming the rules that have chosen it."""
    await revisions.bump(session)
    whitelist = await get_whitelist(session, account_id, whitelist_id)
    users = await session.scalars(select(RusurepoRule).where(RusurepoRule.whitelist_id == whitelist_id))
    used_by = [Use("rule", rule.id, rule.name) for rule in users]
    if used_by:
        raise InUse(used_by)
    await session.execute(delete(WhitelistEntry).where(WhitelistEntry.whitelist_id == whitelist_id))
    await session.delete(whitelist)


async def _append(
    session: AsyncSession, whitelist_id: str, entries: Sequence[NewEntry], position: int
) -> None:
    if len(entries) > MOST_ENTRIES:
        raise Conflict("whitelist_full")
    session.add_all(
        WhitelistEntry(
            whitelist_id=whitelist_id, position=place, kind=entry.kind, value=entry.value, name=entry.name
        )
        for place, entry in enumerate(entries, position)
    )
    await session.flush()


async def _refuse_taken_name(session: AsyncSession, whitelist: Whitelist) -> None:
    others = select(func.count()).where(
        Whitelist.number_id == whitelist.number_id,
        Whitelist.name == whitelist.name,
        Whitelist.id != whitelist.id,
    )
    if await session.scalar(others):
        raise Conflict("name_taken")
