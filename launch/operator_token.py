"""Makes an operator's API token and prints it, once: `make operator-token`. With it all else is made."""

import asyncio
import os
import sys
from pathlib import Path

from settings import SettingsRefused, read_settings
from store.database import open_database
from store.migrate import migrate
from store.models import Role
from store.tokens import issue_token


async def issue(database_url: str) -> str:
    """A new operator's token in the database at `database_url`."""
    await migrate(database_url)
    database = open_database(database_url)
    try:
        async with database.session() as session:
            _, secret = await issue_token(session, Role.OPERATOR, None, "made at the terminal")
    finally:
        await database.close()
    return secret


if __name__ == "__main__":
    try:
        print(asyncio.run(issue(read_settings(os.environ, Path.cwd()).database_url)))
    except SettingsRefused as refused:
        sys.exit(str(refused))
