"""Faxes in an Asterisk of their own: they come and go as ever, and its death is theirs alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.asterisk.conftest import TONE_HZ
from tests.asterisk.test_fax import (
    FAX_ONLY,
    FAX_S,
    ROWS,
    assert_received,
    caller_of,
    fax_from,
    kept_pages,
    submit,
)
from tests.fax import FINE, FarMachine, drawn_pages, far_machine, read_pages, write_tiff
from tests.fax.pages import same
from tests.running_switch import Json, RunningSwitch, eventually, free_ports, running_switch, until
from tests.sip import AUDIO, SipCaller, speech_like, tone_of

pytestmark = pytest.mark.asterisk

VOICE = "0312345678"
LONG = 30
"""Pages of a fax that is still on its way when its Asterisk is killed."""


@dataclass(frozen=True)
class Ends:
    """A switch whose faxes are apart, and the machine that faxes with it."""

    switch: RunningSwitch
    far: FarMachine


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    folder = tmp_path_factory.mktemp("apart")
    trunk, sip, ami = free_ports(3)
    settings = {
        "DENWABAN_TRUNK_URI": f"sip:127.0.0.1:{trunk}",
        "DENWABAN_FAX_ASTERISK": "own",
        "DENWABAN_FAX_SIP_PORT": str(sip),
        "DENWABAN_FAX_AMI_PORT": str(ami),
        "DENWABAN_FAX_RETRY_S": "4",
    }
    with (
        running_switch(folder / "var", **settings) as switch,
        far_machine(folder / "far", trunk, switch.sip_port) as far,
    ):
        switch.wait_ready()
        yield Ends(switch, far)


async def outgoing(switch: RunningSwitch, submission: str) -> dict[str, Json]:
    """The faxes of a submission by their destinations, as dialled in Japan."""
    told = await switch.ask("GET", f"/api/v1/fax/submissions/{submission}")
    return {f"0{fax['other_party'][3:]}": fax for fax in told["faxes"]}


async def every(switch: RunningSwitch, submission: str, *states: str) -> dict[str, Json]:
    """The faxes of a submission, once each is in one of these states."""

    async def all_are() -> dict[str, Json]:
        faxes = await outgoing(switch, submission)
        return faxes if all(fax["state"] in states for fax in faxes.values()) else {}

    return await eventually(all_are, FAX_S, f"all are {states}")


async def in_the_prompt(switch: RunningSwitch, far: FarMachine, tiff: Path) -> None:
    """CNG is heard while the start prompt is played."""
    body = {"enabled": True}
    await switch.ask("PUT", f"/api/v1/numbers/{switch.voice_number['id']}/fax", json=body)
    until(lambda: ": shared" in switch.asterisk_says("database show number"), 10, "Asterisk was told")
    job = await far.send(VOICE, caller_of(1), tiff)
    await assert_received(switch, caller_of(1), job, 1, "t38")
    assert "recording_started" not in await switch.journal_of(caller_of(1))


async def go_out(switch: RunningSwitch, far: FarMachine, sender: str) -> None:
    """With T.38, without, and to one that is busy, whose trunk's own word is told."""
    to = {"0312340001": "t38", "0512340002": "g711"}
    submission = await submit(switch, sender, *to, "0712340003")
    faxes = await every(switch, submission, "sent", "failed")
    nobody = faxes.pop("0712340003")
    assert (nobody["state"], nobody["result"]["class"]) == ("failed", "bad_number")
    assert nobody["result"]["code"] == "sip_404"
    for number, transport in to.items():
        fax = faxes[number]
        assert (fax["state"], fax["transport"]) == ("sent", transport)
        arrived = [job for job in far.all_received(number, FAX_ONLY) if job.said().status == "SUCCESS"]
        assert len(arrived) == 1


async def talked_over_its_death(switch: RunningSwitch, far: FarMachine, tiff: Path) -> None:
    """A caller hears the start prompt, speaks, and is heard, while it is killed and started again.

    A fax that comes while it is away is handed over once it is back.
    """
    spool = switch.var / "asterisk" / "spool" / "fax"
    async with SipCaller() as phone:
        call = await phone.invite(switch.uri(VOICE), caller_of(3))
        await call.answered(15)
        await call.hear(AUDIO, 5)
        killed = switch.kill("fax_asterisk")
        await far.send(FAX_ONLY, caller_of(6), tiff)
        await call.press("#")
        await call.hear(tone_of(TONE_HZ), 10)
        await call.speak(speech_like(3.0))
        assert switch.ready["pids"]["fax_asterisk"] not in {killed, None}
        await call.press("#")
        assert (await call.ended(30)).by == "switch"
    assert (await switch.message_of(caller_of(3)))["ended_by"] == "hash"
    late = f"caller={caller_of(6)}\n"
    until(lambda: any(late in _said(slip) for slip in spool.glob("*.fax")), 20, "it takes a fax again")


def _said(slip: Path) -> str:
    try:
        return slip.read_text()
    except FileNotFoundError:
        return ""


async def test_its_death_is_no_voice_calls(ends: Ends, tmp_path: Path) -> None:
    """A fax that comes in, one that goes out and a voice call, while the Asterisk of the faxes is killed."""
    switch, far = ends.switch, ends.far
    sender = next(number["id"] for number in switch.ready["numbers"] if number["use"] == "fax")
    long = write_tiff(tmp_path / "long.tif", drawn_pages(LONG, ROWS, seed=5), FINE)
    short = write_tiff(tmp_path / "short.tif", drawn_pages(1, ROWS), FINE)
    coming = await far.send(FAX_ONLY, caller_of(2), long)
    await in_the_prompt(switch, far, short)
    await go_out(switch, far, sender)
    going = await submit(switch, sender, "0312340005")
    await every(switch, going, "sending")
    await talked_over_its_death(switch, far, short)
    said = await coming.over(30)
    fax = await fax_from(switch, caller_of(2))
    assert (said.status, fax["state"], fax["result"]["code"]) == ("FAILED", "partial", "line_restarted")
    assert 0 < fax["pages"] < LONG
    assert same(read_pages(kept_pages(switch, fax)), drawn_pages(LONG, ROWS, seed=5)[: fax["pages"]])
    assert (await switch.finished_call_of(caller_of(2)))["result"] == "fax"
    (cut,) = (await every(switch, going, "dialling", "sending")).values()
    assert (cut["result"]["class"], cut["result"]["code"]) == ("cut_off", "line_restarted")
