"""The messages callers left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from store.bulk_deletion import OpenSession, delete_many, remove_files
from store.e164 import E164
from store.errors import NotFound
from store.events import append_in
from store.media import Media
from store.models import CallerKind, JournalEntry, MessageStatus, PhoneNumber, Transcript, VoiceMessage, now
from store.pages import Page, PageRequest, read_page
from store.signals import signal
from store.transcripts import says

Deleted = Literal["deleted", "not_found", "failed"]


@dataclass(frozen=True)
class MessageFilter:
    """Which messages; None means any. `since` is within the period, `until` is past its end.

    `text` stands in the transcript as it is shown.
    """

    number_id: str | None = None
    number: E164 | None = None
    since: datetime | None = None
    until: datetime | None = None
    read: bool | None = None
    status: MessageStatus | None = None
    caller: E164 | None = None
    caller_kind: CallerKind | None = None
    text: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must fulfil; a further way to search is a further line."""
        asked: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
            (self.number_id, lambda: VoiceMessage.number_id == self.number_id),
            (self.number, lambda: VoiceMessage.number.has(PhoneNumber.e164 == self.number)),
            (self.since, lambda: VoiceMessage.started_at >= self.since),
            (self.until, lambda: VoiceMessage.started_at < self.until),
            (self.read, lambda: VoiceMessage.read_at.is_not(None) if self.read else _UNREAD),
            (self.status, lambda: VoiceMessage.status == self.status),
            (self.caller, lambda: VoiceMessage.caller == self.caller),
            (self.caller_kind, lambda: VoiceMessage.caller_kind == self.caller_kind),
            (self.text or None, lambda: VoiceMessage.transcript.has(says(self.text or ""))),
        ]
        return [condition() for value, condition in asked if value is not None]


@dataclass(frozen=True)
class MessageCount:
    """A number of the account, and how many messages it has."""

    number_id: str
    number: E164
    messages: int
    unread: int


_UNREAD = VoiceMessage.read_at.is_(None)


def _of_account(account_id: str) -> Select[VoiceMessage]:
    messages = select(VoiceMessage).where(VoiceMessage.account_id == account_id)
    transcript = joinedload(VoiceMessage.transcript).defer(Transcript.words)
    return messages.options(joinedload(VoiceMessage.number), transcript)


async def list_messages(
    session: AsyncSession, account_id: str, wanted: MessageFilter, request: PageRequest
) -> Page[VoiceMessage]:
    """Give a page of the account's messages, newest first, each with its `number` and `transcript`."""
    rows = _of_account(account_id).where(*wanted.conditions())
    key = (VoiceMessage.started_at, VoiceMessage.id)
    return await read_page(session, rows, key, request, newest_first=True)


async def count_messages(session: AsyncSession, account_id: str) -> list[MessageCount]:
    """Count the messages of each of the account's numbers, oldest number first."""
    counted = (
        select(PhoneNumber.id, PhoneNumber.e164, func.count(VoiceMessage.id), _unread_count())
        .outerjoin(VoiceMessage, VoiceMessage.number_id == PhoneNumber.id)
        .where(PhoneNumber.account_id == account_id)
        .group_by(PhoneNumber.id, PhoneNumber.e164, PhoneNumber.created_at)
        .order_by(PhoneNumber.created_at, PhoneNumber.id)
    )
    rows = await session.execute(counted)
    return [MessageCount(number_id, E164(e164), total, unread) for number_id, e164, total, unread in rows]


def _unread_count() -> ColumnElement[int]:
    return func.count(case((_UNREAD, VoiceMessage.id)))


async def get_message(session: AsyncSession, account_id: str, message_id: str) -> VoiceMessage:
    """Give the message with its `number` and `transcript`. Raises NotFound."""
    message = await session.scalar(_of_account(account_id).where(VoiceMessage.id == message_id))
    if message is None:
        raise NotFound(message_id)
    return message


async def read_messages(
    session: AsyncSession, account_id: str, message_ids: Sequence[str]
) -> dict[str, VoiceMessage]:
    """Give those of the messages that are there, by id in the order asked for, each with its `number`."""
    rows = await session.scalars(_of_account(account_id).where(VoiceMessage.id.in_(message_ids)))
    found = {message.id: message for message in rows}
    return {message_id: found[message_id] for message_id in message_ids if message_id in found}


async def change_messages(
    session: AsyncSession,
    account_id: str,
    message_ids: Sequence[str],
    by: str,
    *,
    read: bool | None = None,
    status: MessageStatus | None = None,
    note: str | None = None,
) -> set[str]:
    """Change what is given of those messages that are there; give their ids.

    What is not given stays as it is in the database, whoever else changes it at the same moment. Of a
    message that is read already, who read it first and when stays too.
    """
    changes = _changes(by, read, status, note)
    ours = _locked(account_id, message_ids)
    if not changes:
        return set(await session.scalars(ours))
    changed = update(VoiceMessage).where(VoiceMessage.id.in_(ours)).values(updated_at=now(), **changes)
    changed = changed.execution_options(synchronize_session=False)
    rows = (await session.execute(changed.returning(VoiceMessage.id, VoiceMessage.number_id))).all()
    if read is not None:
        await _signal_each(session, {row.number_id for row in rows})
    told = {name: value for name, value in (("read", read), ("status", status)) if value is not None}
    await append_in(session, account_id, "message.changed", (row.id for row in rows), told)
    return {row.id for row in rows}


def _locked(account_id: str, message_ids: Sequence[str]) -> Select[str]:
    """The ids of those that are there. Locked in one order: two bulk changes must not wait for each other."""
    ours = (VoiceMessage.account_id == account_id, VoiceMessage.id.in_(message_ids))
    return select(VoiceMessage.id).where(*ours).order_by(VoiceMessage.id).with_for_update()


def _changes(by: str, read: bool | None, status: MessageStatus | None, note: str | None) -> dict[str, Any]:
    given = {"status": status, "note": note}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if read:
        changes["read_at"] = func.coalesce(VoiceMessage.read_at, now())
        changes["read_by"] = case((_UNREAD, by), else_=VoiceMessage.read_by)
    elif read is not None:
        changes |= {"read_at": None, "read_by": None}
    return changes


async def delete_message(
    session: AsyncSession, media: Media, account_id: str, message_id: str, by: str
) -> None:
    """Delete the message's row and file, and tell the journal of its call who (`by`) did.

    Raises NotFound, or NotRemoved where the file stays, and with it the message.
    """
    outcome = await _delete_together(session, [message_id], media, account_id, by)
    if outcome[message_id] == "not_found":
        raise NotFound(message_id)


async def delete_messages(
    open_session: OpenSession, media: Media, account_id: str, message_ids: Sequence[str], by: str
) -> dict[str, Deleted]:
    """Delete many, some together in a transaction; say of each how it went.

    `failed` are those whose file could not be removed: they stay as they are, and stop nobody else.
    """
    some = partial(_delete_together, media=media, account_id=account_id, by=by)
    return await delete_many(open_session, some, message_ids, "failed")


async def _delete_together(
    session: AsyncSession, message_ids: Sequence[str], media: Media, account_id: str, by: str
) -> dict[str, Deleted]:
    # One statement finds and deletes: of two who delete at once, one does and the other finds nothing.
    gone = delete(VoiceMessage).where(VoiceMessage.id.in_(_locked(account_id, message_ids)))
    gone = gone.execution_options(synchronize_session=False)
    columns = (VoiceMessage.id, VoiceMessage.call_id, VoiceMessage.number_id, VoiceMessage.media)
    rows = (await session.execute(gone.returning(*columns))).all()
    at = now()
    for row in rows:
        told = {"message_id": row.id, "by": by}
        session.add(JournalEntry(call_id=row.call_id, at=at, event="message_deleted", details=told))
    await _signal_each(session, {row.number_id for row in rows})
    await append_in(session, account_id, "message.deleted", (row.id for row in rows))
    await session.flush()
    await remove_files(media, [row.media for row in rows])
    outcome: dict[str, Deleted] = dict.fromkeys(message_ids, "not_found")
    return outcome | dict.fromkeys([row.id for row in rows], "deleted")


async def _signal_each(session: AsyncSession, number_ids: set[str]) -> None:
    for number_id in sorted(number_ids):
        await signal(session, number_id)
