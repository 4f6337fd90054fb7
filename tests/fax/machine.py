"""The far machine at work: started, told to send, asked what came of it.

What it does with a call to it depends on the number: `03…` takes faxes over T.38, `05…` refuses T.38, `0401…`
is busy, `0402…` never answers, `0403…` is a person, `0404…NN` takes a fax and hangs up NN seconds after the
call came, `0405…` answers and sends no packet.
"""

import asyncio
import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from launch.asterisk import find_asterisk
from tests.fax.ami import Login, originate
from tests.fax.configuration import PASSWORD, USER, write_configuration
from tests.running_switch import free_ports, until
from tests.sip import speech_like, write_wav

_numbers = count(1)


@dataclass(frozen=True)
class Outcome:
    """What a far machine says of its end of a call; `status` is empty where it was no fax."""

    status: str
    pages: int
    mode: str
    text: str


class FarMachine:
    """A second Asterisk, whose calls go to the switch."""

    def __init__(self, folder: Path, ami_port: int) -> None:
        self.folder, self._ami_port = folder, ami_port

    @property
    def speech(self) -> str:
        """A WAV of five seconds, as Asterisk names it."""
        return str(self.folder / "word")

    async def send(
        self,
        number: str,
        caller: str,
        tiff: Path,
        *,
        t38: bool = True,
        ecm: bool = True,
        how: str = "f",
        speaks: str = "",
        cut_s: int | None = None,
        muted: bool = False,
        way: str = "",
    ) -> "Job":
        """Call `number` as `caller` and send; returns at once. `how` are SendFAX's options.

        `speaks` names a WAV that is played before, without suffix; after `cut_s` seconds it hangs up. Nobody
        hears its tones where it is `muted`. `way` is another than T.38's or audio's.
        """
        more = {"CUT_S": str(cut_s)} if cut_s else {}
        more |= {"MUTE": "yes"} if muted else {}
        way = way or ("t38" if t38 else "audio")
        return await self._call("send", number, caller, way, FILE=str(tiff), HOW=how, SPEAKS=speaks,
                                ECM="yes" if ecm else "no", **more)  # fmt: skip

    async def talk(self, number: str, caller: str, speech: Path) -> "Job":
        """Call `number` and play a WAV, named without suffix."""
        return await self._call("talk", number, caller, "t38", SPEAKS=str(speech))

    async def _call(self, context: str, number: str, caller: str, way: str, **variables: str) -> "Job":
        job = Job(self, f"job-{next(_numbers)}")
        await originate(
            Login(self._ami_port, USER, PASSWORD),
            f"PJSIP/{number}@{way}",
            caller,
            {"JOB": job.name, **variables},
            Context=context,
            Exten="s",
            Priority="1",
        )
        return job

    def received(self, number: str, caller: str) -> "Job":
        """The first fax that came to `number` from `caller`."""
        return Job(self, f"{number}-{caller}")

    def all_received(self, number: str, caller: str) -> "list[Job]":
        """Every call to `number` from `caller` that was taken as a fax."""
        return [Job(self, path.stem) for path in self.folder.glob(f"{number}-{caller}*.began")]


@dataclass(frozen=True)
class Job:
    """One call of the far machine."""

    machine: FarMachine
    name: str

    @property
    def tiff(self) -> Path:
        """The pages that were received."""
        return self.machine.folder / f"{self.name}.tif"

    async def over(self, limit_s: float) -> Outcome:
        """Wait for the call's end. AssertionError when it does not come in time."""
        deadline = time.monotonic() + limit_s
        path = self.machine.folder / f"{self.name}.done"
        while not (path.exists() and path.read_text().endswith("\n")):
            assert time.monotonic() < deadline, f"{self.name} is not over after {limit_s} s"
            await asyncio.sleep(0.2)
        return self.said()

    @property
    def ended_at(self) -> float:
        """When it was over, in seconds since 1970."""
        return (self.machine.folder / f"{self.name}.done").stat().st_mtime

    def said(self) -> Outcome:
        """Of a call that is over."""
        path = self.machine.folder / f"{self.name}.done"
        status, pages, mode, text = path.read_text().splitlines()[0].split("|")
        return Outcome(status, int(pages or 0), mode, text)


@contextmanager
def far_machine(
    folder: Path,
    sip_port: int,
    switch_port: int,
    ways: Mapping[str, int] | None = None,
    more: Mapping[str, str] | None = None,
) -> Iterator[FarMachine]:
    """Start it on `sip_port`, for a switch that listens on `switch_port`; stop it at the end.

    `ways` to the switch beside the straight ones: name -> where it is found by that one. `more` is added to
    its configuration, file by file.
    """
    tool = find_asterisk()
    (ami_port,) = free_ports(1)
    every = {"t38": switch_port, "audio": switch_port, **(ways or {})}
    write_configuration(folder, tool, sip_port, ami_port, random.randrange(48000, 59000, 1000), every)
    for name, text in (more or {}).items():
        with (folder / "etc" / name).open("a") as file:
            file.write(text)
    write_wav(folder / "speech.wav", speech_like(20))
    write_wav(folder / "word.wav", speech_like(5))
    command = [*tool.command, "-C", str(folder / "etc" / "asterisk.conf")]
    with (folder / "far.out").open("wb") as output:
        process = subprocess.Popen(
            [*command, "-f", "-n"], stdout=output, stderr=output, start_new_session=True
        )
    try:
        until(lambda: _booted(command) or process.poll() is not None, 60, "the far machine is up")
        assert process.poll() is None, (folder / "far.out").read_text()
        yield FarMachine(folder, ami_port)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _booted(command: list[str]) -> bool:
    asked = subprocess.run([*command, "-rx", "core waitfullybooted"], capture_output=True, check=False)
    return b"fully booted" in asked.stdout
