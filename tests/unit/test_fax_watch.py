"""Who is hung up on: far machines that send nothing, and nobody else."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from ami.errors import AsteriskRefused
from pbx.asterisk.ari import Json
from pbx.asterisk.fax_watch import SILENT_LOOK_S, SILENT_S, FaxWatch
from pbx.errors import HungUp

pytestmark = pytest.mark.unit


@dataclass
class Line:
    """Channels: id -> context and packets received; a channel without packets to tell of is gone or T.38."""

    contexts: dict[str, str] = field(default_factory=dict)
    packets: dict[str, str] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    looks: int = 0
    sessions: dict[str, SimpleNamespace] = field(default_factory=dict)
    """Fax sessions by their numbers."""

    async def entries(self, action: str, **headers: str) -> list[SimpleNamespace]:
        return list(self.sessions.values())

    async def announced(self, action: str, **headers: str) -> SimpleNamespace:
        if headers["SessionNumber"] not in self.sessions:
            raise AsteriskRefused(400, "no such session")
        return self.sessions[headers["SessionNumber"]]

    async def channels(self) -> list[Json]:
        self.looks += 1
        return [{"id": name, "dialplan": {"context": context}} for name, context in self.contexts.items()]

    async def variable(self, channel: str, name: str) -> str:
        if channel not in self.packets:
            raise HungUp("404") if channel == "gone" else AsteriskRefused(500, "no such function")
        return self.packets[channel]

    async def hang_up(self, channel: str, cause: int) -> None:
        self.ended.append(channel)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "call.fax").touch()
    return tmp_path


async def test_only_silent_faxes_end(spool: Path) -> None:
    """T.38 has no RTP to count; `gone` ends between the two questions."""
    line = Line(
        {
            "in": "fax-rx",
            "out": "fax-tx",
            "t38": "fax-rx",
            "heard": "fax-tx",
            "voice": "ring",
            "gone": "fax-rx",
        },
        {"in": "0", "out": "0", "heard": "312", "voice": "0"},
    )
    watch = FaxWatch(line, line, spool)
    for at in (0.0, SILENT_S - SILENT_LOOK_S):
        await watch.look(at)
    assert line.ended == []
    await watch.look(SILENT_S)
    assert sorted(line.ended) == ["in", "out"]


async def test_a_fax_that_has_just_begun_is_given_time(spool: Path) -> None:
    line = Line({}, {"late": "0"})
    watch = FaxWatch(line, line, spool)
    await watch.look(0.0)
    line.contexts["late"] = "fax-rx"
    await watch.look(SILENT_S)
    await watch.look(2 * SILENT_S - SILENT_LOOK_S)
    assert line.ended == []
    await watch.look(2 * SILENT_S)
    assert line.ended == ["late"]


async def test_without_a_fax_asterisk_is_not_asked(tmp_path: Path) -> None:
    line = Line({"in": "fax-rx"}, {"in": "0"})
    await FaxWatch(line, line, tmp_path).look(0.0)
    assert line.looks == 0


def session(number: str, file: str, resolution: str = "204x196", ecm: str = "Yes") -> SimpleNamespace:
    return SimpleNamespace(
        sessionnumber=number, files=file, imageresolution=resolution, errorcorrectionmode=ecm
    )


async def test_error_correction_is_noted_once_the_machines_have_agreed(tmp_path: Path) -> None:
    slip = tmp_path / "test-1795392000.7.fax"
    slip.write_text("direction=in\n")
    one = session("5", f"{tmp_path}/test-1795392000.7.tif", "0x0")
    line = Line(sessions={"5": one, "6": session("6", f"{tmp_path}/out/taken-in-already.tif")})
    watch = FaxWatch(line, line, tmp_path)
    await watch.look(0.0)
    assert slip.read_text() == "direction=in\n"
    one.imageresolution, one.errorcorrectionmode = "204x98", "No"
    for at in (5.0, 10.0):
        await watch.look(at)
    assert slip.read_text() == "direction=in\necm=no\n"
    one.errorcorrectionmode = "Yes"
    await watch.look(15.0)
    assert slip.read_text() == "direction=in\necm=no\necm=yes\n"
    assert [path for path in (slip, tmp_path / "taken-in-already.fax") if path.exists()] == [slip]
