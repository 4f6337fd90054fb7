"""The migrations make exactly the tables of the models, once, on both databases."""

import asyncio
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from store import migrate as migrate_module
from store.arrivals import every_number
from store.database import Database, open_database
from store.migrate import alembic_config, migrate
from store.models import Base

pytestmark = pytest.mark.integration


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


async def test_autogenerate_finds_nothing_to_add(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_what_is_there_outlives_the_upgrade(tmp_path: Path) -> None:
    """SQLite cannot make a table anew that others refer to."""
    url = f"sqlite+aiosqlite:///{tmp_path}/old.db"
    database = open_database(url)

    def fill(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(alembic_config(connection), "0002")
        at = "2026-11-23 00:00:00"
        for statement in (
            f"INSERT INTO accounts (id, name, created_at) VALUES ('a', 'x', '{at}')",
            f"INSERT INTO phone_numbers VALUES ('n', 'a', '+81312345678', 'voice', '', '{at}')",
            f"INSERT INTO prompts VALUES ('p', 'a', 'n', 'x', NULL, '0', 1.0, '{at}')",
            f"INSERT INTO rusurepo_rules VALUES ('r', 'a', 'n', 'x', 'p', 'p', '{at}')",
            f"INSERT INTO rusurepo_settings VALUES ('n', 1, 'r', '{at}')",
        ):
            connection.exec_driver_sql(statement)

    async with database.engine.connect() as connection:
        await connection.run_sync(fill)
        await connection.commit()
    assert await migrate(url) is True
    async with database.session() as session:
        (arrival,) = (await every_number(session)).numbers
    assert arrival.rule is not None
    assert (arrival.rule.id, arrival.rule.whitelist_id, arrival.rule.ring_first_s) == ("r", None, 0)
    await database.close()


async def test_second_run_has_nothing_to_do(database_url: str) -> None:
    assert await migrate(database_url) is False


async def test_new_file_is_made_with_its_folders(tmp_path: Path) -> None:
    assert await migrate(f"sqlite+aiosqlite:///{tmp_path}/deep/down/new.db") is True


async def test_processes_that_start_together_do_the_work_once(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/new.db"
    assert sorted(await asyncio.gather(*(migrate(url) for _ in range(3)))) == [False, False, True]


async def test_upgrade_that_fails_halfway_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/new.db"
    whole = migrate_module._upgrade

    def fail_at_the_end(connection: Connection) -> bool:
        whole(connection)
        raise RuntimeError("power cut")

    monkeypatch.setattr(migrate_module, "_upgrade", fail_at_the_end)
    with pytest.raises(RuntimeError):
        await migrate(url)
    database = open_database(url)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(lambda opened: inspect(opened).get_table_names()) == []
    await database.close()
