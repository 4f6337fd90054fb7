"""Requests that must not be done twice: who has claimed a key, and what the answer was."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from store.models import IdempotencyKey, now
from store.sealing import seal, unseal
from store.upserts import insert_for

KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class Answered:
    """What is known of a key that was claimed before. `status` None: no answer is known."""

    digest: str
    status: int | None
    answer: str | None
    claimed_at: datetime


async def claim(
    session: AsyncSession, secret_key: str, token_id: str, key: str, digest: str
) -> Answered | None:
    """Claim the token's `key` for the request with this digest; else say what became of the earlier one.

    Of two who claim at once one succeeds; the other sees it once this transaction is committed.
    """
    new = insert_for(session, IdempotencyKey)
    new = new.values(token_id=token_id, key=key, digest=digest, created_at=now())
    claimed = new.on_conflict_do_nothing(index_elements=["token_id", "key"]).returning(IdempotencyKey.key)
    if await session.scalar(claimed) is not None:
        return None
    row = await session.scalar(select(IdempotencyKey).where(*_is(token_id, key)))
    if row is None:
        # Given back this moment: whoever asks again will have it.
        return Answered(digest, None, None, now())
    answer = unseal(row.sealed_answer, secret_key) if row.sealed_answer is not None else None
    return Answered(row.digest, row.status, answer, row.created_at)


async def keep_answer(
    session: AsyncSession, secret_key: str, token_id: str, key: str, status: int, answer: str
) -> None:
    """Keep the answer for whoever asks again within a day."""
    kept = update(IdempotencyKey).where(*_is(token_id, key))
    await session.execute(kept.values(status=status, sealed_answer=seal(answer, secret_key)))


async def give_back(session: AsyncSession, token_id: str, key: str) -> None:
    """Nothing was done: the key may be used again."""
    await session.execute(delete(IdempotencyKey).where(*_is(token_id, key)))


async def forget_answers(session: AsyncSession, at: datetime) -> None:
    """Forget what is older than a day as of `at`."""
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < at - KEPT))


def _is(token_id: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return (IdempotencyKey.token_id == token_id, IdempotencyKey.key == key)
