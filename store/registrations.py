"""Where devices are logged in, as each node's Asterisk said last."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from store.devices import get_device
from store.events import append_each
from store.models import Device, Registration, new_id


@dataclass(frozen=True)
class Contact:
    """A contact as Asterisk has it. `reachable` and `latency_ms` are None until it was asked."""

    username: str
    uri: str
    user_agent: str
    address: str
    expires_at: datetime
    latency_ms: float | None = None
    reachable: bool | None = None


async def list_registrations(
    session: AsyncSession, account_id: str, device_id: str, at: datetime
) -> Sequence[Registration]:
    """Where the device is logged in at `at`, longest first. Raises NotFound."""
    await get_device(session, account_id, device_id)
    rows = select(Registration).where(Registration.device_id == device_id, Registration.expires_at > at)
    return (await session.scalars(rows.order_by(Registration.since, Registration.id))).all()


async def keep_registrations(
    session: AsyncSession, node: str, contacts: Iterable[Contact], at: datetime, of: str | None = None
) -> None:
    """Make the node's registrations what its Asterisk has at `at`; of one user name, or of all.

    A contact we know keeps its `since`; one that was refreshed or that answers was seen now. To be called
    last in a transaction.
    """
    devices = select(Device.username, Device.id, Device.account_id)
    known = select(Registration).where(Registration.node == node)
    if of is not None:
        devices = devices.where(Device.username == of)
        known = known.where(Registration.device_id.in_(select(Device.id).where(Device.username == of)))
    found = {row.username: row for row in await session.execute(devices)}
    rows = {(row.device_id, row.uri): row for row in await session.scalars(known)}
    added: list[Registration] = []
    for contact in contacts:
        if contact.username not in found:
            continue
        device_id = found[contact.username].id
        row = rows.pop((device_id, contact.uri[:400]), None)
        if row is None:
            row = Registration(
                id=new_id(), node=node, device_id=device_id, uri=contact.uri[:400], since=at, seen_at=at
            )
            added.append(row)
        elif row.expires_at != contact.expires_at or contact.reachable:
            row.seen_at = at
        row.user_agent, row.address = contact.user_agent[:300], contact.address[:64]
        row.expires_at, row.read_at = contact.expires_at, at
        row.latency_ms, row.reachable = contact.latency_ms, contact.reachable
    session.add_all(added)
    if rows:
        gone = [row.id for row in rows.values()]
        await session.execute(delete(Registration).where(Registration.id.in_(gone)))
    accounts = {row.id: row.account_id for row in found.values()}
    await _tell(session, accounts, "registration.added", added)
    await _tell(session, accounts, "registration.removed", rows.values())


async def _tell(
    session: AsyncSession, accounts: Mapping[str, str], kind: str, rows: Iterable[Registration]
) -> None:
    """`accounts`: of each device."""
    told: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        if row.device_id in accounts:
            told.setdefault(accounts[row.device_id], {})[row.id] = {"device_id": row.device_id}
    for account_id, subjects in told.items():
        await append_each(session, account_id, kind, subjects)
