"""Outbound calls that have happened, for tests of what they cost."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from store.models import Call, CallerKind, new_id
from tests.furnishing import Furnished

NUMBERS = {
    "fixed": "+81311112222",
    "mobile": "+819012345678",
    "ip": "+815012345678",
    "navi": "+81570123456",
    "free": "+81120123456",
    "overseas": "+18085551234",
    "emergency": "110",
}


def outbound(
    ours: Furnished, at: datetime, seconds: float, kind: str = "mobile", call_id: str | None = None
) -> Call:
    """A call that began at `at`, was answered three seconds later (unless `seconds` is 0), and has ended."""
    answered = at + timedelta(seconds=3)
    return Call(
        id=call_id or f"test-{new_id()}",
        node="test",
        account_id=ours.account_id,
        number_id=ours.number_id,
        device_id=ours.device_id,
        direction="outbound",
        dialled=NUMBERS[kind],
        caller=ours.e164,
        caller_kind=CallerKind.NUMBER,
        destination_class=kind,
        started_at=at,
        answered_at=answered if seconds else None,
        ended_at=answered + timedelta(seconds=seconds),
        result="answered" if seconds else "no_answer",
    )


async def happened(session: AsyncSession, *calls: Call) -> None:
    session.add_all(calls)
    await session.flush()
