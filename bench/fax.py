"""`python -m bench.fax [--at-once N] [--speech MINUTES]`: faxes to and from a second Asterisk over loopback.

Without options the matrix: both directions, T.38 and audio, with and without ECM, standard and fine, 1, 3 and
10 pages. With `--at-once` N of three pages together, half of them out. With `--speech` callers speak for so
many minutes in all to a number that listens for fax, and none may be taken for one. Every page is compared
as pixels. Exit status 1 when a fax failed or differed, or when speech was taken for one.
"""

import argparse
import asyncio
import io
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
from pypdf import PdfReader
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from bench.measure import cpu_seconds
from faxpages.limits import HEADER_ROWS
from tests.fax import FINE, STANDARD, FarMachine, drawn_pages, far_machine, read_pages, write_tiff
from tests.fax.pages import same
from tests.running_switch import Json, RunningSwitch, free_ports, running_switch

FAX_ONLY = "0312345679"
ROWS = {STANDARD: 1143, FINE: 2287}
"""Of an A4 page."""

LIMIT_S = 900.0
PARTS = ("asterisk", "controller", "faxgw")


@dataclass(frozen=True)
class Kind:
    """What is sent, and how."""

    direction: str
    t38: bool
    ecm: bool
    pages: int
    dpi: tuple[int, int]

    def __str__(self) -> str:
        words = (
            self.direction,
            "T.38" if self.t38 else "audio",
            "ECM" if self.ecm else "no ECM",
            f"{self.pages} pages",
            "fine" if self.dpi == FINE else "standard",
        )
        return f"{words[0]:3} {words[1]:5} {words[2]:6} {words[3]:>8} {words[4]}"


@dataclass(frozen=True)
class Result:
    """What came of one: `wrong` is empty where every page is the same."""

    kind: Kind
    took_s: float
    wrong: str
    to_tray_s: float | None = None
    """From the end of the call to the tray."""


class Faxes:
    """Both ends of the line."""

    def __init__(self, switch: RunningSwitch, far: FarMachine, folder: Path) -> None:
        self.switch, self.far, self.folder = switch, far, folder
        self._callers = 0

    async def fax(self, kind: Kind) -> Result:
        """Send one, and look at it where it came."""
        began = time.monotonic()
        self._callers += 1
        try:
            wrong, to_tray_s = await (self._in(kind) if kind.direction == "in" else self._out(kind))
        except (AssertionError, TimeoutError) as problem:
            wrong, to_tray_s = str(problem), None
        result = Result(kind, time.monotonic() - began, wrong, to_tray_s)
        print(f"  {result.kind}  {result.took_s:6.1f} s  {wrong or 'identical'}", flush=True)
        return result

    async def _in(self, kind: Kind) -> tuple[str, float | None]:
        caller = f"09077{self._callers:06}"
        tiff = self.folder / f"{kind.pages}-{kind.dpi[1]}.tif"
        if not tiff.exists():
            write_tiff(tiff, drawn_pages(kind.pages, ROWS[kind.dpi]), kind.dpi)
        job = await self.far.send(FAX_ONLY, caller, tiff, t38=kind.t38, ecm=kind.ecm)
        said = await job.over(LIMIT_S)
        ended = time.time()
        if said.status != "SUCCESS":
            return f"{said.text} after {said.pages} pages", None
        fax = await self._in_tray(caller)
        to_tray_s = datetime.fromisoformat(fax["created_at"]).timestamp() - ended
        (kept,) = (self.switch.var / "media" / "faxes").rglob(f"{fax['call_id']}.tif")
        right = same(read_pages(kept), drawn_pages(kind.pages, ROWS[kind.dpi]))
        return "" if right else "other pixels", max(to_tray_s, 0.0)

    async def _in_tray(self, caller: str) -> Json:
        async with asyncio.timeout(60):
            while True:
                tray = await self.switch.ask("GET", "/api/v1/faxes?direction=in&limit=100")
                for fax in tray["items"]:
                    if fax["other_party"] == f"+81{caller[1:]}":
                        return dict(fax)
                await asyncio.sleep(0.5)

    async def _out(self, kind: Kind) -> tuple[str, float | None]:
        number = f"{'0312' if kind.t38 else '0512'}{self._callers:06}"
        sender = next(one["id"] for one in self.switch.ready["numbers"] if one["use"] == "fax")
        form = aiohttp.FormData({"number_id": sender, "destinations": number})
        form.add_field("file", _document(kind.pages), filename="pages.pdf", content_type="application/pdf")
        made = await self.switch.ask("POST", "/api/v1/fax/submissions", data=form)
        async with asyncio.timeout(LIMIT_S):
            while True:
                shown = await self.switch.ask("GET", f"/api/v1/fax/submissions/{made['id']}")
                (fax,) = shown["faxes"]
                if fax["result"] and fax["state"] in {"sent", "failed"}:
                    break
                await asyncio.sleep(1)
        if fax["state"] != "sent":
            return str(fax["result"]), None
        theirs = read_pages(self.far.received(number, FAX_ONLY).tiff)
        pdf = PdfReader(io.BytesIO(await self.switch.download(f"/api/v1/faxes/{fax['id']}/pdf")))
        ours = [page.images[0].image for page in pdf.pages]
        below = [page.crop((0, HEADER_ROWS, *page.size)) for page in theirs]
        sent = [page.convert("1").crop((0, HEADER_ROWS, *page.size)) for page in ours if page is not None]
        again = "" if fax["attempts"] == 1 else f"{fax['attempts']} attempts"
        return again if same(below, sent) else "other pixels", None


def _document(pages: int) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    for page in range(pages):
        for line in range(40):
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


async def run_all(faxes: Faxes, kinds: Sequence[Kind], at_once: int, spread_s: float) -> list[Result]:
    """All of them, no more than `at_once` together, begun over `spread_s`."""
    room = asyncio.Semaphore(at_once)

    async def one(kind: Kind, after_s: float) -> Result:
        await asyncio.sleep(after_s)
        async with room:
            return await faxes.fax(kind)

    pause = spread_s / max(len(kinds), 1)
    return await asyncio.gather(*(one(kind, number * pause) for number, kind in enumerate(kinds)))


def report(results: Sequence[Result]) -> bool:
    """Print the sums; True when all went well."""
    right = [result for result in results if not result.wrong]
    print(f"\n{len(right)} of {len(results)} identical")
    for wrong, count in Counter(result.wrong for result in results if result.wrong).items():
        print(f"  {count} x {wrong}")
    for direction in ("in", "out"):
        took = [result.took_s for result in right if result.kind.direction == direction]
        if took:
            middle = statistics.median(took)
            print(f"  {direction:3} {min(took):.0f} to {max(took):.0f} s, median {middle:.0f} s")
    trays = sorted(result.to_tray_s for result in right if result.to_tray_s is not None)
    if trays:
        print(f"  from the end of the call to the tray: p95 {trays[int(len(trays) * 0.95) - 1]:.1f} s")
    return len(right) == len(results)


# ---- speech


async def speak(faxes: Faxes, minutes: float, at_once: int = 10) -> bool:
    """Callers who speak, in voices of our own, to a number that listens; True when none became a fax."""
    # Here, so that a benchmark of faxes alone needs no speech synthesis.
    from tests.speech import NUMBER, WORDS, pcm, spoken, wav_of

    speech = faxes.folder / "speech.wav"
    speech.write_bytes(wav_of(pcm(*[spoken(text) for text in (WORDS, NUMBER) * 4])))
    call_s = 45.0
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
    parser.add_argument("--speech", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--only", default="", help="only kinds whose name holds this")
    given = parser.parse_args()
    (port,) = free_ports(1)
    settings = {"DENWABAN_TRUNK_URI": f"sip:127.0.0.1:{port}", "DENWABAN_FAX_CHANNELS": "50"}
    with (
        tempfile.TemporaryDirectory(prefix="denwaban-fax-") as folder,
        running_switch(Path(folder) / "var", **settings) as switch,
        far_machine(Path(folder) / "far", port, switch.sip_port) as far,
    ):
        switch.wait_ready()
        faxes = Faxes(switch, far, Path(folder))
        well = asyncio.run(_measured(faxes, given))
    sys.exit(0 if well else 1)


async def _measured(faxes: Faxes, given: argparse.Namespace) -> bool:
    pids = {part: faxes.switch.pid(part) for part in PARTS}
    before, began = cpu_seconds(pids), time.monotonic()
    work: Awaitable[bool]
    if given.speech:
        work = speak(faxes, given.speech)
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


async def _reported(work: Awaitable[list[Result]]) -> bool:
    return report(await work)


if __name__ == "__main__":
    main()
