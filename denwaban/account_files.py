"""An account's settings as one JSON file, out of one instance and into another.

What counts as settings says `store.tables`. Everything gets new ids on its way in, so nothing that is
there is touched; messages, calls, users and tokens stay behind.
"""

import base64
import json
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from denwaban.values import decoded, encoded
from store import devices, prompts, revisions
from store.errors import Conflict, StoreError
from store.media import Media
from store.models import Account, Base, Device, PhoneNumber, new_id
from store.sealing import seal, unseal
from store.tables import SETTINGS

FORMAT = 1
SEALED = "sealed_"
ACCOUNTS = Account.__tablename__

Row = dict[str, Any]


class FileRefused(StoreError):
    """The file cannot be taken in; the message says why."""


async def exported(
    session: AsyncSession, media: Media, account_id: str, secret_key: str | None
) -> dict[str, Any]:
    """Give the account's settings. Secrets are left out, or stand there in clear where the key is given."""
    tables: dict[str, list[Row]] = {}
    for table in _settings_tables():
        found = select(table).where(_of_account(table, account_id, tables))
        rows = (await session.execute(found.order_by(*table.primary_key.columns))).mappings()
        tables[table.name] = [_row_out(row, secret_key) for row in rows]
    files = {prompts.media_name(row["sha256"]) for row in tables["prompts"]}
    return {
        "format": FORMAT,
        "secrets": secret_key is not None,
        "tables": tables,
        "files": {name: base64.b64encode(_read(media, name)).decode() for name in sorted(files)},
    }


async def imported(
    session: AsyncSession, media: Media, told: dict[str, Any], secret_key: str
) -> dict[str, Any]:
    """Make the account that `exported` told of; say its id, and what needs a hand.

    `devices` are those that got new passwords, `left_out` is what needs a secret that is not in the file.
    Raises FileRefused, Conflict for a number or a device's username that is there already.
    """
    if told.get("format") != FORMAT or set(told.get("tables", {})) - SETTINGS:
        raise FileRefused("this is no export of an account, or one of another release")
    await revisions.bump(session)
    tables = _with_new_ids(told["tables"])
    await _refuse_taken(session, tables)
    for name, content in told["files"].items():
        media.put(base64.b64decode(content), name)
    made: dict[str, Any] = {"account_id": tables[ACCOUNTS][0]["id"], "devices": [], "left_out": []}
    for table in _settings_tables():
        rows = [_row_in(table, row, secret_key, made) for row in tables.get(table.name, [])]
        if kept := [row for row in rows if row is not None]:
            await session.execute(insert(_model_of(table)), kept)
    return made


def _settings_tables() -> list[Table]:
    """Each after those it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name in SETTINGS]


def _model_of(table: Table) -> type[Base]:
    return next(mapper.class_ for mapper in Base.registry.mappers if mapper.local_table is table)


def _of_account(table: Table, account_id: str, before: dict[str, list[Row]]) -> Any:
    """What makes a row the account's: its column, or the thing it belongs to."""
    if table.name == ACCOUNTS:
        return table.c.id == account_id
    if "account_id" in table.c:
        return table.c.account_id == account_id
    owner = next(key for key in table.foreign_keys if key.column.table.name in before)
    ids = [row[owner.column.name] for row in before[owner.column.table.name]]
    return owner.parent.in_(ids)


def _row_out(row: Any, secret_key: str | None) -> Row:
    return {
        key: _secret_out(value, secret_key) if key.startswith(SEALED) else encoded(value)
        for key, value in row.items()
    }


def _secret_out(sealed: str | None, secret_key: str | None) -> str | None:
    return None if sealed is None or secret_key is None else unseal(sealed, secret_key)


def _with_new_ids(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Ids are unlike all else, so they are replaced wherever they stand, in JSON columns too."""
    ids = {row["id"]: new_id() for rows in tables.values() for row in rows if "id" in row}

    def renewed(value: Any) -> Any:
        match value:
            case str():
                return ids.get(value, value)
            case list():
                return [renewed(one) for one in value]
            case dict():
                return {key: renewed(one) for key, one in value.items()}
            case _:
                return value

    return {name: [renewed(row) for row in rows] for name, rows in tables.items()}


def _row_in(table: Table, row: Row, secret_key: str, made: dict[str, Any]) -> Row | None:
    """The row as the table takes it; None where a secret is missing that nobody can make up."""
    values = {key: decoded(value, table.c[key].type) for key, value in row.items() if key in table.c}
    for key in [key for key in values if key.startswith(SEALED)]:
        if values[key] is None and table.c[key].nullable:
            continue
        if values[key] is None and table.name == Device.__tablename__:
            values[key] = devices.new_password()
            made["devices"].append({"username": values["username"], "password": values[key]})
        if values[key] is None:
            made["left_out"].append(
                {"kind": table.name, "label": str(row.get("label") or row.get("name", ""))}
            )
            return None
        values[key] = seal(values[key], secret_key)
    return values


async def _refuse_taken(session: AsyncSession, tables: dict[str, list[Row]]) -> None:
    columns = ((PhoneNumber.e164, "number_taken"), (Device.username, "username_taken"))
    for column, code in columns:
        wanted = [row[column.key] for row in tables.get(column.class_.__tablename__, [])]
        if await session.scalar(select(column).where(column.in_(wanted))):
            raise Conflict(code)


def _read(media: Media, name: str) -> bytes:
    return media.path(name).read_bytes()


def read_file(path: Path) -> dict[str, Any]:
    """Raises FileRefused."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as trouble:
        raise FileRefused(f"{path} cannot be read: {trouble}") from None
    if not isinstance(told, dict):
        raise FileRefused(f"{path} is no export of an account")
    return told
