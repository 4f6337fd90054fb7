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
    Rated,
    charge_new,
    charged_call,
    charged_calls,
    correct,
    differs,
    drop_lost_reservations,
    ended_with_credit_held,
    take_turn,
    uncharged_after,
)
from store.database import Database
from store.jobs import TakenJob, finish
from store.models import now
from store.pricing import NoRate
from store.rating import RatableCall, open_book
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
    # A look first: mostly nothing has ended, and taking the turn is a write.
    while await database.transaction(ended_with_credit_held):
        found, rated = await _charge(database, ended_with_credit_held, at)
        done += rated
        # What cannot be rated would be found again and again.
        if len(found) < BATCH or not rated.calls:
            break
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
        take_turn(connection)
        found = find(connection)
        return found, charge_new(connection, open_book(connection), found, at) if found else Rated()

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
        for call, said in charged_calls(connection):
            done.calls += 1
            try:
                rating = book.rate(call)
            except NoRate:
                done.differences.append(Difference(call.id, said.amount, 0))
                continue
            done.yen += rating.amount
            if differs(rating, said):
                done.differences.append(Difference(call.id, said.amount, rating.amount))
                wrong.append(call)
        for call in wrong if mend else ():
            correct(connection, book, call, at)
        return done

    return await database.transaction(again)


async def mend_charge(database: Database, job: TakenJob) -> None:
    """Correct what one call cost, whose record was put right after it was charged. Twice is once."""

    def mend(connection: Connection) -> None:
        take_turn(connection)
        known = charged_call(connection, job.subject_id)
        # Not charged yet: then it will be, by the record as it is now.
        if known is not None:
            correct(connection, open_book(connection), known[0], now())

    await database.transaction(mend)
    async with database.session() as session:
        await finish(session, job)


async def publish_file(database: Database, path: Path, at: datetime) -> int:
    """Publish the file's tariff; gives how many versions changed. Raises TariffRefused, OSError."""
    versions = parse_tariffs(await asyncio.to_thread(path.read_text))
    return await database.transaction(lambda connection: publish(connection, versions, at))
