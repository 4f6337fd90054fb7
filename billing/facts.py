"""What happened in a billing month, read for its invoice."""

from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, or_, select

from billing.composing import CallGroup, MonthFacts, Sold, Used
from store.billing_month import BillingMonth
from store.credit import standing
from store.e164 import E164, national
from store.invoice_content import CallSum
from store.models import (
    Account,
    Call,
    Charge,
    Contract,
    Device,
    Fax,
    FaxAttempt,
    MessageOutcome,
    PhoneNumber,
    Subscription,
    TopUp,
)
from store.tariffs import all_tariffs

_accounts: Any = Account.__table__
_calls: Any = Call.__table__
_charges: Any = Charge.__table__
_contracts: Any = Contract.__table__
_attempts: Any = FaxAttempt.__table__
_devices: Any = Device.__table__
_faxes: Any = Fax.__table__
_numbers: Any = PhoneNumber.__table__
_sold: Any = Subscription.__table__
_top_ups: Any = TopUp.__table__

RUSUREPO_MESSAGE = "rusurepo_message"
FAX_PAGE = "fax_page"
GONE = "(削除済み)"


def read_facts(connection: Connection, account_id: str, month: BillingMonth) -> MonthFacts:
    of_month = (_charges.c.account_id == account_id, _charges.c.month == str(month))
    return MonthFacts(
        month=month,
        tariffs=[(first, one.tariff) for first, one in all_tariffs(connection)],
        sold=_sold_in(connection, account_id, month),
        calls=[CallGroup(*row) for row in connection.execute(_groups(of_month))],
        used=[*_messages(connection, account_id, month), *_pages(connection, account_id, month)],
        top_ups=list(connection.execute(_amounts(account_id, month)).scalars()),
        covered=standing(connection, account_id, month, 0).covered,
    )


def _sold_in(connection: Connection, account_id: str, month: BillingMonth) -> list[Sold]:
    rows = select(_sold.c.item, _sold.c.subject_name, _sold.c.starts_on, _sold.c.ends_on).where(
        _sold.c.account_id == account_id,
        _sold.c.starts_on <= month.last_day,
        or_(_sold.c.ends_on.is_(None), _sold.c.ends_on >= month.first_day),
    )
    return [Sold(*row) for row in connection.execute(rows)]


def _groups(of_month: tuple[Any, ...]) -> Any:
    # A correction adds to the sum, and is no call of its own.
    calls = func.sum(case((_charges.c.kind == "call", 1), else_=0))
    return (
        select(
            _charges.c.label,
            _charges.c.tax_percent,
            calls,
            func.sum(_charges.c.seconds),
            func.sum(_charges.c.amount),
        )
        .where(*of_month)
        .group_by(_charges.c.label, _charges.c.tax_percent)
        .having(or_(func.sum(_charges.c.amount) != 0, func.sum(_charges.c.seconds) > 0))
        .order_by(_charges.c.tax_percent.desc(), _charges.c.label)
    )


def _amounts(account_id: str, month: BillingMonth) -> Any:
    return select(_top_ups.c.amount).where(
        _top_ups.c.account_id == account_id, _top_ups.c.month == str(month)
    )


def _messages(connection: Connection, account_id: str, month: BillingMonth) -> list[Used]:
    """Messages that were kept, deleted since or not: they are counted by their calls."""
    kept = and_(
        _calls.c.account_id == account_id,
        _calls.c.started_at >= month.starts,
        _calls.c.started_at < month.ends,
        _calls.c.message_outcome == MessageOutcome.KEPT,
    )
    rows = (
        select(_numbers.c.e164, func.count())
        .select_from(_calls.outerjoin(_numbers, _numbers.c.id == _calls.c.number_id))
        .where(kept)
        .group_by(_numbers.c.e164)
    )
    return [
        Used(RUSUREPO_MESSAGE, national(E164(e164)) if e164 else GONE, count)
        for e164, count in connection.execute(rows)
    ]


def _pages(connection: Connection, account_id: str, month: BillingMonth) -> list[Used]:
    """Fax pages that arrived, attempt by attempt."""
    rows = (
        select(_numbers.c.e164, func.sum(_attempts.c.pages_done))
        .select_from(
            _attempts.join(_faxes, _faxes.c.id == _attempts.c.fax_id).outerjoin(
                _numbers, _numbers.c.id == _faxes.c.number_id
            )
        )
        .where(
            _faxes.c.account_id == account_id,
            _attempts.c.started_at >= month.starts,
            _attempts.c.started_at < month.ends,
            _attempts.c.pages_done > 0,
        )
        .group_by(_numbers.c.e164)
    )
    return [
        Used(FAX_PAGE, national(E164(e164)) if e164 else GONE, int(pages))
        for e164, pages in connection.execute(rows)
    ]


def call_sums(
    connection: Connection, account_id: str, month: BillingMonth
) -> tuple[list[CallSum], list[CallSum]]:
    """The month's charged calls by number, and by ID."""
    by_number = _sums(connection, account_id, month, _charges.c.number_id, _numbers, _numbers.c.e164)
    by_device = _sums(connection, account_id, month, _charges.c.device_id, _devices, _devices.c.username)
    named = [one.model_copy(update={"name": _national(one.name)}) for one in by_number]
    return named, by_device


def _sums(
    connection: Connection, account_id: str, month: BillingMonth, column: Any, table: Any, name: Any
) -> list[CallSum]:
    calls = func.sum(case((_charges.c.kind == "call", 1), else_=0))
    rows = (
        select(name, calls, func.sum(_charges.c.seconds), func.sum(_charges.c.amount))
        .select_from(_charges.outerjoin(table, table.c.id == column))
        .where(_charges.c.account_id == account_id, _charges.c.month == str(month))
        .group_by(name)
        .order_by(name)
    )
    return [
        CallSum(name=known or GONE, calls=count, seconds=seconds, amount=amount)
        for known, count, seconds, amount in connection.execute(rows)
    ]


def _national(name: str) -> str:
    return national(E164(name)) if name.startswith("+") else name


def read_contract(connection: Connection, account_id: str) -> Row[Any]:
    """Whom the account's invoices are addressed to: its own name where nobody said more."""
    rows = (
        select(
            func.coalesce(_contracts.c.customer_name, _accounts.c.name).label("customer_name"),
            func.coalesce(_contracts.c.postal_code, "").label("postal_code"),
            func.coalesce(_contracts.c.address, "").label("address"),
            _contracts.c.mail_address,
        )
        .select_from(_accounts.outerjoin(_contracts, _contracts.c.account_id == _accounts.c.id))
        .where(_accounts.c.id == account_id)
    )
    return connection.execute(rows).one()
