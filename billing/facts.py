"""What happened in a billing month, read for its invoice."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, case, func, or_, select

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
    MessageOutcome,
    PhoneNumber,
    Subscription,
    TopUp,
)
from store.tariffs import all_tariffs

RUSUREPO_MESSAGE = "rusurepo_message"
FAX_PAGE = "fax_page"
GONE = "(削除済み)"


def read_facts(connection: Connection, account_id: str, month: BillingMonth) -> MonthFacts:
    of_month = (Charge.account_id == account_id, Charge.month == str(month))
    return MonthFacts(
        month=month,
        tariffs=[(first, one.tariff) for first, one in all_tariffs(connection)],
        sold=_sold_in(connection, account_id, month),
        calls=[CallGroup(*row) for row in connection.execute(_groups(of_month))],
        used=list(_used(connection, account_id, month)),
        top_ups=list(connection.execute(_amounts(account_id, month)).scalars()),
        covered=standing(connection, account_id, month, 0).covered,
    )


def _sold_in(connection: Connection, account_id: str, month: BillingMonth) -> list[Sold]:
    rows = select(
        Subscription.item, Subscription.subject_name, Subscription.starts_on, Subscription.ends_on
    ).where(
        Subscription.account_id == account_id,
        Subscription.starts_on <= month.last_day,
        or_(Subscription.ends_on.is_(None), Subscription.ends_on >= month.first_day),
    )
    return [Sold(*row) for row in connection.execute(rows)]


def _groups(of_month: tuple[Any, ...]) -> Any:
    # A correction adds to the sum, and is no call of its own.
    calls = func.sum(case((Charge.kind == "call", 1), else_=0))
    return (
        select(
            Charge.label,
            Charge.tax_percent,
            calls,
            func.sum(Charge.seconds),
            func.sum(Charge.amount),
        )
        .where(*of_month)
        .group_by(Charge.label, Charge.tax_percent)
        .having(or_(func.sum(Charge.amount) != 0, func.sum(Charge.seconds) > 0))
        .order_by(Charge.tax_percent.desc(), Charge.label)
    )


def _amounts(account_id: str, month: BillingMonth) -> Any:
    return select(TopUp.amount).where(TopUp.account_id == account_id, TopUp.month == str(month))


def _used(connection: Connection, account_id: str, month: BillingMonth) -> Iterator[Used]:
    """Messages that were kept and fax pages that arrived, by the calls they came and went with.

    So it does not matter whether a message or a fax was deleted since.
    """
    kept = func.sum(case((Call.message_outcome == MessageOutcome.KEPT, 1), else_=0))
    pages = func.coalesce(func.sum(Call.fax_pages), 0)
    rows = (
        select(PhoneNumber.e164, kept, pages)
        .select_from(Call)
        .outerjoin(PhoneNumber, PhoneNumber.id == Call.number_id)
        .where(
            Call.account_id == account_id,
            Call.started_at >= month.starts,
            Call.started_at < month.ends,
            or_(Call.message_outcome == MessageOutcome.KEPT, Call.fax_pages > 0),
        )
        .group_by(PhoneNumber.e164)
    )
    for e164, *counts in connection.execute(rows):
        name = _national(e164) if e164 else GONE
        yield from (
            Used(usage, name, int(count))
            for usage, count in zip((RUSUREPO_MESSAGE, FAX_PAGE), counts, strict=True)
            if count
        )


def call_sums(
    connection: Connection, account_id: str, month: BillingMonth
) -> tuple[list[CallSum], list[CallSum]]:
    """The month's charged calls by number, and by ID."""
    by_number = _sums(connection, account_id, month, Charge.number_id, PhoneNumber.id, PhoneNumber.e164)
    by_device = _sums(connection, account_id, month, Charge.device_id, Device.id, Device.username)
    named = [one.model_copy(update={"name": _national(one.name)}) for one in by_number]
    return named, by_device


def _sums(
    connection: Connection, account_id: str, month: BillingMonth, charged: Any, known_by: Any, name: Any
) -> list[CallSum]:
    calls = func.sum(case((Charge.kind == "call", 1), else_=0))
    rows = (
        select(name, calls, func.sum(Charge.seconds), func.sum(Charge.amount))
        .select_from(Charge)
        .outerjoin(known_by.class_, known_by == charged)
        .where(Charge.account_id == account_id, Charge.month == str(month))
        .group_by(name)
        .order_by(name)
    )
    return [
        CallSum(name=known or GONE, calls=count, seconds=seconds, amount=amount)
        for known, count, seconds, amount in connection.execute(rows)
    ]


def _national(name: str) -> str:
    return national(E164(name)) if name.startswith("+") else name


def read_contract(connection: Connection, account_id: str) -> Row[str, str, str, str | None]:
    """Whom the account's invoices are addressed to: its own name where nobody said more."""
    rows = (
        select(
            func.coalesce(Contract.customer_name, Account.name).label("customer_name"),
            func.coalesce(Contract.postal_code, "").label("postal_code"),
            func.coalesce(Contract.address, "").label("address"),
            Contract.mail_address,
        )
        .select_from(Account)
        .outerjoin(Contract, Contract.account_id == Account.id)
        .where(Account.id == account_id)
    )
    return connection.execute(rows).one()
