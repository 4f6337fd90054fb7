"""Call records and their journals, as the customer reads them."""

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store.errors import NotFound
from store.models import Call, JournalEntry
from store.pages import Page, PageRequest, read_page


def _of_account(account_id: str) -> Select[Call]:
    return select(Call).where(Call.account_id == account_id).options(joinedload(Call.number))


async def list_calls(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[Call]:
    """Give a page of the account's calls, newest first, each with its `number`; of one number if given."""
    rows = _of_account(account_id)
    if number_id is not None:
        rows = rows.where(Call.number_id == number_id)
    return await read_page(session, rows, (Call.started_at, Call.id), request, newest_first=True)


async def get_call(session: AsyncSession, account_id: str, call_id: str) -> Call:
    """Give the call with its `number`. Raises NotFound."""
    call = await session.scalar(_of_account(account_id).where(Call.id == call_id))
    if call is None:
        raise NotFound(call_id)
    return call


async def read_journal(session: AsyncSession, account_id: str, call_id: str) -> Sequence[JournalEntry]:
    """Give the milestones of a call in the order they were written. Raises NotFound."""
    await get_call(session, account_id, call_id)
    entries = select(JournalEntry).where(JournalEntry.call_id == call_id).order_by(JournalEntry.id)
    return (await session.scalars(entries)).all()
