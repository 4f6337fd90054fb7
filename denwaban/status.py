"""How the instance is doing, as its database and its folders show it."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from settings import Settings
from store.database import Database
from store.migrate import alembic_config
from store.models import (
    Account,
    Device,
    Job,
    PartReport,
    PhoneNumber,
    Trunk,
    TrunkRegistration,
    User,
    VoiceMessage,
    now,
)
from store.reports import read_all
from store.trunks import trunk_states

SILENT = timedelta(seconds=6)
FORGOTTEN = timedelta(seconds=30)
COUNTED = {
    "accounts": Account,
    "numbers": PhoneNumber,
    "devices": Device,
    "users": User,
    "messages": VoiceMessage,
}


async def read_status(database: Database, settings: Settings) -> dict[str, Any]:
    """Give what there is to know; `ready` where every part has just said so."""
    async with database.engine.connect() as connection:
        revision, newest = await connection.run_sync(_revisions)
    told: dict[str, Any] = {
        "ready": False,
        "database": {
            "url": make_url(settings.database_url).render_as_string(hide_password=True),
            "revision": revision,
            "newest_revision": newest,
        },
        "media": {"folder": str(settings.media), "free_mb": _free_mb(settings)},
    }
    if revision is None:
        return told
    async with database.session() as session:
        parts = [_part(report) for report in await read_all(session)]
        told["counts"] = {
            name: await session.scalar(select(func.count()).select_from(model))
            for name, model in COUNTED.items()
        }
        states = select(Job.state, func.count()).group_by(Job.state)
        told["trunks"] = await _trunks(session)
        told["jobs"] = {state.value: count for state, count in await session.execute(states)}
    told["parts"] = parts
    told["ready"] = bool(parts) and all(part["ready"] for part in parts)
    return told


async def _trunks(session: AsyncSession) -> list[dict[str, Any]]:
    """The trunks in use that log in. One that cannot does not make the instance unready: others may do."""
    rows = list(
        await session.scalars(select(Trunk).where(Trunk.enabled, Trunk.registers).order_by(Trunk.name))
    )
    states = await trunk_states(session, [row.id for row in rows])
    return [{"name": row.name, "registrations": shown_states(states.get(row.id, ()))} for row in rows]


def shown_states(states: Sequence[TrunkRegistration]) -> list[dict[str, str]]:
    """Where a trunk is registered, as it is printed. What was read long ago is not known any more."""
    return [
        {
            "node": row.node,
            "state": row.state.value if now() - row.read_at < FORGOTTEN else "unknown",
            "since": row.since.isoformat(timespec="seconds"),
        }
        for row in states
    ]


def _part(report: PartReport) -> dict[str, Any]:
    silent = now() - report.reported_at
    return {
        "part": report.part,
        "ready": report.ready and silent < SILENT,
        "reason": report.reason if silent < SILENT else f"silent for {silent.total_seconds():.0f} s",
    }


def _revisions(connection: Connection) -> tuple[str | None, str | None]:
    newest = ScriptDirectory.from_config(alembic_config(connection)).get_current_head()
    return MigrationContext.configure(connection).get_current_revision(), newest


def _free_mb(settings: Settings) -> int | None:
    there = next((folder for folder in (settings.media, settings.var) if folder.is_dir()), None)
    return shutil.disk_usage(there).free // 1_000_000 if there else None
