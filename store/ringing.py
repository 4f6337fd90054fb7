"""Ring plans of numbers, and the block list."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store import revisions
from store.arrivals import USUAL_RING_S
from store.errors import Conflict, Unusable
from store.models import BlockedCaller, Device, RingPlan, RusurepoRule, Treatment
from store.numbers import get_number
from store.pages import Page, PageRequest, read_page
from store.whitelists import NewEntry

LONGEST_RING_S = 99
USUAL_TURN_S = 20
MOST_BLOCKED = 1000


@dataclass(frozen=True)
class Plan:
    """Which devices ring for a number (id and seconds each, in order; none: all of the account).

    A device without seconds rings for `USUAL_TURN_S` in turn, and at once to the end.
    """

    in_turn: bool = False
    ring_s: int = USUAL_RING_S
    devices: tuple[tuple[str, int | None], ...] = ()
    unanswered_rule_id: str | None = None


async def get_plan(session: AsyncSession, account_id: str, number_id: str) -> Plan:
    """Raises NotFound."""
    await get_number(session, account_id, number_id)
    row = await session.get(RingPlan, number_id)
    if row is None:
        return Plan()
    devices = tuple((one["device_id"], one["ring_s"]) for one in row.devices)
    return Plan(row.in_turn, row.ring_s, devices, row.unanswered_rule_id)


async def set_plan(session: AsyncSession, account_id: str, number_id: str, plan: Plan) -> None:
    """Raises NotFound for the number, Unusable naming the field."""
    await revisions.bump(session)
    await get_number(session, account_id, number_id)
    ids = [device_id for device_id, _ in plan.devices]
    found = select(Device.id).where(Device.account_id == account_id, Device.id.in_(ids))
    if set(await session.scalars(found)) != set(ids):
        raise Unusable("devices", "not_found")
    if len(set(ids)) != len(ids):
        raise Unusable("devices", "repeated")
    if plan.in_turn and not ids:
        raise Unusable("devices", "required")
    usual_s = USUAL_TURN_S if plan.in_turn else None
    devices = [(device_id, ring_s or usual_s) for device_id, ring_s in plan.devices]
    if plan.in_turn and sum(ring_s or 0 for _, ring_s in devices) > LONGEST_RING_S:
        raise Unusable("devices", "rings_too_long")
    if plan.unanswered_rule_id is not None:
        rule = await session.get(RusurepoRule, plan.unanswered_rule_id)
        if rule is None or rule.number_id != number_id:
            raise Unusable("unanswered_rule_id", "not_found")
    row = await session.get(RingPlan, number_id) or RingPlan(number_id=number_id)
    row.in_turn, row.ring_s = plan.in_turn, plan.ring_s
    row.devices = [{"device_id": device_id, "ring_s": ring_s} for device_id, ring_s in devices]
    row.unanswered_rule_id = plan.unanswered_rule_id
    session.add(row)
    await session.flush()


async def list_blocked(
    session: AsyncSession, account_id: str, number_id: str | None, request: PageRequest
) -> Page[BlockedCaller]:
    """Give a page of the block list, oldest first; with `number_id`, of what applies to that number."""
    rows = select(BlockedCaller).where(BlockedCaller.account_id == account_id)
    if number_id is not None:
        rows = rows.where(BlockedCaller.number_id.is_(None) | (BlockedCaller.number_id == number_id))
    key = (BlockedCaller.created_at, BlockedCaller.id)
    return await read_page(session, rows, key, request, newest_first=False)


async def block(
    session: AsyncSession, account_id: str, number_id: str | None, entry: NewEntry, treatment: Treatment
) -> BlockedCaller:
    """Block a caller. Raises NotFound for the number, Conflict `already_blocked` or `block_list_full`."""
    await revisions.bump(session)
    if number_id is not None:
        await get_number(session, account_id, number_id)
    rows: Sequence[BlockedCaller] = (
        await session.scalars(select(BlockedCaller).where(BlockedCaller.account_id == account_id))
    ).all()
    if len(rows) >= MOST_BLOCKED:
        raise Conflict("block_list_full")
    if any((one.number_id, one.kind, one.value) == (number_id, entry.kind, entry.value) for one in rows):
        raise Conflict("already_blocked")
    blocked = BlockedCaller(
        account_id=account_id,
        number_id=number_id,
        kind=entry.kind,
        value=entry.value,
        treatment=treatment,
        name=entry.name,
    )
    session.add(blocked)
    await session.flush()
    return blocked


async def unblock(session: AsyncSession, account_id: str, ids: Iterable[str]) -> set[str]:
    """Take entries off the list; give the ids of those that were there."""
    await revisions.bump(session)
    wanted = select(BlockedCaller).where(
        BlockedCaller.account_id == account_id, BlockedCaller.id.in_(list(ids))
    )
    found = list(await session.scalars(wanted))
    for one in found:
        await session.delete(one)
    return {one.id for one in found}
