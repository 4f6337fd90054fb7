"""`python -m bench.rating [calls]`: rate that many calls (1,000,000) into a ledger, and all of them again.

Says how many a second on one core, and whether the second run's totals are the same.
"""

import asyncio
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from billing.rating import publish_file, rate_missed, recompute
from settings.environment import EXAMPLE_TARIFF
from store.database import Database, open_database
from store.migrate import migrate
from store.models import Account, Call, CallerKind

AT = datetime(2026, 11, 20, tzinfo=UTC)
KINDS = (
    ("fixed", "+81312345678"),
    ("mobile", "+819012345678"),
    ("ip", "+815012345678"),
    ("navi", "+81570123456"),
    ("free", "+81120123456"),
    ("overseas", "+18085551234"),
    ("overseas", "+447911123456"),
)
CHUNK = 20_000


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(f"sqlite+aiosqlite:///{Path(folder)}/bench.db", calls))


async def measure(url: str, calls: int) -> None:
    await migrate(url)
    database = open_database(url)
    try:
        await publish_file(database, EXAMPLE_TARIFF, datetime(2024, 1, 1, tzinfo=UTC))
        await _fill(database, calls)
        began = time.process_time()
        rated = await rate_missed(database, AT)
        _say("rated", rated.calls, rated.yen, time.process_time() - began)
        began = time.process_time()
        again = await recompute(database, mend=False, at=AT)
        _say("rated again", again.calls, again.yen, time.process_time() - began)
        same = (rated.calls, rated.yen) == (again.calls, again.yen) and not again.differences
        print("identical totals" if same else "THE TOTALS DIFFER")
    finally:
        await database.close()


def _say(what: str, calls: int, yen: int, seconds: float) -> None:
    print(
        f"{what}: {calls:,} calls, {yen:,} yen, {seconds:.1f} s of processor time, {calls / seconds:,.0f}/s"
    )


async def _fill(database: Database, calls: int) -> None:
    chance = random.Random(1)

    def accounts(connection: Connection) -> None:
        connection.execute(insert(Account), [{"id": f"a{n}", "name": f"a{n}"} for n in range(50)])

    await database.transaction(accounts)
    for first in range(0, calls, CHUNK):
        rows = [_call(chance, n, calls) for n in range(first, min(first + CHUNK, calls))]
        await database.transaction(lambda connection, rows=rows: connection.execute(insert(Call), rows))  # type: ignore[misc]


def _call(chance: random.Random, n: int, calls: int) -> dict[str, Any]:
    """One call; they come in the order of their beginnings, and so do their ids, as Asterisk makes them."""
    kind, number = chance.choice(KINDS)
    started = AT - timedelta(days=30) + timedelta(seconds=n * 30 * 86400 / calls)
    answered = started + timedelta(seconds=chance.uniform(1, 20))
    return {
        "id": f"bench-{int(started.timestamp())}.{n}",
        "node": "bench",
        "account_id": f"a{n % 50}",
        "direction": "outbound",
        "dialled": number,
        "caller": "+81312345678",
        "caller_kind": CallerKind.NUMBER,
        "destination_class": kind,
        "started_at": started,
        "answered_at": answered,
        "ended_at": answered + timedelta(seconds=chance.expovariate(1 / 120)),
        "result": "answered",
    }


if __name__ == "__main__":
    main()
