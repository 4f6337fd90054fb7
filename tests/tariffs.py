"""The tariff that the tests reckon with: the shipped example."""

from datetime import UTC, datetime
from pathlib import Path

from store.database import Database
from store.tariff import Tariff, parse_tariffs
from store.tariffs import publish

EXAMPLE = Path(__file__).parents[1] / "billing" / "tariff.toml"
PUBLISHED = datetime(2024, 1, 1, tzinfo=UTC)


def example_tariff() -> Tariff:
    (tariff,) = parse_tariffs(EXAMPLE.read_text())
    return tariff


async def publish_example(database: Database) -> None:
    await database.transaction(lambda connection: publish(connection, [example_tariff()], PUBLISHED))
