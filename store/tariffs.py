"""Published tariffs: the file's versions in the database, where every part reads them.

A version that is in force, or was, never changes: old calls are rated again with the same result.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from store.billing_month import day_of
from store.models import TariffVersion, new_id, now
from store.pricing import PriceList
from store.tariff import Tariff, TariffRefused

_versions: Any = TariffVersion.__table__
_VALID_AT = (
    select(_versions.c.id, _versions.c.digest)
    .where(_versions.c.valid_from <= bindparam("day"))
    .order_by(_versions.c.valid_from.desc())
    .limit(1)
)
_CONTENT = select(_versions.c.content).where(_versions.c.id == bindparam("which"))
_READY: dict[tuple[str, str], "Published"] = {}
MOST_READY = 50


class NoTariff(Exception):
    """No version of the tariff is in force at that time."""


@dataclass(frozen=True)
class Published:
    """A version as it stands in the database."""

    id: str
    prices: PriceList

    @property
    def tariff(self) -> Tariff:
        return self.prices.tariff


def digest_of(tariff: Tariff) -> str:
    return hashlib.sha256(json.dumps(tariff.as_json(), sort_keys=True).encode()).hexdigest()


def publish(connection: Connection, versions: list[Tariff], at: datetime) -> int:
    """Make the database's versions those of the file; give how many changed.

    Raises TariffRefused, and changes nothing, where the file has another version than the one that is or
    was in force, or lacks it.
    """
    today = day_of(at)
    known = {row.valid_from: row for row in connection.execute(select(_versions))}
    given = {version.valid_from: version for version in versions}
    problems = list(_refusals(known, given, today))
    if problems:
        raise TariffRefused(problems)
    changed = 0
    for day, row in known.items():
        if day not in given or row.digest != digest_of(given[day]):
            connection.execute(delete(_versions).where(_versions.c.id == row.id))
            changed += 1
    for day, version in given.items():
        digest = digest_of(version)
        if day not in known or known[day].digest != digest:
            values = {"valid_from": day, "digest": digest, "content": version.as_json()}
            connection.execute(insert(_versions).values(id=new_id(), published_at=now(), **values))
            changed += 1
    return changed


def _refusals(known: dict[date, Any], given: dict[date, Tariff], today: date) -> list[str]:
    """What is or was in force must stand in the file as it was published; nothing may be put before it."""
    in_force = [day for day in known if day <= today]
    problems = [
        f"the version from {day} was in force and has changed: add a version with a later day instead"
        for day in in_force
        if day not in given or digest_of(given[day]) != known[day].digest
    ]
    return problems + [
        f"the version from {day} would change what was rated already: give it a later day"
        for day in given
        if in_force and day not in known and day <= today
    ]


def tariff_at(connection: Connection, at: datetime) -> Published:
    """The version in force at `at`, by Japan's day. Raises NoTariff."""
    found = connection.execute(_VALID_AT, {"day": day_of(at)}).first()
    if found is None:
        raise NoTariff(f"no tariff is valid at {at}")
    return _ready(connection, found.id, found.digest)


def all_tariffs(connection: Connection) -> list[tuple[date, Published]]:
    """Every version with its first day, oldest first."""
    rows = connection.execute(
        select(_versions.c.id, _versions.c.digest, _versions.c.valid_from).order_by(_versions.c.valid_from)
    ).all()
    return [(row.valid_from, _ready(connection, row.id, row.digest)) for row in rows]


def _ready(connection: Connection, version_id: str, digest: str) -> Published:
    ready = _READY.get((version_id, digest))
    if ready is None:
        content = connection.execute(_CONTENT, {"which": version_id}).scalar_one()
        if len(_READY) >= MOST_READY:
            _READY.clear()
        ready = _READY[version_id, digest] = Published(
            version_id, PriceList(Tariff.model_validate(content, strict=False))
        )
    return ready
