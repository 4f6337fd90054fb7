"""Charging calls soon after they end, and looking again for those that were missed."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from store.charges import (
    BATCH,
    RatableCall,
    Rated,
    charge,
    charged_calls,
    correct,
    drop_lost_reservations,
    ended_with_credit_held,
    open_book,
    uncharged_after,
)
from store.database import Database
from store.pricing import NoRate
from store.tariff import parse_tariffs
from store.tariffs import publish

log = logging.getLogger(__name__)

LATELY = timedelta(days=2)
"""How far back is looked every minute."""

EVER = timedelta(days=400)
"""And once a day."""


async def rate_ended(database: Database, at: datetime) -> Rated:
    """Charge the calls that have just ended; what they held back is free again."""
    done = Rated()
    while True:
        found, rated = await _charge(database, ended_with_credit_held, at)
        done += rated
        # What cannot be rated would be found again and again.
        if len(found) < BATCH or not rated.calls:
            return done


async def rate_missed(database: Database, at: datetime, look_back: timedelta = EVER) -> Rated:
    """Charge whatever has ended and is not charged: free calls, and those that held nothing back."""
    done = await rate_ended(database, at)
    after = (at - look_back, "")
    while True:
        found, rated = await _charge(database, partial(uncharged_after, after=after), at)
        done += rated
        if len(found) < BATCH:
            break
        after = (found[-1].started_at, found[-1].id)
    dropped = await database.transaction(lambda connection: drop_lost_reservations(connection, at))
    if dropped:
        log.warning("%d reservations were of no call", dropped, extra={"action": "reservations_dropped"})
    return done


async def _charge(
    database: Database, find: Callable[[Connection], list[RatableCall]], at: datetime
) -> tuple[list[RatableCall], Rated]:
    def one_batch(connection: Connection) -> tuple[list[RatableCall], Rated]:
        found = find(connection)
        return found, charge(connection, open_book(connection), found, at) if found else Rated()

    return await database.transaction(one_batch)


@dataclass(frozen=True)
class Difference:
    """A call whose charge is not what its record says now."""

    call_id: str
    charged: int
    should_be: int


@dataclass
class Recomputed:
    calls: int
    yen: int
    differences: list[Difference]


async def recompute(database: Database, mend: bool, at: datetime) -> Recomputed:
    """Rate every charged call again; with `mend` the ledger gets a correcting row for each difference."""

    def again(connection: Connection) -> Recomputed:
        book = open_book(connection)
        done = Recomputed(0, 0, [])
        wrong = []
        for call, known in charged_calls(connection):
            try:
                amount = book.rate(call).amount
            except NoRate:
                amount = 0
            done.calls, done.yen = done.calls + 1, done.yen + amount
            if amount != known.amount:
                done.differences.append(Difference(call.id, known.amount, amount))
                wrong.append((call, known))
        for call, known in wrong if mend else ():
            correct(connection, book, call, known, at)
        return done

    return await database.transaction(again)


async def publish_file(database: Database, path: Path, at: datetime) -> int:
    """Publish the file's tariff; gives how many versions changed. Raises TariffRefused, OSError."""
    versions = parse_tariffs(await asyncio.to_thread(path.read_text))
    return await database.transaction(lambda connection: publish(connection, versions, at))
