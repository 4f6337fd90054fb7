"""Logins that failed, and addresses that are blocked for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.errors import NotFound
from store.models import BlockedAddress, Device, FailedLogin, LoginFailure
from store.pages import Page, PageRequest, read_page
from store.upserts import insert_for

TOGETHER = timedelta(minutes=10)
"""Failures of one address with one user name that follow in this time are one row."""

KEPT = timedelta(days=90)
MOST_NEW_ROWS = 200
"""New rows per writing: a scanner tries thousands of names."""

OTHERS = "…"
"""Stands for the names beyond that."""


@dataclass(frozen=True)
class Failures:
    """How often an address failed with a user name, between two moments."""

    address: str
    username: str
    reason: LoginFailure
    count: int
    first_at: datetime
    last_at: datetime


async def note_failures(session: AsyncSession, node: str, failures: Sequence[Failures]) -> None:
    """Keep them, added to what the same address did just before."""
    usernames = {failure.username for failure in failures}
    devices = {
        device.username: device
        for device in await session.scalars(select(Device).where(Device.username.in_(usernames)))
    }
    for failure in failures[:MOST_NEW_ROWS]:
        device = devices.get(failure.username)
        row = await session.scalar(
            select(FailedLogin)
            .where(
                FailedLogin.node == node,
                FailedLogin.address == failure.address,
                FailedLogin.username == failure.username[:64],
                FailedLogin.reason == failure.reason,
                FailedLogin.last_at > failure.first_at - TOGETHER,
            )
            .order_by(FailedLogin.last_at.desc())
            .limit(1)
        )
        if row is None:
            row = FailedLogin(
                node=node,
                address=failure.address,
                username=failure.username[:64],
                reason=failure.reason,
                count=0,
                first_at=failure.first_at,
                account_id=device.account_id if device else None,
                device_id=device.id if device else None,
            )
            session.add(row)
        row.count += failure.count
        row.last_at = failure.last_at


async def list_failures(
    session: AsyncSession, account_id: str | None, request: PageRequest
) -> Page[FailedLogin]:
    """A page of failed logins, latest first: of the account's own devices, or of everything for None."""
    rows = select(FailedLogin)
    if account_id is not None:
        rows = rows.where(FailedLogin.account_id == account_id)
    return await read_page(session, rows, (FailedLogin.first_at, FailedLogin.id), request, newest_first=True)


async def block(session: AsyncSession, address: str, failures: int, at: datetime, until: datetime) -> None:
    """Have the address refused until then, by every node."""
    values = {"failures": failures, "since": at, "until": until}
    blocked = insert_for(session, BlockedAddress).values(address=address, **values)
    await session.execute(blocked.on_conflict_do_update(index_elements=["address"], set_=values))


async def blocked(session: AsyncSession, at: datetime) -> Sequence[BlockedAddress]:
    """What is blocked at `at`, latest first."""
    rows = select(BlockedAddress).where(BlockedAddress.until > at)
    return (await session.scalars(rows.order_by(BlockedAddress.since.desc(), BlockedAddress.address))).all()


async def unblock(session: AsyncSession, address: str) -> None:
    """Raises NotFound."""
    gone = delete(BlockedAddress).where(BlockedAddress.address == address).returning(BlockedAddress.address)
    if (await session.execute(gone)).scalar() is None:
        raise NotFound(address)


async def forget(session: AsyncSession, at: datetime) -> None:
    """What is kept no longer: failures older than 90 days, blocks that are over."""
    await session.execute(delete(FailedLogin).where(FailedLogin.last_at < at - KEPT))
    await session.execute(delete(BlockedAddress).where(BlockedAddress.until < at))


def gathered(failures: Iterable[Failures]) -> list[Failures]:
    """At most as many as are written at once; what is beyond is told as one per address. Pure."""
    every = sorted(failures, key=lambda failure: -failure.count)
    kept, beyond = every[: MOST_NEW_ROWS // 2], every[MOST_NEW_ROWS // 2 :]
    rest: dict[str, Failures] = {}
    for one in beyond:
        so_far = rest.get(
            one.address, Failures(one.address, OTHERS, one.reason, 0, one.first_at, one.last_at)
        )
        rest[one.address] = Failures(
            one.address,
            OTHERS,
            so_far.reason,
            so_far.count + one.count,
            min(so_far.first_at, one.first_at),
            max(so_far.last_at, one.last_at),
        )
    return kept + list(rest.values())[: MOST_NEW_ROWS // 2]
