"""What each command does: from its arguments to what is printed as JSON."""

import argparse
import contextlib
import fcntl
import getpass
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from denwaban.account_files import exported, imported, read_file
from denwaban.archive import BackupRefused, verified
from denwaban.backup import back_up
from denwaban.restore import restore
from denwaban.status import read_status, shown_states
from pbx.details.recompute import recompute
from settings import Settings
from store import accounts, audit, devices, numbers, passwords, tokens, trunks, users
from store.calls import month_span
from store.database import open_database
from store.e164 import parse_e164
from store.errors import Conflict, NotFound, Unusable
from store.media import Media
from store.migrate import migrate
from store.models import (
    Account,
    ActorKind,
    Device,
    DidLocation,
    NumberStyle,
    NumberUse,
    PhoneNumber,
    Role,
    Token,
    Trunk,
    User,
    now,
)

Given = argparse.Namespace
Json = dict[str, Any]
Command = Callable[[Given, Settings], Coroutine[Any, Any, Json | str]]


@dataclass(frozen=True)
class Failed(Exception):
    """What is printed all the same, with exit status 1."""

    told: Json


@asynccontextmanager
async def working(settings: Settings, account_id: str | None = None) -> AsyncIterator[AsyncSession]:
    """A transaction on the instance's database, brought up to date; the audit log says who it was."""
    await migrate(settings.database_url)
    database = open_database(settings.database_url)
    who = getpass.getuser()
    try:
        async with database.session() as session:
            audit.bind(session, audit.Actor(ActorKind.TERMINAL, who[:64], who, account_id))
            yield session
    finally:
        await database.close()


async def create_account(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        account = await accounts.create_account(session, given.name)
        return {"id": account.id, "name": account.name}


async def list_accounts(_given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        rows = await session.scalars(select(Account).order_by(Account.created_at, Account.id))
        return {"accounts": [{"id": row.id, "name": row.name} for row in rows]}


async def export_account(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        account_id = await _account(session, given.account)
        key = settings.secret_key if given.secrets else None
        told = await exported(session, Media(settings.media), account_id, key)
    _write_new(given.file, json.dumps(told, ensure_ascii=False, indent=1))
    return {"account_id": account_id, "file": str(given.file), "secrets": given.secrets}


async def import_account(given: Given, settings: Settings) -> Json:
    told = read_file(given.file)
    async with working(settings) as session:
        return await imported(session, Media(settings.media), told, settings.secret_key)


async def add_number(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        account_id = await _account(session, given.account)
        number = await numbers.add_number(
            session, account_id, parse_e164(given.number), NumberUse(given.use), given.name
        )
        return {"id": number.id, "e164": number.e164, "use": number.use.value}


async def list_numbers(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        account_id = await _account(session, given.account)
        rows = await session.scalars(
            select(PhoneNumber).where(PhoneNumber.account_id == account_id).order_by(PhoneNumber.e164)
        )
        return {"numbers": [{"id": row.id, "e164": row.e164, "use": row.use.value} for row in rows]}


async def create_device(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        account_id = await _account(session, given.account)
        device, password = await devices.create_device(
            session, settings.secret_key, account_id, given.username, given.name
        )
        return {"id": device.id, "username": device.username, "password": password}


async def list_devices(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        account_id = await _account(session, given.account)
        rows = await session.scalars(
            select(Device).where(Device.account_id == account_id).order_by(Device.username)
        )
        return {"devices": [{"id": row.id, "username": row.username, "name": row.name} for row in rows]}


async def create_trunk(given: Given, settings: Settings) -> Json:
    fields = trunks.TrunkFields(
        name=given.name,
        enabled=not given.disabled,
        priority=given.priority,
        uri=given.uri,
        accept=[_network(text) for text in given.accept],
        registers=given.registers,
        username=given.username,
        password=_read_password(given.password_file) if given.password_file else None,
        from_domain=given.from_domain,
        did_location=DidLocation(given.did),
        number_style=NumberStyle(given.numbers),
        codecs=given.codec or list(trunks.CODECS),
        t38=given.t38,
        emergency=given.emergency,
    )
    async with working(settings) as session:
        trunk = await trunks.create_trunk(session, settings.secret_key, **fields)
        return {"id": trunk.id, "name": trunk.name, "uri": trunk.uri}


def _network(text: str) -> str:
    try:
        return trunks.network(text)
    except ValueError:
        raise Unusable("accept", "network") from None


def _read_password(file: Path) -> str:
    """Its first line; of standard input where the file is `-`. Never an argument: everybody sees those."""
    text = sys.stdin.readline() if str(file) == "-" else file.read_text()
    return text.partition("\n")[0]


async def list_trunks(_given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        rows = list(await session.scalars(select(Trunk).order_by(Trunk.priority, Trunk.created_at)))
        states = await trunks.trunk_states(session, [row.id for row in rows])
        return {
            "trunks": [
                {
                    "id": row.id,
                    "name": row.name,
                    "enabled": row.enabled,
                    "priority": row.priority,
                    "uri": row.uri,
                    "registrations": shown_states(states.get(row.id, ())),
                }
                for row in rows
            ]
        }


async def delete_trunk(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        trunk = await trunks.find_trunk(session, given.trunk)
        await trunks.delete_trunk(session, trunk.id)
        return {"id": trunk.id, "deleted": True}


async def create_user(given: Given, settings: Settings) -> Json:
    password = passwords.made_up()
    async with working(settings) as session:
        account_id = await _account(session, given.account) if given.account else None
        user = await users.create_user(
            session,
            account_id,
            Role(given.role),
            given.login,
            passwords.hashed(password),
            given.name,
            given.device,
        )
        return {"id": user.id, "login": user.login, "role": user.role.value, "password": password}


async def reset_password(given: Given, settings: Settings) -> Json:
    """A new password for who has lost it, and no second factor: whoever sits here may do anything."""
    password = passwords.made_up()
    async with working(settings) as session:
        user = await session.scalar(select(User).where(User.login == given.login.casefold()))
        if user is None:
            raise NotFound(given.login)
        await users.set_password(session, user.id, passwords.hashed(password))
        await users.end_second_factor(session, user.account_id, user.id)
        return {"id": user.id, "login": user.login, "password": password}


async def create_token(given: Given, settings: Settings) -> Json | str:
    async with working(settings) as session:
        account_id = await _account(session, given.account) if given.account else None
        token, secret = await tokens.issue_token(
            session,
            Role(given.role),
            account_id,
            given.label,
            scopes=given.scope or None,
            expires_at=now() + timedelta(days=given.days) if given.days else None,
        )
        return secret if given.bare else {"id": token.id, "role": token.role.value, "token": secret}


async def revoke_token(given: Given, settings: Settings) -> Json:
    async with working(settings) as session:
        found = list(
            await session.scalars(select(Token).where(Token.id.startswith(given.token, autoescape=True)))
        )
        if len(found) != 1:
            raise NotFound(given.token)
        await tokens.revoke_token(session, None, found[0].id, kind=found[0].kind)
        return {"id": found[0].id, "revoked": True}


async def show_status(_given: Given, settings: Settings) -> Json:
    database = open_database(settings.database_url)
    try:
        told = await read_status(database, settings)
    finally:
        await database.close()
    if not told["ready"]:
        raise Failed(told)
    return told


async def recompute_calls(given: Given, settings: Settings) -> Json:
    database = open_database(settings.database_url)
    try:
        since, until = month_span(*given.month)
        found = await recompute(database, settings.node, settings.channel_events, since, until)
    finally:
        await database.close()
    told = {
        "node": settings.node,
        "legs": found.legs,
        "calls": found.calls,
        "running": found.running,
        "unreadable_lines": found.unreadable,
        "events_since": found.events_since and found.events_since.isoformat(),
        "differences": [asdict(one) for one in found.differences],
    }
    if found.differences:
        raise Failed(told)
    return told


async def make_backup(given: Given, settings: Settings) -> Json:
    manifest = await back_up(settings.database_url, settings.media, settings.secret_key, given.file)
    return {"file": str(given.file), "rows": manifest.rows, "missing": manifest.missing}


async def check_backup(given: Given, _settings: Settings) -> Json:
    manifest = verified(given.file)
    return {"made_at": manifest.made_at, "revision": manifest.revision, "rows": manifest.rows}


async def restore_backup(given: Given, settings: Settings) -> Json:
    with _nobody_runs(settings):
        media = Media(settings.media)
        manifest = await restore(
            settings.database_url, media, settings.secret_key, given.file, given.other_key
        )
    return {"made_at": manifest.made_at, "rows": manifest.rows, "missing": manifest.missing}


async def _account(session: AsyncSession, given: str) -> str:
    """The account of this id, or the only one of this name. Raises NotFound, Conflict."""
    found = list(
        await session.scalars(select(Account.id).where((Account.id == given) | (Account.name == given)))
    )
    if len(found) > 1:
        raise Conflict("several accounts have this name, give an id")
    if not found:
        raise NotFound(f"account {given}")
    return found[0]


@contextlib.contextmanager
def _nobody_runs(settings: Settings) -> Iterator[None]:
    """Holds the launcher's own lock meanwhile. Raises BackupRefused."""
    settings.var.mkdir(parents=True, exist_ok=True)
    with (settings.var / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(f"an instance runs in {settings.var}: stop it first") from None
        yield


def _write_new(path: Path, content: str) -> None:
    """For our eyes only: it may hold secrets."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(content, encoding="utf-8")
