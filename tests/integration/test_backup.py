"""Back-ups of either kind of database come back whole in either kind, and damaged ones not at all."""

import asyncio
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from denwaban import restore as restore_module
from denwaban.archive import BackupRefused, Manifest, verified, writing
from denwaban.backup import back_up
from denwaban.restore import restore
from store import audit
from store.database import Database, open_database
from store.media import Media
from store.migrate import alembic_config
from store.models import (
    ActorKind,
    Base,
    JournalEntry,
    PhonebookImport,
    Role,
    Transcript,
    TranscriptState,
    VoiceMessage,
    now,
)
from store.schedules import create_schedule
from store.tables import PASSING
from store.tokens import identify, issue_token
from store.users import begin_second_factor, create_user
from tests.furnishing import FIRST_CALL, SECRET_KEY, Furnished, leave_fax, leave_message
from tests.postgres import create_database

pytestmark = pytest.mark.integration


def alone_and_private(target: Path) -> bool:
    """Nothing of the making is left beside it, and nobody else reads it."""
    return target.stat().st_mode & 0o777 == 0o600 and not list(target.parent.glob(".*"))


Rows = dict[str, list[tuple[Any, ...]]]


async def fill(database: Database, media: Media, ours: Furnished) -> None:
    """Rows of every kind of value: JSON and none, floats, booleans, times, bytes, long texts."""
    async with database.session() as session:
        await leave_fax(session, media, ours.account_id, ours.number_id)
        session.add(PhonebookImport(account_id=ours.account_id, content=bytes(range(256))))
        audit.bind(session, audit.Actor(ActorKind.TERMINAL, "me", "me", ours.account_id))
        user = await create_user(
            session, ours.account_id, Role.MEMBER, "hanako", "hash", "花子🌸", [ours.device_id]
        )
        await begin_second_factor(session, SECRET_KEY, user.id)
        await issue_token(
            session, Role.READ_ONLY, ours.account_id, scopes=["messages:read"], expires_at=now()
        )
        plan = {"weekly": {}, "default_rule_id": ours.rule_id}
        await create_schedule(session, ours.account_id, ours.number_id, True, plan)
        session.add(
            Transcript(
                message_id=ours.message_id,
                state=TranscriptState.DONE,
                text="もしもし\n\u2028はい\\",
                words=[{"word": "もしもし", "start": 0.1, "confidence": None}],
                confidence=0.1 + 0.2,
            )
        )


async def dump(database: Database) -> Rows:
    rows: Rows = {}
    async with database.session() as session:
        for table in Base.metadata.sorted_tables:
            if table.name not in PASSING:
                found = await session.execute(select(table).order_by(*table.primary_key.columns))
                rows[table.name] = [tuple(row) for row in found]
    return rows


def files(media: Media) -> dict[str, str]:
    return {
        path.relative_to(media.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in media.folder.rglob("*")
        if path.is_file()
    }


async def new_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "postgresql":
        return await create_database(request.getfixturevalue("postgres_prefix"))
    return f"sqlite+aiosqlite:///{tmp_path}/restored.db"


@pytest.fixture
async def backup(
    database: Database, database_url: str, media: Media, ours: Furnished, theirs: Furnished, tmp_path: Path
) -> Path:
    """A back-up of two accounts."""
    await fill(database, media, ours)
    target = tmp_path / "backup.tar"
    await back_up(database_url, media.folder, SECRET_KEY, target)
    assert alone_and_private(target)
    return target


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_everything_comes_back(
    kind: str,
    request: pytest.FixtureRequest,
    backup: Path,
    database: Database,
    media: Media,
    ours: Furnished,
    tmp_path: Path,
) -> None:
    url, folder = await new_url(kind, request, tmp_path), Media(tmp_path / "restored")
    manifest = await restore(url, folder, SECRET_KEY, backup)
    assert (manifest.missing, manifest.rows["accounts"]) == ([], 2)
    restored = open_database(url)
    before, after = await dump(database), await dump(restored)
    for table in before:
        assert after[table] == before[table], table
    assert sum(map(len, before.values())) > 30
    assert files(folder) == files(media)
    async with restored.session() as session:
        # It works on: the token opens, and what counts by itself counts on.
        assert await identify(session, ours.token) is not None
        session.add(JournalEntry(call_id=ours.call_id, at=now(), event="ended", details={}))
        await session.flush()
        await leave_message(session, folder, ours.account_id, ours.number_id, FIRST_CALL + timedelta(days=1))
    with pytest.raises(BackupRefused, match="not empty"):
        await restore(url, folder, SECRET_KEY, backup)
    await restored.close()


async def test_messages_that_come_meanwhile_are_whole_or_not_there(
    database: Database, database_url: str, media: Media, ours: Furnished, tmp_path: Path
) -> None:
    target, done = tmp_path / "backup.tar", asyncio.Event()

    async def go_on_calling() -> int:
        number = 0
        while not done.is_set():
            async with database.session() as session:
                at = FIRST_CALL + timedelta(minutes=number)
                await leave_message(session, media, ours.account_id, ours.number_id, at)
            number += 1
        return number

    calling = asyncio.create_task(go_on_calling())
    await asyncio.sleep(0)
    in_thread = back_up(database_url, media.folder, SECRET_KEY, target)
    await asyncio.to_thread(asyncio.run, in_thread)
    done.set()
    assert await calling > 0
    folder, url = Media(tmp_path / "restored"), f"sqlite+aiosqlite:///{tmp_path}/restored.db"
    await restore(url, folder, SECRET_KEY, target)
    restored = open_database(url)
    async with restored.session() as session:
        names = set(await session.scalars(select(VoiceMessage.media)))
    await restored.close()
    assert names
    assert folder.missing(names) == set()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def turned(content: bytes) -> bytes:
    place = content.index(b"\x03\x04" * 100) + 50
    return content[:place] + b"\xff" + content[place + 1 :]


def spoiling(path: Path, spoil: Any) -> None:
    path.write_bytes(spoil(path.read_bytes()))


@pytest.mark.parametrize("spoil", [cut, turned, lambda _: b"", lambda _: b"no tar at all" * 100])
async def test_a_damaged_back_up_is_refused_untouched(backup: Path, tmp_path: Path, spoil: Any) -> None:
    await asyncio.to_thread(spoiling, backup, spoil)
    file = tmp_path / "restored.db"
    with pytest.raises(BackupRefused):
        await restore(f"sqlite+aiosqlite:///{file}", Media(tmp_path / "restored"), SECRET_KEY, backup)
    assert not file.exists()
    assert not (tmp_path / "restored").exists()


async def test_another_key_is_told_before_anything_happens(backup: Path, tmp_path: Path) -> None:
    url, folder = f"sqlite+aiosqlite:///{tmp_path}/restored.db", Media(tmp_path / "restored")
    with pytest.raises(BackupRefused, match="DENWABAN_SECRET_KEY"):
        await restore(url, folder, "another key of some length", backup)
    assert not (tmp_path / "restored.db").exists()
    assert (await restore(url, folder, "another key of some length", backup, other_key=True)).rows


async def test_a_restore_that_fails_leaves_no_rows(
    backup: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = f"sqlite+aiosqlite:///{tmp_path}/restored.db", Media(tmp_path / "restored")
    whole = restore_module._fill

    def fail_late(connection: Connection, table: Any, lines: Any) -> None:
        if table.name == "voice_messages":
            raise ValueError("power cut")
        whole(connection, table, lines)

    with monkeypatch.context() as patched:
        patched.setattr(restore_module, "_fill", fail_late)
        with pytest.raises(BackupRefused, match="power cut"):
            await restore(url, folder, SECRET_KEY, backup)
    await restore(url, folder, SECRET_KEY, backup)
    restored = open_database(url)
    assert await dump(restored) == await dump(database)
    await restored.close()


async def test_references_that_lead_nowhere_are_refused(backup: Path, tmp_path: Path) -> None:
    """A back-up that was put together by hand."""
    told = json.loads(json.dumps(verified(backup).__dict__))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        json.dumps({"message_id": "x", "state": "done", "words": [], "search_text": ""}) + "\n", "utf-8"
    )
    forged = tmp_path / "forged.tar"
    with writing(forged, Manifest(told["made_at"], told["revision"], told["key_check"])) as writer:
        writer.add("tables/transcripts.jsonl", rows)
    with pytest.raises(IntegrityError):
        await restore(f"sqlite+aiosqlite:///{tmp_path}/restored.db", Media(tmp_path), SECRET_KEY, forged)


async def test_an_older_release_is_brought_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/old.db"
    database = open_database(url)

    def older(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(alembic_config(connection), "0007")
        account = {"id": "a", "name": "旧", "at": "2026-11-01 00:00:00.000000"}
        connection.execute(
            text("INSERT INTO accounts (id, name, created_at) VALUES (:id, :name, :at)"), account
        )

    async with database.engine.connect() as connection:
        await connection.run_sync(older)
        await connection.commit()
    await database.close()
    await back_up(url, tmp_path / "none", SECRET_KEY, tmp_path / "old.tar")
    new = f"sqlite+aiosqlite:///{tmp_path}/new.db"
    await restore(new, Media(tmp_path / "media"), SECRET_KEY, tmp_path / "old.tar")
    restored = open_database(new)
    rows = await dump(restored)
    await restored.close()
    assert [row[:2] for row in rows["accounts"]] == [("a", "旧")]
    assert rows["users"] == []


async def test_a_newer_release_is_told(backup: Path, tmp_path: Path) -> None:
    told = verified(backup)
    newer = tmp_path / "newer.tar"
    with writing(newer, Manifest(told.made_at, "9999", told.key_check)):
        pass
    with pytest.raises(BackupRefused, match="newer release"):
        await restore(f"sqlite+aiosqlite:///{tmp_path}/x.db", Media(tmp_path), SECRET_KEY, newer)


async def test_nothing_is_overwritten(backup: Path, database_url: str, media: Media) -> None:
    before = verified(backup)
    with pytest.raises(BackupRefused, match="there already"):
        await back_up(database_url, media.folder, SECRET_KEY, backup)
    assert verified(backup) == before


async def test_many_rows(database: Database, database_url: str, media: Media, tmp_path: Path) -> None:
    """More than are read, written or inserted at once."""
    many = [
        {"call_id": f"c{number}", "at": now(), "event": "x", "details": {"n": number}}
        for number in range(2500)
    ]
    async with database.session() as session:
        await session.execute(insert(JournalEntry), many)
    manifest = await back_up(database_url, media.folder, SECRET_KEY, tmp_path / "many.tar")
    assert manifest.rows["call_journal"] == 2500
    url = f"sqlite+aiosqlite:///{tmp_path}/many.db"
    await restore(url, media, SECRET_KEY, tmp_path / "many.tar")
    restored = open_database(url)
    assert (await dump(restored))["call_journal"] == (await dump(database))["call_journal"]
    await restored.close()
