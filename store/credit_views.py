"""Credit as the customer sees and sets it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from store.billing_month import month_of
from store.credit import CreditSettings, held_back, lock_account, standing, top_up
from store.errors import Conflict
from store.models import CreditAccount, CreditMonth, Reservation, TopUp, TopUpSource
from store.pages import Page, PageRequest, read_page
from store.standing import Standing
from store.tariff import CreditRules
from store.tariffs import NoTariff, tariff_at


@dataclass(frozen=True)
class CreditView:
    """An account's credit in the billing month of now; yen without tax."""

    month: str
    standing: Standing
    reserved: int
    reservations: list[Reservation]
    warn_at: int
    warned_at: datetime | None
    top_up: int
    settings: CreditSettings


async def view(session: AsyncSession, account_id: str, at: datetime) -> CreditView:
    connection = await session.connection()
    month = month_of(at)
    try:
        rules = (await connection.run_sync(tariff_at, at)).tariff.credit
    except NoTariff:
        rules = CreditRules(ceiling=0)
    settings = await session.get(CreditAccount, account_id)
    sums = await session.get(CreditMonth, (account_id, str(month)))
    held = select(Reservation).where(Reservation.account_id == account_id)
    return CreditView(
        month=str(month),
        standing=await connection.run_sync(standing, account_id, month, rules.ceiling),
        reserved=await connection.run_sync(held_back, account_id),
        reservations=list(await session.scalars(held.order_by(Reservation.reserved_at, Reservation.call_id))),
        warn_at=sums.warn_at if sums else rules.warn_at,
        warned_at=sums.warned_at if sums else None,
        top_up=rules.top_up,
        settings=CreditSettings(settings.automatic_top_up, settings.automatic_limit)
        if settings
        else CreditSettings(),
    )


async def change_settings(session: AsyncSession, account_id: str, changes: dict[str, Any]) -> None:
    """Set `automatic_top_up` and `automatic_limit`, as far as they are given."""
    connection = await session.connection()
    await connection.run_sync(lock_account, account_id)
    row = await session.get_one(CreditAccount, account_id, populate_existing=True)
    row.automatic_top_up = changes.get("automatic_top_up", row.automatic_top_up)
    row.automatic_limit = changes.get("automatic_limit", row.automatic_limit)
    await session.flush()


async def list_top_ups(session: AsyncSession, account_id: str, request: PageRequest) -> Page[TopUp]:
    """A page of チャージ履歴, newest first."""
    rows = select(TopUp).where(TopUp.account_id == account_id)
    return await read_page(session, rows, (TopUp.at, TopUp.id), request, newest_first=True)


async def add_top_up(session: AsyncSession, account_id: str, key: str, by: str, at: datetime) -> TopUp:
    """One more top-up; the same one for the same `key`. Raises Conflict `no_tariff`."""
    connection = await session.connection()
    try:
        made = await connection.run_sync(top_up, account_id, key, TopUpSource.MANUAL, by, at)
    except NoTariff:
        raise Conflict("no_tariff") from None
    return await session.get_one(TopUp, made.id)
