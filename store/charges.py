"""The ledger of charges: what calls cost.

A charge is known by its call: written twice, it is there once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from store.billing_month import BillingMonth, day_of, month_of_day
from store.credit import add_to_month, lock_account, settle
from store.mails import WrittenMail, send_mail
from store.models import (
    Call,
    Charge,
    ChargeKind,
    Contract,
    CreditMonth,
    Invoice,
    InvoiceKind,
    Reservation,
    Revision,
)
from store.pricing import NoRate
from store.rating import Book, RatableCall, Rating
from store.upserts import insert_for

BATCH = 10_000
IN_ONE_QUERY = 1000
NEVER_CAME = timedelta(minutes=10)
"""A call that has ended has a record by then, or never will."""

NEVER_BEGAN = timedelta(days=1)

_calls: Any = Call.__table__
_charges: Any = Charge.__table__
_held: Any = Reservation.__table__
_revisions: Any = Revision.__table__
_months: Any = CreditMonth.__table__
_invoices: Any = Invoice.__table__
_contracts: Any = Contract.__table__


@dataclass
class Rated:
    """What came of a run."""

    calls: int = 0
    yen: int = 0
    unrated: int = 0
    """Calls that no tariff has a price for."""

    def __iadd__(self, other: "Rated") -> "Rated":
        self.calls, self.yen = self.calls + other.calls, self.yen + other.yen
        self.unrated += other.unrated
        return self


# ---- what is not rated yet -----------------------------------------------------------------------

_NEW_CHARGE = insert(_charges)
_CHARGED = select(_charges.c.call_id).where(_charges.c.call_id.in_(bindparam("calls", expanding=True)))
_COLUMNS = (
    _calls.c.id,
    _calls.c.account_id,
    _calls.c.number_id,
    _calls.c.device_id,
    _calls.c.dialled,
    _calls.c.destination_class,
    _calls.c.started_at,
    _calls.c.answered_at,
    _calls.c.ended_at,
)
_RATABLE = (
    _calls.c.direction == "outbound",
    _calls.c.ended_at.is_not(None),
    _calls.c.account_id.is_not(None),
    _calls.c.destination_class.is_not(None),
)
_UNCHARGED = ~exists().where(_charges.c.call_id == _calls.c.id)
_HELD_AND_ENDED = (
    select(*_COLUMNS)
    .join(_held, _held.c.call_id == _calls.c.id)
    .where(*_RATABLE, _UNCHARGED)
    .order_by(_calls.c.id)
    .limit(BATCH)
)


_UNCHARGED_AFTER = (
    select(*_COLUMNS)
    .where(
        *_RATABLE,
        _UNCHARGED,
        _calls.c.started_at >= bindparam("at"),
        or_(_calls.c.started_at > bindparam("at"), _calls.c.id > bindparam("id")),
    )
    .order_by(_calls.c.started_at, _calls.c.id)
    .limit(BATCH)
)


def ended_with_credit_held(connection: Connection) -> list[RatableCall]:
    """Calls that have ended and for which credit is still held back: few, and looked for often."""
    return [RatableCall._make(row) for row in connection.execute(_HELD_AND_ENDED).all()]


def uncharged_after(connection: Connection, after: tuple[datetime, str]) -> list[RatableCall]:
    """The next of the calls that have ended and are not charged, by beginning and id."""
    rows = connection.execute(_UNCHARGED_AFTER, {"at": after[0], "id": after[1]}).all()
    return [RatableCall._make(row) for row in rows]


class Charged(NamedTuple):
    """What the ledger says of one call, its corrections included."""

    rows: int
    seconds: int
    units: int
    amount: int


_CHARGED_SUMS = select(
    func.count(),
    func.coalesce(func.sum(_charges.c.seconds), 0),
    func.coalesce(func.sum(_charges.c.units), 0),
    func.coalesce(func.sum(_charges.c.amount), 0),
)
_CORRECTED = (
    select(_charges.c.call_id, *_CHARGED_SUMS.selected_columns)
    .where(_charges.c.kind == ChargeKind.CORRECTION)
    .group_by(_charges.c.call_id)
)


def charged_calls(connection: Connection, after: str = "") -> Iterator[tuple[RatableCall, Charged]]:
    """Every call that is charged, by id, with what the ledger says of it: to rate it again."""
    corrected = {row[0]: Charged(*row[1:]) for row in connection.execute(_CORRECTED)}
    nothing = Charged(0, 0, 0, 0)
    while True:
        rows = connection.execute(
            select(*_COLUMNS, _charges.c.seconds, _charges.c.units, _charges.c.amount)
            .join(_charges, _charges.c.key == literal("call:") + _calls.c.id)
            .where(_calls.c.id > after)
            .order_by(_calls.c.id)
            .limit(BATCH)
        ).all()
        for row in rows:
            more, own = corrected.get(row[0], nothing), (1, *row[len(_COLUMNS) :])
            yield RatableCall._make(row[: len(_COLUMNS)]), Charged(*map(int.__add__, own, more))
        if len(rows) < BATCH:
            return
        after = rows[-1][0]


def charged_call(connection: Connection, call_id: str) -> tuple[RatableCall, Charged] | None:
    """One call that is charged; None where it is not, or no such call has ended."""
    call = connection.execute(select(*_COLUMNS).where(*_RATABLE, _calls.c.id == call_id)).first()
    said = Charged(*connection.execute(_CHARGED_SUMS.where(_charges.c.call_id == call_id)).one())
    return (RatableCall._make(call), said) if call is not None and said.rows else None


# ---- the ledger ----------------------------------------------------------------------------------


_LAST_CLOSED = select(func.max(_invoices.c.month)).where(
    _invoices.c.account_id == bindparam("account"), _invoices.c.kind == InvoiceKind.INVOICE
)
_ADDRESS = select(_contracts.c.mail_address).where(_contracts.c.account_id == bindparam("account"))


def charge(connection: Connection, book: Book, calls: Iterable[RatableCall], at: datetime) -> Rated:
    """Charge these calls, as far as they are not charged, and let go of what was held back for them.

    Everything in one transaction. A call that no tariff has a price for is left uncharged.
    """
    take_turn(connection)
    wanted = {call.id: call for call in calls}
    known = _charged_already(connection, list(wanted))
    done = charge_new(connection, book, [call for call in wanted.values() if call.id not in known], at)
    settle(connection, list(known))
    return done


def charge_new(connection: Connection, book: Book, calls: Sequence[RatableCall], at: datetime) -> Rated:
    """`charge`, for whoever took the turn and then found that none of these calls is charged."""
    done = Rated()
    by_account: dict[str, list[tuple[RatableCall, Rating]]] = {}
    for call in calls:
        try:
            by_account.setdefault(call.account_id, []).append((call, book.rate(call)))
        except NoRate:
            done.unrated += 1
    # In one order, so that of two who do this none waits for the other for ever.
    rows = []
    for account_id in sorted(by_account):
        rows += _rows_of(connection, book, account_id, by_account[account_id], at)
    if rows:
        connection.execute(_NEW_CHARGE, rows)
    done += Rated(len(rows), sum(row["amount"] for row in rows))
    settle(connection, [call.id for call in calls])
    return done


def take_turn(connection: Connection) -> None:
    """One process charges at a time: the others wait until its transaction ends."""
    turn = insert_for(connection, Revision).values(scope="charges", value=0)
    more = {"value": _revisions.c.value + 1}
    connection.execute(turn.on_conflict_do_update(index_elements=["scope"], set_=more))


def _rows_of(
    connection: Connection,
    book: Book,
    account_id: str,
    rated: list[tuple[RatableCall, Rating]],
    at: datetime,
) -> list[dict[str, Any]]:
    """The rows that charge these calls of an account, which is locked and whose sums are added to."""
    lock_account(connection, account_id)
    closed = _last_closed(connection, account_id)
    rows = [_row(call, rating, closed, at) for call, rating in rated]
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["month"]] = sums.get(row["month"], 0) + row["amount"]
    for month, yen in sums.items():
        published = book.tariff_on(day_of(at))
        if published and yen:
            add_to_month(connection, published, account_id, month, yen, 0)
            warn(connection, account_id, month, at)
    return rows


def _charged_already(connection: Connection, call_ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(call_ids), IN_ONE_QUERY):
        some = {"calls": call_ids[start : start + IN_ONE_QUERY]}
        found.update(connection.execute(_CHARGED, some).scalars())
    return found


def _row(call: RatableCall, rating: Rating, closed: str, at: datetime) -> dict[str, Any]:
    return {
        "key": f"call:{call.id}",
        "account_id": call.account_id,
        "month": month_to_bill(call.started_at, closed),
        "kind": ChargeKind.CALL,
        "call_id": call.id,
        "at": call.started_at,
        "destination_class": call.destination_class,
        "number_id": call.number_id,
        "device_id": call.device_id,
        "noted_at": at,
        **rating._asdict(),
    }


@lru_cache(1000)
def _month_text(day: date) -> str:
    return str(month_of_day(day))


def month_to_bill(began_at: datetime, closed: str) -> str:
    """The month in which a call began, or the first after the last month that is `closed` already."""
    month = _month_text(day_of(began_at))
    if month > closed:
        return month
    return str(BillingMonth(int(closed[:4]), int(closed[5:])).next)


def _last_closed(connection: Connection, account_id: str) -> str:
    """The last month of which there is an invoice; empty where there is none."""
    return connection.execute(_LAST_CLOSED, {"account": account_id}).scalar() or ""


def correct(connection: Connection, book: Book, call: RatableCall, at: datetime) -> int:
    """Make the ledger say what the call's record says now, by one more row; gives the difference in yen.

    For a record that was put right after its call was charged (an end that was missed, say).
    """
    rating = book.rate(call)
    lock_account(connection, call.account_id)
    known = charged_call(connection, call.id)
    if known is None or not differs(rating, known[1]):
        return 0
    said = known[1]
    row = _row(call, rating, _last_closed(connection, call.account_id), at)
    row |= {
        "key": f"call:{call.id}:{said.rows}",
        "kind": ChargeKind.CORRECTION,
        "amount": rating.amount - said.amount,
        "seconds": rating.seconds - said.seconds,
        "units": rating.units - said.units,
    }
    connection.execute(insert(_charges), row)
    published = book.tariff_on(day_of(at))
    if published:
        add_to_month(connection, published, call.account_id, row["month"], row["amount"], 0)
        warn(connection, call.account_id, row["month"], at)
    return rating.amount - said.amount


def differs(rating: Rating, said: Charged) -> bool:
    return (rating.seconds, rating.units, rating.amount) != said[1:]


def drop_lost_reservations(connection: Connection, at: datetime) -> int:
    """Let go of what is held back for calls whose record never came, or ended without a charge.

    To be called once every ended call is charged.
    """
    goes_on = exists().where(_calls.c.id == _held.c.call_id, _calls.c.ended_at.is_(None))
    recorded = exists().where(_calls.c.id == _held.c.call_id)
    lost = or_(
        and_(_held.c.released_at < at - NEVER_CAME, ~goes_on),
        and_(_held.c.reserved_at < at - NEVER_BEGAN, ~recorded),
    )
    return int(connection.execute(delete(_held).where(lost)).rowcount)


# ---- 7,500 yen ------------------------------------------------------------------------------------

_WARN = (
    update(_months)
    .where(
        _months.c.account_id == bindparam("account"),
        _months.c.month == bindparam("which"),
        _months.c.warned_at.is_(None),
        _months.c.charged >= _months.c.warn_at,
    )
    .values(warned_at=bindparam("at"))
    .returning(_months.c.charged, _months.c.ceiling, _months.c.warn_at)
)


def warn(connection: Connection, account_id: str, month: str, at: datetime) -> bool:
    """Mail the contract's address once the month's calls reach the tariff's mark; once per month."""
    address = connection.execute(_ADDRESS, {"account": account_id}).scalar()
    if not address:
        return False
    reached = connection.execute(_WARN, {"account": account_id, "which": month, "at": at}).first()
    if reached is None:
        return False
    facts = (
        ("対象", BillingMonth(int(month[:4]), int(month[5:])).label),
        ("通話料(税抜)", f"{reached.charged:,}円"),
        ("上限(税抜)", f"{reached.ceiling:,}円"),
    )
    body = (
        f"今月の通話料が{reached.warn_at:,}円(税抜)に達しました。\n"
        "上限を超えると、チャージするまで有料の発信ができなくなります。\n"
        "緊急通報、内線、フリーダイヤルへの発信は、上限に関係なくご利用いただけます。"
    )
    send_mail(connection, account_id, WrittenMail(address, "通話料のお知らせ", facts, body))
    return True
