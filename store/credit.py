"""Credit: what an account's calls may still cost, held back for each call while it runs.

Everything that spends or adds takes the account's row first, so that of several at once each sees what the
one before it left: they cannot overspend together. SQLite has one writer, PostgreSQL locks the row.

A call holds back the price of its next quarter of an hour; `extend` holds back more while it runs. What is
held back stays so until the call is charged (`store.charges`), not just until it ends.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from store.billing_month import BillingMonth, day_of, month_of
from store.models import (
    CreditAccount,
    CreditMonth,
    Reservation,
    Subscription,
    TopUp,
    TopUpSource,
    new_id,
    now,
)
from store.pricing import Line, NoRate
from store.standing import MonthSums, Standing, standing_in
from store.tariff import FREE_CLASSES
from store.tariffs import NoTariff, Published, tariff_at
from store.upserts import insert_for

SLICE_S = 900
"""How long a call may last on what is held back at once."""

IN_ONE_QUERY = 1000
GUARD_S = 1
"""A call is cut this much before its last unit ends: a late hang-up must not begin another."""


@dataclass(frozen=True)
class Allowance:
    """Whether a call may be set up, and how long it may last from its answer (None: without a limit).

    `code` is `ok`, `free`, or why not: `credit_exhausted`, `no_rate` (the tariff has no price for this
    destination), `no_tariff`.
    """

    allowed: bool
    limit_s: int | None
    code: str


@dataclass(frozen=True)
class CreditSettings:
    automatic_top_up: bool = False
    automatic_limit: int = 3


_accounts: Any = CreditAccount.__table__
_months: Any = CreditMonth.__table__
_held: Any = Reservation.__table__
_sold: Any = Subscription.__table__
_top_ups: Any = TopUp.__table__

_UPSERTS: dict[str, tuple[Any, Any]] = {}
_SUMS = select(_months.c.month, _months.c.ceiling, _months.c.charged, _months.c.topped_up).where(
    _months.c.account_id == bindparam("account")
)
_HELD = select(func.coalesce(func.sum(_held.c.yen), 0)).where(
    _held.c.account_id == bindparam("account"), _held.c.call_id != bindparam("but")
)
_SETTLE = delete(_held).where(_held.c.call_id.in_(bindparam("calls", expanding=True)))
_HELD_BETWEEN = select(_held.c.call_id).where(_held.c.call_id.between(bindparam("first"), bindparam("last")))
_RESERVATION = select(_held).where(_held.c.call_id == bindparam("call"))
_PLANS = select(_sold.c.item).where(
    _sold.c.subject_id == bindparam("device"),
    _sold.c.starts_on <= bindparam("day"),
    _sold.c.ends_on.is_(None) | (_sold.c.ends_on >= bindparam("day")),
)
_AUTOMATIC = select(func.count()).where(
    _top_ups.c.account_id == bindparam("account"),
    _top_ups.c.month == bindparam("month"),
    _top_ups.c.source == TopUpSource.AUTOMATIC,
)


def reserve(
    connection: Connection,
    *,
    account_id: str,
    call_id: str,
    destination_class: str,
    e164: str,
    device_id: str | None,
    at: datetime,
) -> Allowance:
    """Hold back credit for a call that is to be set up now.

    `destination_class` is one of the tariff's (`fixed`, `mobile`, `ip`, `navi`, …), `overseas`, or one of
    `FREE_CLASSES`, which are never refused and touch nothing. Asked again for the same call, the answer is
    the same.
    """
    if destination_class in FREE_CLASSES:
        return Allowance(True, None, "free")
    settings = lock_account(connection, account_id)
    known = connection.execute(_RESERVATION, {"call": call_id}).first()
    if known is not None:
        return Allowance(True, known.limit_s, "ok")
    try:
        published = tariff_at(connection, at)
        plan = plan_of(connection, published, device_id, at)
        line = published.prices.line_for(destination_class, e164, plan)
    except NoTariff:
        return Allowance(False, None, "no_tariff")
    except NoRate:
        return Allowance(False, None, "no_rate")
    yen, limit_s = _afford(connection, settings, published, _Running(account_id, call_id, at), line, 0, at)
    if limit_s is not None and limit_s <= 0:
        return Allowance(False, None, "credit_exhausted")
    connection.execute(
        insert(_held).values(
            call_id=call_id,
            account_id=account_id,
            month=str(month_of(at)),
            tariff_id=published.id,
            destination_class=destination_class,
            e164=e164,
            plan=plan,
            yen=yen,
            limit_s=limit_s,
            reserved_at=at,
        )
    )
    return Allowance(True, limit_s, "ok")


def extend(connection: Connection, call_id: str, at: datetime) -> Allowance:
    """Let a running call last another slice from its present limit, as far as credit goes.

    An automatic top-up is made where it is needed and set. `credit_exhausted`: the limit stays as it was.
    """
    known = connection.execute(_RESERVATION, {"call": call_id}).first()
    if known is None or known.limit_s is None:
        return Allowance(True, None, "free")
    settings = lock_account(connection, known.account_id)
    known = connection.execute(_RESERVATION, {"call": call_id}).first()
    if known is None or known.released_at is not None:
        return Allowance(True, None, "free")
    published, line = _line_of(connection, known)
    running = _Running(known.account_id, call_id, known.reserved_at)
    yen, limit_s = _afford(connection, settings, published, running, line, known.limit_s + GUARD_S, at)
    if limit_s is None or limit_s <= known.limit_s:
        return Allowance(True, known.limit_s, "credit_exhausted")
    changed = update(_held).where(_held.c.call_id == call_id)
    connection.execute(changed.values(yen=max(yen, known.yen), limit_s=limit_s))
    return Allowance(True, limit_s, "ok")


def release(connection: Connection, call_id: str) -> None:
    """The call has ended. What it held back is free once it is charged, or known to have cost nothing."""
    ended = update(_held).where(_held.c.call_id == call_id, _held.c.released_at.is_(None))
    connection.execute(ended.values(released_at=now()))


def settle(connection: Connection, call_ids: list[str]) -> None:
    """These calls are charged: nothing is held back for them any more."""
    if not call_ids:
        return
    # Few of many calls hold anything: those are looked for, rather than all the others named.
    between = {"first": min(call_ids), "last": max(call_ids)}
    held = set(connection.execute(_HELD_BETWEEN, between).scalars()).intersection(call_ids)
    settled = sorted(held)
    for start in range(0, len(settled), IN_ONE_QUERY):
        connection.execute(_SETTLE, {"calls": settled[start : start + IN_ONE_QUERY]})


def standing(connection: Connection, account_id: str, month: BillingMonth, ceiling: int) -> Standing:
    """The account's credit in `month`, which has `ceiling` where nothing was charged in it yet."""
    rows = connection.execute(_SUMS, {"account": account_id}).all()
    return standing_in(str(month), ceiling, [MonthSums(*row) for row in rows])


def held_back(connection: Connection, account_id: str, but: str = "") -> int:
    """Yen held back for calls that are not charged yet, without the call `but`."""
    held: int = connection.execute(_HELD, {"account": account_id, "but": but}).scalar_one()
    return held


def top_up(
    connection: Connection, account_id: str, key: str, source: TopUpSource, by: str, at: datetime
) -> Row[Any]:
    """Add one top-up, as large as the tariff says, and give its row; the same row for the same `key`.

    Raises store.tariffs.NoTariff.
    """
    lock_account(connection, account_id)
    same = select(_top_ups).where(_top_ups.c.account_id == account_id, _top_ups.c.key == key)
    if (known := connection.execute(same).first()) is None:
        _add_top_up(connection, tariff_at(connection, at), account_id, key, source, by, at)
        known = connection.execute(same).one()
    return known


def lock_account(connection: Connection, account_id: str) -> CreditSettings:
    """Take the account's turn until the transaction ends, and give its settings."""
    # A write even where nothing changes: SQLite refuses to turn a reader into a writer later.
    take, _ = _upserts(connection)
    taken = connection.execute(take, {"account_id": account_id}).one()
    return CreditSettings(taken.automatic_top_up, taken.automatic_limit)


def add_to_month(
    connection: Connection, published: Published, account_id: str, month: str, charged: int, topped_up: int
) -> None:
    """Add to the month's sums, in the transaction of what is summed up."""
    rules = published.tariff.credit
    sums = {"charged": charged, "topped_up": topped_up}
    first = {"account_id": account_id, "month": month, "ceiling": rules.ceiling, "warn_at": rules.warn_at}
    connection.execute(_upserts(connection)[1], first | sums)


def _upserts(connection: Connection) -> tuple[Any, Any]:
    """Taking an account's turn, and adding to a month: made once, for they are needed all the time."""
    dialect = connection.dialect.name
    if dialect not in _UPSERTS:
        mine = insert_for(connection, CreditAccount).values(
            account_id=bindparam("account_id"), automatic_top_up=False, automatic_limit=3, turn=1
        )
        take = mine.on_conflict_do_update(
            index_elements=["account_id"], set_={"turn": _accounts.c.turn + 1}
        ).returning(_accounts.c.automatic_top_up, _accounts.c.automatic_limit)
        first = insert_for(connection, CreditMonth)
        sums = {
            "charged": _months.c.charged + first.excluded.charged,
            "topped_up": _months.c.topped_up + first.excluded.topped_up,
        }
        add = first.on_conflict_do_update(index_elements=["account_id", "month"], set_=sums)
        _UPSERTS[dialect] = take, add
    return _UPSERTS[dialect]


def plan_of(connection: Connection, published: Published, device_id: str | None, at: datetime) -> str | None:
    """The plan (かけ放題) that the ID has at `at`; of several the first by name."""
    if device_id is None or not published.tariff.plans:
        return None
    sold = connection.execute(_PLANS, {"device": device_id, "day": day_of(at)}).scalars()
    return min((item for item in sold if item in published.tariff.plans), default=None)


def _line_of(connection: Connection, known: Row[Any]) -> tuple[Published, Line]:
    """What the call is charged by: what held when it began."""
    published = tariff_at(connection, known.reserved_at)
    return published, published.prices.line_for(known.destination_class, known.e164, known.plan)


@dataclass(frozen=True)
class _Running:
    """A call that needs credit: it spends its own month's, however long it lasts."""

    account_id: str
    call_id: str
    began_at: datetime


def _afford(
    connection: Connection,
    settings: CreditSettings,
    published: Published,
    call: _Running,
    line: Line,
    so_far_s: int,
    at: datetime,
) -> tuple[int, int | None]:
    """How much to hold back for the call in all, and how long it may last then: one slice more at most."""
    if line.free_s is None or line.affordable_s(0) is None:
        return 0, None
    paid_s = max(so_far_s - line.free_s, 0) + SLICE_S
    wanted_s = line.free_s + -(-paid_s // line.unit_s) * line.unit_s
    wanted = line.price(wanted_s)
    available = _available(connection, published, call)
    # One for the slice; more only until the next unit can be paid. A dear call must not use up the month's.
    enough = wanted
    while available < enough and _top_up_automatically(connection, settings, published, call, at):
        available, enough = _available(connection, published, call), line.price(so_far_s + 1)
    affordable_s = line.affordable_s(min(available, wanted))
    limit_s = wanted_s if affordable_s is None else min(wanted_s, affordable_s)
    return line.price(limit_s), limit_s - GUARD_S


def _available(connection: Connection, published: Published, call: _Running) -> int:
    month, ceiling = month_of(call.began_at), published.tariff.credit.ceiling
    state = standing(connection, call.account_id, month, ceiling)
    return max(0, state.available - held_back(connection, call.account_id, call.call_id))


def _top_up_automatically(
    connection: Connection,
    settings: CreditSettings,
    published: Published,
    call: _Running,
    at: datetime,
) -> bool:
    """Where it is set and the month's limit of them is not reached."""
    if not settings.automatic_top_up:
        return False
    month = str(month_of(at))
    wanted = {"account": call.account_id, "month": month}
    made: int = connection.execute(_AUTOMATIC, wanted).scalar_one()
    if made >= settings.automatic_limit:
        return False
    key, by = f"automatic:{month}:{made + 1}", f"call:{call.call_id}"
    _add_top_up(connection, published, call.account_id, key, TopUpSource.AUTOMATIC, by, at)
    return True


def _add_top_up(
    connection: Connection,
    published: Published,
    account_id: str,
    key: str,
    source: TopUpSource,
    by: str,
    at: datetime,
) -> None:
    amount, month = published.tariff.credit.top_up, month_of(at)
    add_to_month(connection, published, account_id, str(month), 0, amount)
    state = standing(connection, account_id, month, published.tariff.credit.ceiling)
    connection.execute(
        insert(_top_ups).values(
            id=new_id(),
            account_id=account_id,
            month=str(month),
            at=at,
            amount=amount,
            source=source,
            key=key,
            by=by[:100],
            balance=state.available,
        )
    )
