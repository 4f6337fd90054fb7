"""Who is never blocked: the guard on a database, with Asterisk played."""

from typing import Any, cast

import pytest

from pbx.asterisk.ami import Ami
from pbx.asterisk.ari import AriSession
from pbx.phones.attempts import MOST_FAILURES
from pbx.phones.guard import Guard, is_within
from store.database import Database
from store.intruders import block, blocked
from store.models import DidLocation, NumberStyle, now
from store.trunks import change_trunk, create_trunk
from tests.furnishing import SECRET_KEY

pytestmark = pytest.mark.integration

CARRIER, STRANGER, OURS = "198.51.100.7", "203.0.113.9", "192.0.2.1"


class Played:
    """Asterisk, of which only blocking and registered contacts are asked."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

    async def contact_rows(self) -> dict[str, str]:
        return {}

    async def refuse_address(self, address: str) -> None:
        self.refused.add(address)

    async def admit_address(self, address: str) -> None:
        self.refused.discard(address)


def failed(address: str) -> dict[str, str]:
    return {
        "Event": "ChallengeResponseFailed",
        "Service": "PJSIP",
        "AccountID": "1001",
        "RemoteAddress": f"IPV4/UDP/{address}/5060",
    }


async def test_the_trunks_of_settings_and_operators_are_never_blocked(database: Database) -> None:
    async with database.session() as session:
        fields: dict[str, Any] = {"did_location": DidLocation.TO, "number_style": NumberStyle.E164}
        made = await create_trunk(
            session,
            SECRET_KEY,
            name="第2回線",
            uri="sip:carrier.example",
            accept=["198.51.100.0/24"],
            priority=200,
            codecs=["ulaw"],
            **fields,
        )
    asterisk = Played()
    guard = Guard(database, "test", cast(AriSession, asterisk), cast(Ami, asterisk), ("192.0.2.0/24",))
    for address in (CARRIER, STRANGER, OURS, "no address"):
        for _ in range(MOST_FAILURES):
            guard.heard(failed(address))
    await guard.look()
    assert asterisk.refused == {STRANGER}
    async with database.session() as session:
        assert [row.address for row in await blocked(session, now())] == [STRANGER]
        # Blocked before there was the trunk, or by a node that did not know of it.
        await block(session, CARRIER, 20, now(), now().replace(year=now().year + 1))
    await guard.look()
    assert asterisk.refused == {STRANGER}
    async with database.session() as session:
        await change_trunk(session, SECRET_KEY, made.id, enabled=False)
    await guard.look()
    assert asterisk.refused == {STRANGER, CARRIER}


@pytest.mark.parametrize(
    ("address", "within"),
    [("192.0.2.9", True), ("2001:db8::1", True), ("192.0.3.1", False), ("2001:db9::1", False)],
)
def test_networks_of_both_kinds(address: str, within: bool) -> None:
    assert is_within(address, ["192.0.2.5/24", "2001:db8::/32"]) is within
