"""`python -m bench.fax [options]`: faxes to and from a second Asterisk over loopback.

Without options the matrix: both directions, T.38 and audio, with and without ECM, standard and fine, 1, 3 and
10 pages. With `--at-once` N of three pages together, half of them out; with `--in` as well all come in, with
ten pages. With `--bad-lines` packets are lost, come twice or late. With `--speech` callers speak for so many
minutes in all to a number that listens for fax, and none may be taken for one. With `--tones` it is measured
how soon CNG is heard. Every page is compared as pixels. Exit status 1 when anything failed or differed.
"""

import argparse
import asyncio
import io
import math
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

import aiohttp
from PIL import Image
from pypdf import PdfReader
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from bench.fax_lines import LINES, weather_of
from bench.mail_server import mail_server
from bench.measure import cpu_seconds
from faxpages.limits import HEADER_ROWS
from tests.fax import FINE, STANDARD, FarMachine, drawn_pages, far_machine, read_pages, write_tiff
from tests.fax.pages import same
from tests.fax.path import path
from tests.running_switch import Json, RunningSwitch, free_ports, running_switch

FAX_ONLY = "0312345679"
ROWS = {STANDARD: 1143, FINE: 2287}
"""Of an A4 page."""

LIMIT_S = 900.0
GOOD_LINE = 7
PARTS = ("asterisk", "controller", "after_calls")


@dataclass(frozen=True)
class Kind:
    """What is sent, and how."""

    direction: str
    t38: bool
    ecm: bool
    pages: int
    dpi: tuple[int, int]
    line: int = GOOD_LINE
    """A digit of the number outside: the line that it is reached over."""
    every: int = 40
    """Rows between lines of text, of those that come in."""

    def __str__(self) -> str:
        words = (
            self.direction,
            "T.38" if self.t38 else "audio",
            "ECM" if self.ecm else "no ECM",
            f"{self.pages} pages",
            "fine" if self.dpi == FINE else "standard",
        )
        shown = f"{words[0]:3} {words[1]:5} {words[2]:6} {words[3]:>8} {words[4]}"
        return shown if self.line == GOOD_LINE else f"{shown}, {LINES[self.line][0]}"


@dataclass(frozen=True)
class Result:
    """What came of one: `wrong` is empty where every page is the same."""

    kind: Kind
    took_s: float
    wrong: str
    to_tray_s: float | None = None
    """From the end of the call to the tray."""

    to_mail_s: float | None = None
    """From the end of the call until the mail was handed over."""


class Faxes:
    """Both ends of the line."""

    def __init__(self, switch: RunningSwitch, far: FarMachine, folder: Path) -> None:
        self.switch, self.far, self.folder = switch, far, folder
        self._callers = 0
        self.mailed = False

    @property
    def fax_number_id(self) -> str:
        return str(next(one["id"] for one in self.switch.ready["numbers"] if one["use"] == "fax"))

    async def fax(self, kind: Kind) -> Result:
        """Send one, and look at it where it came."""
        began = time.monotonic()
        self._callers += 1
        try:
            wrong, *after_s = await (self._in(kind) if kind.direction == "in" else self._out(kind))
        except (AssertionError, TimeoutError) as problem:
            wrong, after_s = str(problem), []
        result = Result(kind, time.monotonic() - began, wrong, *after_s)
        print(f"  {result.kind}  {result.took_s:6.1f} s  {wrong or 'identical'}", flush=True)
        return result

    async def _in(self, kind: Kind) -> tuple[str, float | None, float | None]:
        caller = f"0907{kind.line}{self._callers:06}"
        tiff = self.folder / f"{kind.pages}-{kind.dpi[1]}-{kind.every}.tif"
        drawn = drawn_pages(kind.pages, ROWS[kind.dpi], every=kind.every)
        if not tiff.exists():
            write_tiff(tiff, drawn, kind.dpi)
        job = await self.far.send(FAX_ONLY, caller, tiff, t38=kind.t38, ecm=kind.ecm)
        said = await job.over(LIMIT_S)
        fax = await self._in_tray(caller)
        ended = job.ended_at
        to_tray_s = datetime.fromisoformat(fax["created_at"]).timestamp() - ended
        kept = list((self.switch.var / "media" / "faxes").rglob(f"{fax['call_id']}.tif"))
        to_mail_s = await self._to_mail_s(fax, ended)
        theirs = read_pages(kept[0]) if kept else []
        told = "" if said.status == "SUCCESS" else f"{said.text} after {said.pages}, here {fax['state']}"
        wrong = told or ("" if same(theirs, drawn) else "other pixels")
        if wrong and fax["result"]["class"] == "damaged":
            wrong = f"{wrong}, {fax['bad_rows']} rows (told right)"
        elif wrong and same(theirs, drawn[: len(theirs)]) and said.pages <= len(theirs) == fax["pages"]:
            # What came is right, and neither end says more than it has.
            wrong = f"{wrong} (told right)"
        return wrong, max(to_tray_s, 0.0), to_mail_s

    async def _to_mail_s(self, fax: Json, ended: float) -> float | None:
        if not self.mailed:
            return None
        async with asyncio.timeout(60):
            while True:
                told = await self.switch.ask("GET", f"/api/v1/deliveries?fax_id={fax['id']}")
                for delivery in told["items"]:
                    if delivery["sent_at"]:
                        return datetime.fromisoformat(delivery["sent_at"]).timestamp() - ended
                await asyncio.sleep(1)

    async def _in_tray(self, caller: str) -> Json:
        async with asyncio.timeout(60):
            while True:
                tray = await self.switch.ask("GET", "/api/v1/faxes?direction=in&limit=100")
                for fax in tray["items"]:
                    if fax["other_party"] == f"+81{caller[1:]}":
                        return dict(fax)
                await asyncio.sleep(1)

    async def _out(self, kind: Kind) -> tuple[str]:
        number = f"{'031' if kind.t38 else '051'}{kind.line}{self._callers:06}"
        fax = await self.sent(number, document(kind.pages))
        calls = sorted(self.far.all_received(number, FAX_ONLY), key=lambda job: job.ended_at)
        taken = [page for job in calls if job.tiff.exists() for page in read_pages(job.tiff)]
        if fax["state"] != "sent":
            right = len(taken) >= fax["pages_done"]
            told = fax["result"]["code"]
            return (f"{told} after {fax['pages_done']}{' (told right)' if right else ''}",)
        below = [page.crop((0, HEADER_ROWS, *page.size)).tobytes() for page in taken]
        arrived = iter(below)
        sent = [page.crop((0, HEADER_ROWS, *page.size)) for page in await self.pages_of(fax)]
        if not all(page.tobytes() in arrived for page in sent):
            return ("other pixels",)
        twice = f", {len(below) - len(sent)} pages twice" if len(below) > len(sent) else ""
        return ("" if fax["attempts"] == 1 else f"{fax['attempts']} attempts{twice} (told right)",)

    async def sent(self, number: str, pdf: bytes) -> Json:
        """Send a document; the fax once it is over."""
        form = aiohttp.FormData({"number_id": self.fax_number_id, "destinations": number})
        form.add_field("file", pdf, filename="pages.pdf", content_type="application/pdf")
        made = await self.switch.ask("POST", "/api/v1/fax/submissions", data=form)
        async with asyncio.timeout(LIMIT_S):
            while True:
                shown = await self.switch.ask("GET", f"/api/v1/fax/submissions/{made['id']}")
                (fax,) = shown["faxes"]
                if fax["result"] and fax["state"] in {"sent", "failed"}:
                    return dict(fax)
                await asyncio.sleep(1)

    async def pages_of(self, fax: Json) -> list[Image.Image]:
        """What was sent, without header lines."""
        pdf = PdfReader(io.BytesIO(await self.switch.download(f"/api/v1/faxes/{fax['id']}/pdf")))
        pages = [page.images[0].image for page in pdf.pages]
        return [page.convert("1") for page in pages if page is not None]


def document(pages: int, lines: int = 40) -> bytes:
    """A PDF of A4 pages with so many lines each."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for page in range(pages):
        for line in range(lines):
            canvas.drawString(72, 760 - 16 * line, f"Page {page + 1}, line {line + 1}: " + "text " * 12)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


# ---- what is measured


def matrix() -> list[Kind]:
    kinds = product(("in",), (True, False), (True, False), (1, 3, 10), (STANDARD, FINE))
    # The gateway chooses resolution and error correction by itself.
    return [Kind(*one) for one in kinds] + [
        Kind("out", t38, True, pages, FINE) for t38 in (True, False) for pages in (1, 3, 10)
    ]


def together(count: int) -> list[Kind]:
    """Half of them out; every fourth as audio."""
    return [Kind("out" if number % 2 else "in", number % 4 < 2, True, 3, FINE) for number in range(count)]


def bad_lines() -> list[Kind]:
    """Three faxes of three pages over each."""
    ways = (("in", True), ("in", False), ("out", True))
    return [Kind(direction, True, ecm, 3, FINE, line) for line in LINES for direction, ecm in ways]


def all_in(count: int) -> list[Kind]:
    """Ten pages with so little on them that they are sent in a minute; half of them as audio."""
    return [Kind("in", number % 2 < 1, True, 10, FINE, every=400) for number in range(count)]


async def run_all(faxes: Faxes, kinds: Sequence[Kind], at_once: int, spread_s: float) -> list[Result]:
    """All of them, no more than `at_once` together, begun over `spread_s`."""
    room = asyncio.Semaphore(at_once)

    async def one(kind: Kind, after_s: float) -> Result:
        await asyncio.sleep(after_s)
        async with room:
            return await faxes.fax(kind)

    pause = spread_s / max(len(kinds), 1)
    return await asyncio.gather(*(one(kind, number * pause) for number, kind in enumerate(kinds)))


def report(results: Sequence[Result], told_is_right: bool = False) -> bool:
    """Print the sums; True when all went well, with `told_is_right` also where what went wrong was told."""
    right = [result for result in results if not result.wrong]
    print(f"\n{len(right)} of {len(results)} identical")
    for wrong, count in Counter(result.wrong for result in results if result.wrong).items():
        print(f"  {count} x {wrong}")
    for direction in ("in", "out"):
        took = [result.took_s for result in right if result.kind.direction == direction]
        if took:
            middle = statistics.median(took)
            print(f"  {direction:3} {min(took):.0f} to {max(took):.0f} s, median {middle:.0f} s")
    for what, after_s in (
        ("to the tray", [result.to_tray_s for result in right if result.to_tray_s is not None]),
        ("until the mail was handed over", [one.to_mail_s for one in right if one.to_mail_s is not None]),
    ):
        if after_s:
            middle, p95 = statistics.median(after_s), sorted(after_s)[math.ceil(len(after_s) * 0.95) - 1]
            print(f"  from the end of the call {what}: median {middle:.1f} s, p95 {p95:.1f} s")
    return all(not one.wrong or (told_is_right and "(told right)" in one.wrong) for one in results)


# ---- speech


async def speak(faxes: Faxes, minutes: float, at_once: int = 20) -> bool:
    """Callers who speak, in voices of our own, to a number that listens; True when none became a fax."""
    # Here, so that a benchmark of faxes alone needs no speech synthesis.
    from tests.speech import NUMBER, WORDS, pcm, spoken, wav_of

    speech = faxes.folder / "speech.wav"
    speech.write_bytes(wav_of(pcm(*[spoken(text) for text in (WORDS, NUMBER) * 4])))
    call_s = 65.0
    # The demo number: its start prompt of a quarter of a minute, and a message of 50 s.
    voice = faxes.switch.voice_number
    await faxes.switch.ask("PUT", f"/api/v1/numbers/{voice['id']}/fax", json={"enabled": True})
    await asyncio.sleep(2)
    plays = "&".join([str(speech.with_suffix(""))] * 20)
    calls = round(minutes * 60 / call_s)
    room = asyncio.Semaphore(at_once)

    async def call(number: int) -> bool:
        caller = f"09088{number:06}"
        async with room:
            job = await faxes.far.talk("0312345678", caller, Path(plays))
            await job.over(120)
        return "became_fax" in await faxes.switch.journal_of(caller)

    taken = sum(await asyncio.gather(*(call(number) for number in range(calls))))
    print(f"{calls} calls, {calls * call_s / 60:.0f} minutes of speech: {taken} taken for a fax")
    return not taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=0, metavar="N")
    parser.add_argument("--in", action="store_true", dest="all_in")
    parser.add_argument("--bad-lines", action="store_true")
    parser.add_argument("--tones", action="store_true")
    parser.add_argument("--own", action="store_true", help="faxes have an Asterisk of their own")
    parser.add_argument("--speech", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--only", default="", help="only kinds whose name holds this")
    given = parser.parse_args()
    port, sip, mail, fax_sip, fax_ami = free_ports(5)
    with (
        tempfile.TemporaryDirectory(prefix="denwaban-fax-") as folder,
        path(port, sip, weather_of) as relay,
        mail_server(mail),
        running_switch(
            Path(folder) / "var",
            DENWABAN_SIP_PORT=str(sip),
            DENWABAN_TRUNK_URI=f"sip:127.0.0.1:{relay.far_side if given.bad_lines else port}",
            DENWABAN_SMTP_URL=f"smtp://127.0.0.1:{mail}",
            DENWABAN_FAX_CHANNELS="50",
            DENWABAN_FAX_RETRY_S="10",
            DENWABAN_FAX_ASTERISK="own" if given.own else "shared",
            DENWABAN_FAX_SIP_PORT=str(fax_sip),
            DENWABAN_FAX_AMI_PORT=str(fax_ami),
        ) as switch,
        far_machine(Path(folder) / "far", port, relay.switch_side if given.bad_lines else sip) as far,
    ):
        switch.wait_ready()
        faxes = Faxes(switch, far, Path(folder))
        well = asyncio.run(_measured(faxes, given))
        if given.bad_lines:
            print(f"  {relay.lost} of {relay.passed} packets were lost")
    sys.exit(0 if well else 1)


async def _measured(faxes: Faxes, given: argparse.Namespace) -> bool:
    setting = {"enabled": True, "mail_addresses": ["fax@example.jp"]}
    await faxes.switch.ask("PUT", f"/api/v1/numbers/{faxes.fax_number_id}/fax", json=setting)
    return await _run(faxes, given)


async def _run(faxes: Faxes, given: argparse.Namespace) -> bool:
    pids = {part: faxes.switch.pid(part) for part in PARTS}
    before, began = cpu_seconds(pids), time.monotonic()
    work: Awaitable[bool]
    if given.tones:
        # Here, so that a benchmark of faxes alone needs no telephones.
        from bench.fax_tones import measure_all

        work = measure_all(faxes.switch)
    elif given.speech:
        work = speak(faxes, given.speech)
    elif given.bad_lines:
        work = _reported(run_all(faxes, bad_lines(), len(bad_lines()), 5.0), told_is_right=True)
    elif given.all_in:
        faxes.mailed = True
        work = _reported(run_all(faxes, all_in(given.at_once), given.at_once, given.at_once / 5))
    elif given.at_once:
        work = _reported(run_all(faxes, together(given.at_once), given.at_once, given.at_once / 5))
    else:
        kinds = [kind for kind in matrix() if given.only in str(kind)]
        work = _reported(run_all(faxes, kinds, 30, 5.0))
    well = await work
    took_s, after = time.monotonic() - began, cpu_seconds(pids)
    shares = (f"{part} {100 * (after[part] - before[part]) / took_s:.0f} %" for part in PARTS)
    print(f"  {took_s:.0f} s; of one processor: {', '.join(shares)}")
    return well


async def _reported(work: Awaitable[list[Result]], told_is_right: bool = False) -> bool:
    return report(await work, told_is_right)


if __name__ == "__main__":
    main()
