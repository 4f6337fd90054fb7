"""Who is hung up on: far machines that send nothing, and nobody else."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from ami.errors import AsteriskAway, AsteriskRefused
from pbx.asterisk.fax_watch import ORPHANED_S, SILENT_LOOK_S, SILENT_S, FaxWatch

pytestmark = pytest.mark.unit


@dataclass
class Line:
    """Channels: name -> application and packets received; a channel without packets to tell of is T.38."""

    applications: dict[str, str] = field(default_factory=dict)
    packets: dict[str, str] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    looks: int = 0
    sessions: dict[str, SimpleNamespace] = field(default_factory=dict)
    """Fax sessions by their numbers."""
    accounts: dict[str, str] = field(default_factory=dict)
    """Channels: name -> account code."""
    away: bool = False

    async def entries(self, action: str, **headers: str) -> list[SimpleNamespace]:
        if self.away:
            raise AsteriskAway("it died")
        if action == "FAXSessions":
            return list(self.sessions.values())
        self.looks += 1
        return [
            SimpleNamespace(channel=name, application=application, accountcode=self.accounts.get(name, ""))
            for name, application in self.applications.items()
        ]

    async def send(self, action: str, **headers: str) -> None:
        assert action == "Hangup"
        self.ended.append(headers["Channel"])

    async def announced(self, action: str, **headers: str) -> SimpleNamespace:
        if headers["SessionNumber"] not in self.sessions:
            raise AsteriskRefused(400, "no such session")
        return self.sessions[headers["SessionNumber"]]

    async def variable(self, channel: str, name: str) -> str:
        if channel == "gone":
            raise AsteriskRefused(400, "no such channel")
        return self.packets.get(channel, "")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "call.fax").touch()
    return tmp_path


async def test_only_silent_faxes_end(spool: Path) -> None:
    """T.38 has no RTP to count; `gone` ends between the two questions."""
    line = Line(
        {
            "in": "ReceiveFAX",
            "out": "SendFAX",
            "t38": "ReceiveFAX",
            "heard": "SendFAX",
            "voice": "Dial",
            "gone": "ReceiveFAX",
        },
        {"in": "0", "out": "0", "heard": "312", "voice": "0"},
    )
    watch = FaxWatch(line, spool)
    for at in (0.0, SILENT_S - SILENT_LOOK_S):
        await watch.look(at)
    assert line.ended == []
    await watch.look(SILENT_S)
    assert sorted(line.ended) == ["in", "out"]


async def test_a_fax_that_has_just_begun_is_given_time(spool: Path) -> None:
    line = Line({}, {"late": "0"})
    watch = FaxWatch(line, spool)
    await watch.look(0.0)
    line.applications["late"] = "ReceiveFAX"
    await watch.look(SILENT_S)
    await watch.look(2 * SILENT_S - SILENT_LOOK_S)
    assert line.ended == []
    await watch.look(2 * SILENT_S)
    assert line.ended == ["late"]


async def test_without_a_fax_asterisk_is_not_asked(tmp_path: Path) -> None:
    line = Line({"in": "ReceiveFAX"}, {"in": "0"})
    await FaxWatch(line, tmp_path).look(0.0)
    assert line.looks == 0


async def test_what_a_dead_asterisk_of_the_faxes_left_is_hung_up(spool: Path) -> None:
    """Not while it is away: a call whose other half is not seen may yet have one."""
    mine, other = "PJSIP/fax-link-00000001", "PJSIP/fax-link-00000002"
    switch = Line(
        {mine: "AppDial", other: "AppDial", "PJSIP/trunk-main-00000003": "Dial"},
        accounts={mine: "denwaban-1.1", other: "denwaban-1.2"},
    )
    machine = Line(
        {"PJSIP/fax-link-00000009": "ReceiveFAX"}, accounts={"PJSIP/fax-link-00000009": "denwaban-1.2"}
    )
    watch = FaxWatch(machine, spool, switch)
    await watch.look(0.0)
    machine.away = True
    with pytest.raises(AsteriskAway):
        await watch.look(ORPHANED_S + 1)
    assert switch.ended == []
    machine.away = False
    await watch.look(ORPHANED_S + 2)
    assert switch.ended == [mine]


def session(number: str, file: str, resolution: str = "204x196", ecm: str = "Yes") -> SimpleNamespace:
    return SimpleNamespace(
        sessionnumber=number, files=file, imageresolution=resolution, errorcorrectionmode=ecm
    )


async def test_error_correction_is_noted_once_the_machines_have_agreed(tmp_path: Path) -> None:
    slip = tmp_path / "test-1795392000.7.fax"
    slip.write_text("direction=in\n")
    one = session("5", f"{tmp_path}/test-1795392000.7.tif", "0x0")
    line = Line(sessions={"5": one, "6": session("6", f"{tmp_path}/out/taken-in-already.tif")})
    watch = FaxWatch(line, tmp_path)
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
