"""Who is renewed when: only a party whose counterpart has changed, and once."""

from pathlib import Path

import pytest

from pbx.recordings.transfers import TransferWatch

pytestmark = pytest.mark.integration

PARTY, DEVICE, COLLEAGUE = "test-1.1", "test-1.2", "test-1.3"


def slip(folder: Path, *events: str) -> None:
    (folder / f"{PARTY}.slip").write_text("\n".join(["number=+81312345678", f"outside={PARTY}", *events, ""]))


async def test_a_party_is_renewed_when_somebody_else_has_it(tmp_path: Path) -> None:
    bridges: list[set[str]] = [{PARTY, DEVICE}, {"test-1.8", "test-1.9"}]
    renewed: list[str] = []

    async def connected() -> list[set[str]]:
        return bridges

    async def renew(channel: str) -> None:
        renewed.append(channel)

    watch = TransferWatch(tmp_path, connected, renew)
    slip(tmp_path, "begun=1795392000.0")
    for _ in range(2):
        await watch.look()
    # On hold, alone for a moment, is no other counterpart.
    bridges[0] = {PARTY}
    await watch.look()
    bridges[0] = {PARTY, DEVICE}
    await watch.look()
    assert renewed == []
    bridges[0] = {PARTY, COLLEAGUE}
    for _ in range(2):
        await watch.look()
    assert renewed == [PARTY]
    slip(tmp_path, "begun=1795392000.0", "ended=1795392009.0")
    bridges[0] = {PARTY, DEVICE}
    await watch.look()
    assert renewed == [PARTY]


async def test_what_is_not_recorded_is_not_renewed(tmp_path: Path) -> None:
    """Nor is Asterisk asked while nothing is recorded."""

    async def connected() -> list[set[str]]:
        raise AssertionError("nobody is recorded")

    async def renew(channel: str) -> None:
        raise AssertionError(channel)

    watch = TransferWatch(tmp_path, connected, renew)
    await watch.look()
    slip(tmp_path)
    await watch.look()
