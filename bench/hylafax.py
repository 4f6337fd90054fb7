"""`python -m bench.hylafax --root FOLDER`: faxes to and from HylaFAX with a soft modem, of another kind.

FOLDER is a Debian with HylaFAX and IAXmodem in it, which is entered by chroot; only root can do that:

    mmdebstrap --variant=apt --include=hylafax-server,iaxmodem,procps bookworm FOLDER
    mount --bind /dev/pts FOLDER/dev/pts; mount --bind /proc FOLDER/proc

The modem speaks IAX2 to a second Asterisk, whose calls go to the switch as audio: there is no T.38 in it.
Pages are compared as pixels, but for the rows at the top that either side writes its header into. Exit status
1 when a fax failed or differed.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PIL import Image

from bench.fax import FAX_ONLY, ROWS, Faxes, document
from faxpages.limits import HEADER_ROWS
from launch.child import last_lines
from tests.fax import FINE, STANDARD, drawn_pages, far_machine, read_pages, write_tiff
from tests.running_switch import Json, free_ports, running_switch, until

MODEM = "ttyIAX0"
NUMBER = "0599990600"
SECRET = "soft-modem-of-a-benchmark"
SPOOL = Path("var/spool/hylafax")
LIMIT_S = 400.0
RESTS_S = 15.0
THEIR_HEADER_ROWS = 60
"""HylaFAX writes over so many rows of a page; SpanDSP's own header is off."""

BRIDGE = {
    "modules.conf": "load = app_dial.so\nload = chan_iax2.so\n",
    "iax.conf": f"""\
[general]
bindaddr = 127.0.0.1
disallow = all
allow = ulaw
requirecalltoken = no

[iaxmodem]
type = friend
host = dynamic
secret = {SECRET}
context = of-the-modem
requirecalltoken = no
jitterbuffer = no
""",
    "extensions.conf": f"""
[called](+)
exten => {NUMBER},1,Dial(IAX2/iaxmodem/${{EXTEN}},90)
 same => n,Hangup()

[of-the-modem]
exten => _X.,1,Set(CALLERID(num)={NUMBER})
 same => n,Dial(PJSIP/${{EXTEN}}@audio,60)
 same => n,Hangup()
""",
}
"""What the second Asterisk has beside its own configuration."""

IAXMODEM = f"""\
device /dev/{MODEM}
owner uucp:uucp
mode 660
port 4570
refresh 60
server 127.0.0.1
peername iaxmodem
secret {SECRET}
cidname HylaFAX
cidnumber {NUMBER}
codec ulaw
"""
HYLAFAX = f"""\
CountryCode: 81
AreaCode: 3
FAXNumber: {NUMBER}
LongDistancePrefix: 0
InternationalPrefix: 010
DialStringRules: etc/dialrules
SpeakerVolume: off
RingsBeforeAnswer: 1
RecvFileMode: 0644
LogFileMode: 0644
SessionTracing: 11
LocalIdentifier: HylaFAX
"""


class HylaFax:
    """The programs in its folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.spool = root, root / SPOOL

    def set_up(self) -> None:
        """Configure the modem, and let everybody in who asks from this machine."""
        (self.root / "etc/iaxmodem" / MODEM).write_text(IAXMODEM)
        shutil.copytree(self.root / "etc/hylafax", self.spool / "etc", dirs_exist_ok=True)
        prototype = (self.spool / "config/iaxmodem").read_text()
        (self.spool / "etc" / f"config.{MODEM}").write_text(HYLAFAX + prototype)
        hosts = self.spool / "etc/hosts.hfaxd"
        hosts.write_text(".*\n")
        self.run("chown", "-R", "uucp:uucp", f"/{SPOOL}/etc")
        for received in (self.spool / "recvq").glob("fax*"):
            received.unlink()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            for command in (
                ["iaxmodem", MODEM],
                ["faxq", "-D"],
                ["hfaxd", "-d", "-i", "4559"],
                ["faxgetty", MODEM],
            ):
                if command[0] == "faxgetty":
                    until((self.root / "dev" / MODEM).is_symlink, 20, "the modem is there")
                stack.enter_context(self._program(command))
            yield

    @contextmanager
    def _program(self, command: list[str]) -> Iterator[None]:
        with (self.root / "tmp" / f"{command[0]}.out").open("wb") as output:
            process = subprocess.Popen(
                ["chroot", str(self.root), *command], stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def run(self, *command: str) -> str:
        done = subprocess.run(
            ["chroot", str(self.root), *command], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    async def rested(self) -> None:
        """Wait until the modem has been idle for a while: sooner it says so, and refuses calls."""
        deadline, since = time.monotonic() + 120, time.monotonic()
        while time.monotonic() - since < RESTS_S:
            assert time.monotonic() < deadline, "the modem is never idle"
            await asyncio.sleep(1)
            if "Running and idle" not in self.run("faxstat", "-h", "127.0.0.1"):
                since = time.monotonic()

    def send(self, number: str, tiff: Path, fine: bool) -> None:
        inside = self.root / "tmp" / tiff.name
        shutil.copyfile(tiff, inside)
        said = self.run(
            "sendfax", "-h", "127.0.0.1", "-n", "-m" if fine else "-l", "-d", number, f"/tmp/{tiff.name}"
        )
        assert "request id" in said, said

    def received(self) -> list[Path]:
        return sorted((self.spool / "recvq").glob("fax*.tif"))


def below(pages: list[Image.Image], rows: int) -> list[bytes]:
    return [page.crop((0, rows, *page.size)).tobytes() for page in pages]


async def comes_in(faxes: Faxes, hylafax: HylaFax, pages: int, dpi: tuple[int, int]) -> str:
    """HylaFAX sends; what differs, empty where nothing does."""
    drawn = drawn_pages(pages, ROWS[dpi], seed=pages)
    tiff = write_tiff(faxes.folder / f"to-us-{pages}-{dpi[1]}.tif", drawn, dpi)
    before = {fax["id"] for fax in await incoming(faxes)}
    hylafax.send(FAX_ONLY, tiff, dpi == FINE)
    deadline = time.monotonic() + LIMIT_S
    while not (new := [fax for fax in await incoming(faxes) if fax["id"] not in before]):
        assert time.monotonic() < deadline, hylafax.run("faxstat", "-h", "127.0.0.1", "-s", "-d")
        await asyncio.sleep(2)
    (fax,) = new
    if fax["state"] != "received":
        return f"{fax['state']}: {fax['result']['code']}"
    (kept,) = (faxes.switch.var / "media" / "faxes").rglob(f"{fax['call_id']}.tif")
    same = below(read_pages(kept), THEIR_HEADER_ROWS) == below(drawn, THEIR_HEADER_ROWS)
    print(f"    from {fax['remote_station']!r}, {fax['rate']} bit/s, ECM {fax['ecm']}")
    return "" if same else f"other pixels, {fax['bad_rows']} bad rows"


async def incoming(faxes: Faxes) -> list[Json]:
    tray = await faxes.switch.ask("GET", "/api/v1/faxes?direction=in&limit=100")
    return list(tray["items"])


async def goes_out(faxes: Faxes, hylafax: HylaFax, pages: int) -> str:
    """HylaFAX receives; as above."""
    before = set(hylafax.received())
    fax = await faxes.sent(NUMBER, document(pages))
    if fax["state"] != "sent":
        return str(fax["result"])
    until(lambda: bool(set(hylafax.received()) - before), 30, "it lies in the queue")
    (theirs,) = set(hylafax.received()) - before
    print(f"    to {fax['remote_station']!r}, {fax['rate']} bit/s, ECM {fax['ecm']}")
    same = below(read_pages(theirs), HEADER_ROWS) == below(await faxes.pages_of(fax), HEADER_ROWS)
    return "" if same else "other pixels"


async def run(faxes: Faxes, hylafax: HylaFax) -> bool:
    well = True
    works: dict[str, Callable[[], Awaitable[str]]] = {
        "out, 1 page, fine": lambda: goes_out(faxes, hylafax, 1),
        "out, 3 pages, fine": lambda: goes_out(faxes, hylafax, 3),
        "in,  1 page, fine": lambda: comes_in(faxes, hylafax, 1, FINE),
        "in,  3 pages, standard": lambda: comes_in(faxes, hylafax, 3, STANDARD),
    }
    for what, work in works.items():
        await hylafax.rested()
        began = time.monotonic()
        try:
            wrong = await work()
        except (AssertionError, TimeoutError) as problem:
            wrong = str(problem) or type(problem).__name__
        print(f"  {what}: {time.monotonic() - began:.0f} s, {wrong or 'identical'}", flush=True)
        if wrong:
            print(last_lines(faxes.far.folder / "log" / "far.log", 5))
        well &= not wrong
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    given = parser.parse_args()
    (port,) = free_ports(1)
    hylafax = HylaFax(given.root)
    hylafax.set_up()
    settings = {
        "DENWABAN_TRUNK_URI": f"sip:127.0.0.1:{port}",
    }
    with (
        tempfile.TemporaryDirectory(prefix="denwaban-hylafax-") as name,
        running_switch(Path(name) / "var", **settings) as switch,
        far_machine(Path(name) / "far", port, switch.sip_port, more=BRIDGE) as far,
        hylafax.running(),
    ):
        switch.wait_ready()
        well = asyncio.run(run(Faxes(switch, far, Path(name)), hylafax))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
