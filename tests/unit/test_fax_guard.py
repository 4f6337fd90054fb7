"""Who is hung up on: far machines that send nothing, and nobody else."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pbx.asterisk.ari import Json
from pbx.asterisk.fax_guard import SILENT_S, FaxGuard
from pbx.errors import HungUp

pytestmark = pytest.mark.unit


@dataclass
class Line:
    """Channels: id -> context and packets received; a channel without packets to tell of is gone."""

    contexts: dict[str, str] = field(default_factory=dict)
    packets: dict[str, str] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    looks: int = 0

    async def channels(self) -> list[Json]:
        self.looks += 1
        return [{"id": name, "dialplan": {"context": context}} for name, context in self.contexts.items()]

    async def variable(self, channel: str, name: str) -> str:
        if channel not in self.packets:
            raise HungUp("404")
        return self.packets[channel]

    async def hang_up(self, channel: str, cause: int) -> None:
        self.ended.append(channel)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "call.fax").touch()
    return tmp_path


async def test_only_silent_faxes_end(spool: Path) -> None:
    """Empty is T.38, which has no RTP; `gone` ends between the two questions."""
    line = Line(
        {
            "in": "fax-rx",
            "out": "fax-tx",
            "t38": "fax-rx",
            "heard": "fax-tx",
            "voice": "ring",
            "gone": "fax-rx",
        },
        {"in": "0", "out": "0", "t38": "", "heard": "312", "voice": "0"},
    )
    guard = FaxGuard(line, spool)
    for at in (0.0, SILENT_S - 1):
        await guard.look(at)
    assert line.ended == []
    await guard.look(SILENT_S)
    assert sorted(line.ended) == ["in", "out"]


async def test_a_fax_that_has_just_begun_is_given_time(spool: Path) -> None:
    line = Line({}, {"late": "0"})
    guard = FaxGuard(line, spool)
    await guard.look(0.0)
    line.contexts["late"] = "fax-rx"
    await guard.look(SILENT_S)
    await guard.look(2 * SILENT_S - 1)
    assert line.ended == []
    await guard.look(2 * SILENT_S)
    assert line.ended == ["late"]


async def test_without_a_fax_asterisk_is_not_asked(tmp_path: Path) -> None:
    line = Line({"in": "fax-rx"}, {"in": "0"})
    await FaxGuard(line, tmp_path).look(0.0)
    assert line.looks == 0
