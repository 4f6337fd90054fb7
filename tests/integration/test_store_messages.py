"""Messages and calls, on both databases."""

from datetime import datetime, timedelta

import pytest

from store import calls, messages
from store.database import Database
from store.e164 import E164
from store.errors import BadCursor, NotFound
from store.media import Media
from store.messages import MessageFilter
from store.models import VoiceMessage
from store.pages import Cursor, PageRequest, parse_cursor
from tests.furnishing import FIRST_CALL, Furnished, leave_message

pytestmark = pytest.mark.integration


async def leave(database: Database, media: Media, ours: Furnished, at: datetime) -> str:
    async with database.session() as session:
        return (await leave_message(session, media, ours.account_id, ours.number_id, at)).id


async def read(database: Database, account_id: str, wanted: MessageFilter) -> list[str]:
    async with database.session() as session:
        page = await messages.list_messages(session, account_id, wanted, PageRequest())
    return [message.id for message in page.items]


async def test_pages_are_stable_while_messages_arrive(
    database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    minutes = [1, 2, 2, 2, 3]
    left = [await leave(database, media, ours, FIRST_CALL + timedelta(minutes=minute)) for minute in minutes]
    seen: list[VoiceMessage] = []
    request = PageRequest(limit=2)
    for late in range(3):
        async with database.session() as session:
            page = await messages.list_messages(session, ours.account_id, MessageFilter(), request)
        seen += page.items
        await leave(database, media, ours, FIRST_CALL + timedelta(hours=1 + late))
        request = PageRequest(2, page.next)
    assert page.next is None
    assert {message.id for message in seen} == {*left, ours.message_id}
    assert [message.started_at for message in seen] == sorted(
        (message.started_at for message in seen), reverse=True
    )
    assert len(seen) == 6


async def test_filters(database: Database, media: Media, ours: Furnished, theirs: Furnished) -> None:
    later = FIRST_CALL + timedelta(hours=1)
    second = await leave(database, media, ours, later)
    account_id = ours.account_id
    both = [second, ours.message_id]
    assert await read(database, account_id, MessageFilter()) == both
    assert await read(database, account_id, MessageFilter(number_id=ours.number_id)) == both
    assert await read(database, account_id, MessageFilter(number=ours.e164)) == both
    assert await read(database, account_id, MessageFilter(number=theirs.e164)) == []
    assert await read(database, account_id, MessageFilter(number=E164("+81300000000"))) == []
    assert await read(database, account_id, MessageFilter(number_id=theirs.number_id)) == []
    assert await read(database, account_id, MessageFilter(since=later)) == [second]
    assert await read(database, account_id, MessageFilter(until=later)) == [ours.message_id]


async def test_deleting_removes_sound_and_row_and_is_journalled(
    database: Database, media: Media, ours: Furnished
) -> None:
    async with database.session() as session:
        message = await messages.get_message(session, ours.account_id, ours.message_id)
    assert media.path(message.media).exists()
    async with database.session() as session:
        await messages.delete_message(session, media, ours.account_id, ours.message_id, by="token-1")
    assert not media.path(message.media).exists()
    async with database.session() as session:
        with pytest.raises(NotFound):
            await messages.get_message(session, ours.account_id, ours.message_id)
        last = (await calls.read_journal(session, ours.account_id, ours.call_id))[-1]
    assert last.event == "message_deleted"
    assert last.details == {"message_id": ours.message_id, "by": "token-1"}


async def test_another_accounts_message_is_neither_read_nor_deleted(
    database: Database, media: Media, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        with pytest.raises(NotFound):
            await messages.delete_message(session, media, ours.account_id, theirs.message_id, by="x")
        with pytest.raises(NotFound):
            await calls.get_call(session, ours.account_id, theirs.call_id)
        with pytest.raises(NotFound):
            await calls.read_journal(session, ours.account_id, theirs.call_id)
        kept = await messages.get_message(session, theirs.account_id, theirs.message_id)
    assert media.path(kept.media).exists()


async def test_calls_are_listed_with_their_number(
    database: Database, ours: Furnished, theirs: Furnished
) -> None:
    async with database.session() as session:
        page = await calls.list_calls(session, ours.account_id, calls.CallFilter(), PageRequest())
        journal = await calls.read_journal(session, ours.account_id, ours.call_id)
    assert [(call.id, call.number and call.number.e164) for call in page.items] == [(ours.call_id, ours.e164)]
    assert [entry.event for entry in journal] == ["arrived", "answered", "ended"]


def test_cursor_survives_its_text() -> None:
    cursor = Cursor(FIRST_CALL + timedelta(microseconds=7), "denwaban-1763900000.12")
    assert parse_cursor(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "x", "あ", "////", "MjAyNi0xMS0yMw", "fHg", "MDAwMS0wMS0wMVQwMDowMDowMCswOTowMHx4"]
)
def test_other_texts_are_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        parse_cursor(text)
