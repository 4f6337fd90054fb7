"""schemathesis, which knows nothing of us but the document and some ids, asks whatever comes to its mind."""

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy.ext.asyncio import AsyncSession

from portal_api import access_log
from portal_api.access import Who
from portal_api.main import ROUTES, build_app
from portal_api.routing import Parts
from store import notifications, phonebook, users, whitelists
from store.database import open_database
from store.media import Media
from store.models import Role
from store.tokens import issue_token
from tests.furnishing import SECRET_KEY, Furnished, furnish, leave_fax

pytestmark = pytest.mark.integration

DEADLINE_S = 240.0
SEED = 20261124
LIKELY = 0.8
"""How often a body has a real id where there is one; the rest is made up, as always."""

LEAST_DONE = 0.65
"""The share of the operations that must have been done at least once, not only refused."""

LEFT_OUT = (
    "--exclude-path", "/api/v1/events",  # never ends; tests of its own
    "--exclude-path", "/readyz",  # 503 is what it is for
    "--exclude-path", "/metrics",  # no JSON
    "--exclude-operation-id", "revoke_token",  # would end its own
    "--exclude-path", "/api/v1/prompts:preview",  # speaks for seconds
    # A number that is taken, a file that is no table: no schema can say that these are refused.
    "--exclude-checks", "positive_data_acceptance",
)  # fmt: skip


async def real_ids(session: AsyncSession, media: Media, ours: Furnished) -> dict[str, list[str]]:
    """Make one of each thing that an account has; give the ids by the names that paths and bodies use."""
    whitelist = await whitelists.create_whitelist(session, ours.account_id, ours.number_id, "得意先", [])
    rule = await notifications.create_rule(session, ours.account_id, "営業", ["info@example.jp"])
    name = phonebook.NewEntry("田中 太郎", numbers=(phonebook.NewNumber("+819012345678"),))
    entry = await phonebook.create_entry(session, ours.account_id, name)
    fax = await leave_fax(session, media, ours.account_id, ours.number_id)
    user = await users.create_user(session, ours.account_id, Role.READ_ONLY, "tanaka", "-", "田中")
    return {
        "account_id": [ours.account_id],
        "number_id": [ours.number_id],
        "device_id": [ours.device_id],
        "rule_id": [ours.rule_id],
        "notification_rule_id": [rule.id],
        "prompt_id": list(ours.prompt_ids),
        "start_prompt_id": [ours.prompt_ids[0]],
        "end_prompt_id": [ours.prompt_ids[1]],
        "call_id": [ours.call_id],
        "message_id": [ours.message_id],
        "recording_id": [ours.recording_id],
        "whitelist_id": [whitelist.id],
        "entry_id": [entry.id],
        "fax_id": [fax.id],
        "user_id": [user.id],
    }


def settings_of(ids: Mapping[str, Sequence[str]]) -> str:
    """schemathesis' own settings: where it is to take these ids from."""
    lines = []
    for name, values in ids.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    for name, values in ids.items():
        lines.append(f'"{"query" if name == "account_id" else "path"}.{name}" = "{values[0]}"')
        lines.append(f'"body.{name}" = {{ dictionary = "{name}", probability = {LIKELY} }}')
    # Two kinds of rules, one name in paths.
    lines += ["[[operations]]", 'include-path-regex = "/notification-rules/"']
    lines.append(f'parameters = {{ "path.rule_id" = {json.dumps(ids["notification_rule_id"][0])} }}')
    return "\n".join(lines)


def done_share(lines: Sequence[str], role: Role) -> tuple[float, list[str]]:
    """The share of the operations open to `role` that were done at least once, and those that never were."""
    done = {(one["method"], one["route"]) for one in map(json.loads, lines) if one["status"] < 300}
    offered = [
        (route.method, route.path)
        for route in ROUTES
        if not route.public and role in route.roles and route.who is not Who.SIGNED_IN
    ]
    never = [f"{method} {path}" for method, path in offered if (method, path) not in done]
    return 1 - len(never) / len(offered), never


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OPERATOR])
async def test_it_finds_nothing(
    role: Role, migrated_sqlite: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "denwaban.db"
    shutil.copyfile(migrated_sqlite, file)
    database, media = open_database(f"sqlite+aiosqlite:///{file}"), Media(tmp_path / "media")
    async with database.session() as session:
        ours = await furnish(session, media, "株式会社あさひ", "+81312345678")
        ids = await real_ids(session, media, ours)
        token = ours.token if role is Role.ADMINISTRATOR else (await issue_token(session, role, None))[1]
    (tmp_path / "schemathesis.toml").write_text(settings_of(ids))
    caplog.set_level(logging.INFO, logger=access_log.log.name)
    async with TestServer(build_app(Parts(database, media, "test", SECRET_KEY))) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", str(server.make_url("/openapi.json")),
            "--header", f"Authorization: Bearer {token}", "--seed", str(SEED), "--max-examples", "3",
            "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--no-color", *LEFT_OUT,
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(DEADLINE_S):
                said = (await process.communicate())[0].decode()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    await database.close()
    lines = [one.getMessage() for one in caplog.records if one.name == access_log.log.name]
    share, never = done_share(lines, role)
    sys.stdout.write(f"{role.value}: {share:.0%} of the operations were done; never: {', '.join(never)}\n")
    assert process.returncode == 0, said
    assert "Stateful" in said
    assert share >= LEAST_DONE, never
