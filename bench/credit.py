"""`python -m bench.credit [checks]`: what a check of credit adds to the set-up of a call, with its commit.

Compare it with a transaction that only reads, which every call has anyway. On SQLite, one
after the other, with a year of months and fifty running calls of the same account.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, insert, select

from billing.rating import publish_file
from settings.environment import EXAMPLE_TARIFF
from store.billing_month import month_of
from store.credit import Allowance, release, reserve, settle
from store.database import Database, open_database
from store.migrate import migrate
from store.models import Account, CreditMonth

AT = datetime(2026, 11, 20, tzinfo=UTC)


class Work(Protocol):
    def __call__(self, connection: Connection, call_id: str) -> Allowance: ...


def main() -> None:
    checks = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    # As the control plane does, whose threads must not keep a call waiting.
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(f"sqlite+aiosqlite:///{Path(folder)}/bench.db", checks))


async def measure(url: str, checks: int) -> None:
    await migrate(url)
    database = open_database(url)
    try:
        await publish_file(database, EXAMPLE_TARIFF, datetime(2024, 1, 1, tzinfo=UTC))
        await database.transaction(_fill)
        for n in range(40):
            await database.transaction(partial(_check, call_id=f"running-{n}"))
        await _say("a transaction that only reads", database, checks, _nothing)
        await _say("with the check of credit", database, checks, _check)
    finally:
        await database.close()


def _fill(connection: Connection) -> None:
    connection.execute(insert(Account).values(id="a", name="a"))
    months = [month_of(AT).later(-n) for n in range(12)]
    rows = [{"account_id": "a", "month": str(month), "ceiling": 10**7, "warn_at": 10**7} for month in months]
    connection.execute(insert(CreditMonth), [{**row, "charged": 1, "topped_up": 0} for row in rows])


def _nothing(connection: Connection, call_id: str) -> Allowance:
    connection.execute(select(Account.id).where(Account.id == "a")).scalar()
    return Allowance(True, None, "ok")


def _check(connection: Connection, call_id: str) -> Allowance:
    return reserve(
        connection,
        account_id="a",
        call_id=call_id,
        destination_class="mobile",
        e164="+819012345678",
        device_id="d",
        at=AT,
    )


async def _say(what: str, database: Database, checks: int, work: Work) -> None:
    took = []
    for n in range(checks):
        began = time.perf_counter()
        allowance = await database.transaction(partial(work, call_id=f"call-{n}"))
        took.append((time.perf_counter() - began) * 1000)
        assert allowance.allowed
        if work is _check:
            await database.transaction(partial(release, call_id=f"call-{n}"))
            await database.transaction(partial(settle, call_ids=[f"call-{n}"]))
    took.sort()
    print(f"{what}: p50 {took[len(took) // 2]:.2f} ms, p95 {took[len(took) * 95 // 100]:.2f} ms")


if __name__ == "__main__":
    main()
