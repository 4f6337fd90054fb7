"""The messages callers left."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store.e164 import E164
from store.errors import NotFound
from store.media import Media
from store.models import JournalEntry, PhoneNumber, Transcript, VoiceMessage, now
from store.pages import Page, PageRequest, read_page
from store.transcripts import says


@dataclass(frozen=True)
class MessageFilter:
    """Which messages; None means any. `since` is within the period, `until` is past its end.

    `text` stands in the transcript as it is shown.
    """

    number_id: str | None = None
    number: E164 | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


def _of_account(account_id: str) -> Select[VoiceMessage]:
    messages = select(VoiceMessage).where(VoiceMessage.account_id == account_id)
    transcript = joinedload(VoiceMessage.transcript).defer(Transcript.words)
    return messages.options(joinedload(VoiceMessage.number), transcript)


async def list_messages(
    session: AsyncSession, account_id: str, wanted: MessageFilter, request: PageRequest
) -> Page[VoiceMessage]:
    """Give a page of the account's messages, newest first, each with its `number` and `transcript`."""
    rows = _of_account(account_id)
    if wanted.number_id is not None:
        rows = rows.where(VoiceMessage.number_id == wanted.number_id)
    if wanted.number is not None:
        rows = rows.where(VoiceMessage.number.has(PhoneNumber.e164 == wanted.number))
    if wanted.since is not None:
        rows = rows.where(VoiceMessage.started_at >= wanted.since)
    if wanted.until is not None:
        rows = rows.where(VoiceMessage.started_at < wanted.until)
    if wanted.text:
        rows = rows.where(VoiceMessage.transcript.has(says(wanted.text)))
    key = (VoiceMessage.started_at, VoiceMessage.id)
    return await read_page(session, rows, key, request, newest_first=True)


async def get_message(session: AsyncSession, account_id: str, message_id: str) -> VoiceMessage:
    """Give the message with its `number` and `transcript`. Raises NotFound."""
    message = await session.scalar(_of_account(account_id).where(VoiceMessage.id == message_id))
    if message is None:
        raise NotFound(message_id)
    return message


async def delete_message(
    session: AsyncSession, media: Media, account_id: str, message_id: str, by: str
) -> None:
    """Delete the message's row and file, and tell the journal of its call who (`by`) did. Raises NotFound."""
    # One statement finds and deletes: of two who delete at once, one does and the other finds nothing.
    gone = delete(VoiceMessage).where(VoiceMessage.account_id == account_id, VoiceMessage.id == message_id)
    row = (await session.execute(gone.returning(VoiceMessage.call_id, VoiceMessage.media))).one_or_none()
    if row is None:
        raise NotFound(message_id)
    told = {"message_id": message_id, "by": by}
    session.add(JournalEntry(call_id=row.call_id, at=now(), event="message_deleted", details=told))
    await session.flush()
    # The file goes before the commit: a crash in between leaves a message without sound, which can be
    # deleted again, and never a voice on disk that no row knows of.
    await asyncio.to_thread(media.remove, row.media)
