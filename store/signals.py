"""What a device shows of its numbers' messages: the message-waiting lamp (RFC 3842)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.jobs import enqueue
from store.models import Account, Device, PhoneNumber, Registration, VoiceMessage

SIGNAL_DEVICES = "signal_devices"
"""Kind of job: set the lamps of the devices of a number (the subject)."""

TEXT_DEVICES = "text_devices"
"""Kind of job: send the report of a message (the subject) to the devices of its number as SIP MESSAGE."""


@dataclass(frozen=True)
class Lamp:
    """How many messages wait, and how many were read already."""

    new: int = 0
    old: int = 0


async def signal(session: AsyncSession, number_id: str) -> None:
    """Have the lamps of the number's devices set anew, once this transaction is committed.

    To be called wherever messages of a number come, go, are read or are marked unread again.
    """
    # Always a job of its own: one that waits already may have counted before we commit.
    enqueue(session, SIGNAL_DEVICES, number_id, lane=lamp_lane(number_id))


def lamp_lane(number_id: str) -> str:
    """One at a time for each number, so that whoever does one finds the others waiting and does them too."""
    return f"lamp.{number_id}"


async def lamp_of_number(session: AsyncSession, number_id: str) -> tuple[str, Lamp] | None:
    """The account whose devices ring for the number, and their lamp; None where the number is gone."""
    account_id = await session.scalar(select(PhoneNumber.account_id).where(PhoneNumber.id == number_id))
    return (account_id, (await lamps(session, account_id))[account_id]) if account_id else None


async def lamps(session: AsyncSession, account_id: str | None = None) -> dict[str, Lamp]:
    """Account -> its lamp; for one account, or for all, those without messages too."""
    counted = (
        select(Account.id, func.count(VoiceMessage.id), func.count(VoiceMessage.read_at))
        .outerjoin(VoiceMessage, VoiceMessage.account_id == Account.id)
        .group_by(Account.id)
    )
    if account_id is not None:
        counted = counted.where(Account.id == account_id)
    rows = await session.execute(counted)
    return {account: Lamp(new=messages - read, old=read) for account, messages, read in rows}


_devices, _messages = Device.__table__, VoiceMessage.__table__
_logins: Any = Registration.__table__
_SHOWING = (
    select(_devices.c.username)
    .join(_messages, _messages.c.account_id == _devices.c.account_id)
    .where(exists().where(_logins.c.device_id == _devices.c.id))
)


def devices_of_message(connection: Connection, message_id: str) -> list[str]:
    """The user names of the devices that a message is shown on, of those that were logged in when Asterisk
    was last asked; nothing where the message is gone.
    """
    return list(connection.scalars(_SHOWING.where(_messages.c.id == message_id)))
