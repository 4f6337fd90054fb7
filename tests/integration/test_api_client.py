"""A typed Python client, made from the document by a generator that knows nothing else of us."""

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from portal_api.main import build_app
from portal_api.routing import Parts
from scripts.python_client import PACKAGE, make_client
from store.database import Database
from store.media import Media
from tests.furnishing import SECRET_KEY, Furnished

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The client on the import path, as long as these tests run."""
    folder = tmp_path_factory.mktemp("client")
    made = make_client(folder)
    sys.path.insert(0, str(folder))
    yield made
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def operation(made: Path, name: str) -> Any:
    """The module of an operation; its folder is named by the operation's tag."""
    (file,) = made.glob(f"api/*/{name}.py")
    return importlib.import_module(f"{PACKAGE}.api.{file.parent.name}.{name}")


async def test_it_reads_changes_and_learns_of_errors(
    generated: Path, database: Database, media: Media, ours: Furnished
) -> None:
    package: Any = importlib.import_module(PACKAGE)
    models: Any = importlib.import_module(f"{PACKAGE}.models")
    async with TestServer(build_app(Parts(database, media, "test", SECRET_KEY))) as server:
        # Its TLS context reads certificates from disk.
        client = await asyncio.to_thread(
            package.AuthenticatedClient, base_url=str(server.make_url("")).rstrip("/"), token=ours.token
        )
        listed = await operation(generated, "list_messages").asyncio(client=client, number="03-1234-5678")
        assert isinstance(listed, models.Messages)
        (message,) = listed.items
        assert (message.id, message.caller, message.read) == (ours.message_id, "+819012345678", False)
        assert message.started_at.tzinfo is not None
        change = models.MessageChange(read=True, status=models.MessageStatus.DONE)
        changed = await operation(generated, "change_message").asyncio(message.id, client=client, body=change)
        assert (changed.read, changed.status) == (True, models.MessageStatus.DONE)
        late = await operation(generated, "change_message").asyncio_detailed(
            message.id, client=client, body=models.MessageChange(note="x"), if_match='"old"'
        )
        assert (late.status_code, late.parsed.code) == (412, "changed_meanwhile")
        number = models.PhonebookNumberGiven(number="090-1234-5678", label="携帯")
        entry = models.NewPhonebookEntry(name="田中", numbers=[number])
        create = operation(generated, "create_phonebook_entry")
        for _ in range(2):
            made = await create.asyncio(client=client, body=entry, idempotency_key="once")
            assert made.numbers[0].number == "+819012345678"
        entries = await operation(generated, "list_phonebook_entries").asyncio(client=client, search="たなか")
        assert entries.items == []
        entries = await operation(generated, "list_phonebook_entries").asyncio(client=client, search="田中")
        assert [one.id for one in entries.items] == [made.id]
        nothing = await operation(generated, "get_device").asyncio_detailed("nope", client=client)
        assert (nothing.status_code, nothing.parsed.code) == (404, "not_found")
        await client.get_async_httpx_client().aclose()
