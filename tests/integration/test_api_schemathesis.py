"""schemathesis, which knows nothing of us but the document, asks the API whatever comes to its mind."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from portal_api.main import build_app
from portal_api.routing import Parts
from store.database import open_database
from store.media import Media
from store.models import Role
from store.tokens import issue_token
from tests.furnishing import SECRET_KEY, furnish

pytestmark = pytest.mark.integration

DEADLINE_S = 240.0
SEED = 20261124
LEFT_OUT = (
    "--exclude-path", "/api/v1/events",  # never ends; tests of its own
    "--exclude-path", "/readyz",  # 503 is what it is for
    "--exclude-path", "/metrics",  # no JSON
    "--exclude-operation-id", "revoke_token",  # would end its own
    "--exclude-path", "/api/v1/prompts:preview",  # speaks for seconds
    # A number that is taken, a file that is no table: no schema can say that these are refused.
    "--exclude-checks", "positive_data_acceptance",
)  # fmt: skip


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OPERATOR])
async def test_it_finds_nothing(role: Role, migrated_sqlite: Path, tmp_path: Path) -> None:
    file = tmp_path / "denwaban.db"
    shutil.copyfile(migrated_sqlite, file)
    database, media = open_database(f"sqlite+aiosqlite:///{file}"), Media(tmp_path / "media")
    async with database.session() as session:
        ours = await furnish(session, media, "株式会社あさひ", "+81312345678")
        token = ours.token if role is Role.ADMINISTRATOR else (await issue_token(session, role, None))[1]
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
    assert process.returncode == 0, said
    assert "Stateful" in said
