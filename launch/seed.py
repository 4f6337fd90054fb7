"""Makes the database ready and, in the embedded default, fills it with the demo account. Runs as a child.

`python -m launch.seed` writes `var/demo.json` (mode 0600): the demo's tokens, numbers and devices, for
`ready.json`.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from settings import Settings, read_settings
from store.accounts import create_account
from store.database import Database, open_database
from store.devices import create_device
from store.e164 import parse_e164
from store.media import Media
from store.migrate import migrate
from store.models import Account, Device, NumberUse, PhoneNumber, Role, now
from store.numbers import add_number, set_rusurepo
from store.phonebook import set_contract
from store.prompts import add_prompt
from store.rules import create_rule
from store.sealing import unseal
from store.tariff import TariffRefused, parse_tariffs
from store.tariffs import publish
from store.tokens import identify, issue_token

DEMO_ACCOUNT = "デモ株式会社"
VOICE_NUMBER = "+81312345678"
FAX_NUMBER = "+81312345679"
USERNAMES = ("1001", "1002")
PROMPTS = Path(__file__).parent / "demo"

Json = dict[str, Any]


async def seed(settings: Settings) -> None:
    """Bring the database to the newest shape; embedded: make the demo what it should be, once."""
    await migrate(settings.database_url)
    database = open_database(settings.database_url)
    try:
        await _publish_tariff(database, settings)
        if not settings.embedded:
            return
        async with database.session() as session:
            account = await session.scalar(select(Account).where(Account.name == DEMO_ACCOUNT))
            if account is None:
                account = await _demo_account(session, settings)
        demo = await _describe(database, settings, account.id)
    finally:
        await database.close()
    draft = settings.demo_file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(demo, ensure_ascii=False))
    draft.rename(settings.demo_file)


async def _publish_tariff(database: Database, settings: Settings) -> None:
    """A tariff that cannot be used stops the start, with every reason."""
    if settings.tariff is None:
        return
    try:
        versions = parse_tariffs(settings.tariff.read_text())
        await database.transaction(lambda connection: publish(connection, versions, now()))
    except TariffRefused as refused:
        raise SystemExit(f"{settings.tariff}: {refused}") from None


async def _demo_account(session: AsyncSession, settings: Settings) -> Account:
    account = await create_account(session, DEMO_ACCOUNT)
    voice = await add_number(session, account.id, parse_e164(VOICE_NUMBER), NumberUse.VOICE, "代表")
    await add_number(session, account.id, parse_e164(FAX_NUMBER), NumberUse.FAX, "FAX")
    for username in USERNAMES:
        await create_device(session, settings.secret_key, account.id, username, f"内線 {username}")
    prompts: dict[str, str] = {}
    for file, described in json.loads((PROMPTS / "texts.json").read_text()).items():
        wav = (PROMPTS / file).read_bytes()
        prompt = await add_prompt(
            session, Media(settings.media), account.id, voice.id, described["name"], wav, described["text"]
        )
        prompts[file] = prompt.id
    end = prompts["end.wav"]
    usual = await create_rule(session, account.id, voice.id, "通常", prompts["start.wav"], end)
    await create_rule(session, account.id, voice.id, "休業日", prompts["start-holiday.wav"], end)
    await set_rusurepo(session, account.id, voice.id, True, usual.id)
    await set_contract(session, account.id, True)
    return account


async def _describe(database: Database, settings: Settings, account_id: str) -> Json:
    """The demo as `ready.json` shows it. Tokens that no longer open the API are made anew."""
    kept: Json = json.loads(settings.demo_file.read_text()) if settings.demo_file.exists() else {}
    async with database.session() as session:
        token = await _token(session, kept.get("token"), Role.ADMINISTRATOR, account_id)
        operator_token = await _token(session, kept.get("operator_token"), Role.OPERATOR, None)
        numbers = await session.scalars(
            select(PhoneNumber).where(PhoneNumber.account_id == account_id).order_by(PhoneNumber.e164)
        )
        devices = await session.scalars(
            select(Device).where(Device.account_id == account_id).order_by(Device.username)
        )
        return {
            "token": token,
            "operator_token": operator_token,
            "numbers": [{"id": one.id, "e164": one.e164, "use": one.use.value} for one in numbers],
            "devices": [
                {
                    "id": one.id,
                    "username": one.username,
                    "password": unseal(one.sealed_password, settings.secret_key),
                }
                for one in devices
            ],
        }


async def _token(session: AsyncSession, kept: str | None, role: Role, account_id: str | None) -> str:
    if kept and await identify(session, kept):
        return kept
    _, secret = await issue_token(session, role, account_id, "demo")
    return secret


if __name__ == "__main__":
    asyncio.run(seed(read_settings(os.environ, Path.cwd())))
