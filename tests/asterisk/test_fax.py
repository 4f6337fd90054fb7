"""Faxes from and to a far machine, over T.38 and as audio, in every place where a call can become one.

A fax takes half a minute of everybody's time, so all of them are on the line at once.
"""

import asyncio
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from pypdf import PdfReader
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas
from sqlalchemy import select

from faxpages.limits import HEADER_ROWS
from store.database import open_database
from store.models import Call
from tests.asterisk.conftest import Line, short_line
from tests.asterisk.test_callers import registered
from tests.asterisk.test_nothing_is_lost import no_controller
from tests.fax import (
    FINE,
    STANDARD,
    FarMachine,
    Job,
    Outcome,
    drawn_pages,
    far_machine,
    read_pages,
    write_tiff,
)
from tests.fax.pages import same
from tests.fax.path import Weather, path
from tests.running_switch import Json, RunningSwitch, eventually, until
from tests.sip import SipCaller, speech_like, tone

pytestmark = pytest.mark.asterisk

FAX_S = 150.0
"""How long a fax may take on a busy machine; half a minute is usual."""

ROWS = 300
ROUGH = Weather(loss=0.05, in_a_row=3, twice=0.02, late=0.02)
FAX_ONLY = "0312345679"
VOICE = "0312345678"


@dataclass(frozen=True)
class Numbers:
    """Where the far machine calls: both may become faxes, 留守レポ is ON and OFF."""

    answered: Line
    rung: Line


@pytest.fixture(scope="module")
def far(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarMachine]:
    port = int(running.environment["DENWABAN_TRUNK_URI"].rpartition(":")[2])
    with (
        path(port, running.sip_port, lambda _: ROUGH) as rough,
        far_machine(
            tmp_path_factory.mktemp("far"), port, running.sip_port, {"rough": rough.switch_side}
        ) as far,
    ):
        yield far
        assert rough.lost > 0.02 * rough.passed > 0


@pytest.fixture(scope="module")
def numbers(running: RunningSwitch, tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    folder = tmp_path_factory.mktemp("fax-prompts")
    answered = asyncio.run(short_line(running, folder, "0311115555"))
    rung = asyncio.run(short_line(running, folder, "0311116666"))
    asyncio.run(_share(running, answered, rung))
    return Numbers(answered, rung)


async def _share(switch: RunningSwitch, answered: Line, rung: Line) -> None:
    for line in (answered, rung):
        await switch.ask("PUT", f"/api/v1/numbers/{line.number_id}/fax", json={"enabled": True})
    off = {"enabled": False, "rule_id": rung.usual_rule}
    await switch.ask("PUT", f"/api/v1/numbers/{rung.number_id}/rusurepo", json=off)
    until(
        lambda: switch.asterisk_says("database show number").count(": shared") == 2, 10, "Asterisk was told"
    )


def caller_of(number: int) -> str:
    """As many callers as there are faxes."""
    return f"09055{number:06}"


async def fax_from(switch: RunningSwitch, caller: str) -> Json:
    """The fax of a caller, in its tray."""

    async def found() -> list[Json]:
        faxes: list[Json] = (await switch.ask("GET", "/api/v1/faxes?direction=in&limit=100"))["items"]
        return [fax for fax in faxes if fax["other_party"] == f"+81{caller[1:]}"]

    (fax,) = await eventually(found, 60, f"the fax of {caller}")
    return fax


def kept_pages(switch: RunningSwitch, fax: Json) -> Path:
    (path,) = (switch.var / "media" / "faxes").rglob(f"{fax['call_id']}.tif")
    return path


async def assert_received(
    switch: RunningSwitch, caller: str, job: Job, count: int, transport: str, ecm: bool = True, seed: int = 0
) -> Json:
    """The far machine and we agree that all pages came, and they are what was sent."""
    said = await job.over(FAX_S)
    assert (said.status, said.pages) == ("SUCCESS", count)
    fax = await fax_from(switch, caller)
    assert (fax["state"], fax["pages"], fax["result"]["class"]) == ("received", count, "ok")
    assert (fax["transport"], fax["remote_station"]) == (transport, caller)
    # It is seen only while a page is on its way.
    assert fax["ecm"] in ({ecm} if count > 1 else {ecm, None})
    assert same(read_pages(kept_pages(switch, fax)), drawn_pages(count, ROWS, seed))
    assert await switch.messages_of(caller) == []
    assert (await switch.finished_call_of(caller))["result"] == "fax"
    return fax


async def over_a_rough_line(switch: RunningSwitch, far: FarMachine, tiff: Path) -> None:
    """All pages are what was sent; where the machines did not part well, each says what it has."""
    job = await far.send(FAX_ONLY, caller_of(7), tiff, way="rough")
    said = await job.over(FAX_S)
    fax = await fax_from(switch, caller_of(7))
    assert (fax["state"] == "received") or said.status == "FAILED"
    assert fax["pages"] >= said.pages
    assert same(read_pages(kept_pages(switch, fax)), drawn_pages(3, ROWS, seed=3)[: fax["pages"]])


async def in_a_talk(
    switch: RunningSwitch, far: FarMachine, number: str, tiff: Path, caller: str, within_s: float, **how: Any
) -> None:
    """A device answers, hears the tones and is dropped; the fax goes on."""
    async with registered(switch) as device:
        job = await far.send(number, caller, tiff, **how)
        inside = await device.incoming(20)
        await inside.answer()
        answered_at = asyncio.get_running_loop().time()
        ending = await inside.ended(15)
        assert ending.by == "switch"
        assert ending.at - answered_at < within_s
    await assert_received(switch, caller, job, 1, "t38")


async def in_the_prompt(switch: RunningSwitch, far: FarMachine, tiff: Path) -> None:
    """Nobody hears it; its offer of T.38 comes while a long start prompt is played."""
    path = f"/api/v1/numbers/{switch.voice_number['id']}/fax"
    await switch.ask("PUT", path, json={"enabled": True})
    until(
        lambda: switch.asterisk_says("database show number").count(": shared") == 3, 10, "Asterisk was told"
    )
    try:
        job = await far.send(VOICE, caller_of(13), tiff, muted=True, how="fz")
        await assert_received(switch, caller_of(13), job, 1, "t38")
        assert "recording_started" not in await switch.journal_of(caller_of(13))
    finally:
        await switch.ask("PUT", path, json={"enabled": False})


async def talks(switch: RunningSwitch, far: FarMachine, number: str, tiff: Path) -> None:
    """One in which CNG is heard, then one in which nothing is, but T.38 offered after ten seconds."""
    await in_a_talk(switch, far, number, tiff, caller_of(4), 2.0)
    await in_a_talk(switch, far, number, tiff, caller_of(12), 12.0, muted=True, how="fz")


async def hears(switch: RunningSwitch, number: str, caller: str, hertz: float, before_s: float) -> list[str]:
    """What becomes of a caller who speaks, sends one burst of a tone and speaks on.

    A fax is heard at once: within a second, and two more for a busy machine.
    """
    async with SipCaller() as phone:
        call = await phone.invite(switch.uri(number), caller)
        await call.answered(15)
        await call.speak(speech_like(before_s))
        began = datetime.now(UTC)
        await call.speak(tone(hertz, 0.5))
        await call.speak(speech_like(1.5))
        await call.hang_up()
    told = await switch.finished_call_of(caller)
    journal = (await switch.ask("GET", f"/api/v1/calls/{told['id']}/journal"))["items"]
    heard = [datetime.fromisoformat(entry["at"]) for entry in journal if entry["event"] == "became_fax"]
    assert all(at - began < timedelta(seconds=3) for at in heard)
    return [entry["event"] for entry in journal]


async def cut_in_the_middle(switch: RunningSwitch, far: FarMachine, folder: Path) -> None:
    tiff = write_tiff(folder / "long.tif", drawn_pages(12, ROWS, seed=9), FINE)
    job = await far.send(FAX_ONLY, caller_of(6), tiff, cut_s=30)
    said = await job.over(FAX_S)
    fax = await fax_from(switch, caller_of(6))
    assert (said.status, fax["state"], fax["result"]["class"]) == ("FAILED", "partial", "cut_off")
    assert 0 < fax["pages"] < 12
    assert same(read_pages(kept_pages(switch, fax)), drawn_pages(12, ROWS, seed=9)[: fax["pages"]])


def document() -> bytes:
    """A PDF of one page with little on it."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    canvas.setFont("Helvetica", 20)
    canvas.drawString(100, 500, "A page for a far machine")
    canvas.save()
    return out.getvalue()


async def submit(switch: RunningSwitch, number_id: str, *destinations: str) -> str:
    """Send the document; the submission's id."""
    form = aiohttp.FormData()
    form.add_field("number_id", number_id)
    form.add_field("destinations", "\n".join(destinations))
    form.add_field("file", document(), filename="page.pdf", content_type="application/pdf")
    return str((await switch.ask("POST", "/api/v1/fax/submissions", data=form))["id"])


async def sent(switch: RunningSwitch, far: FarMachine) -> None:
    """To a machine with T.38, to one that refuses it, and to a number that is nobody's.

    The gateway is killed while it sends, and each fax arrives once all the same.
    """
    fax_number = next(number for number in switch.ready["numbers"] if number["use"] == "fax")
    to = {"0312340001": "t38", "0512340002": "g711", "0712340003": None}
    submission = await submit(switch, fax_number["id"], *to)

    async def all_of_them() -> list[Json]:
        faxes: list[Json] = (await switch.ask("GET", f"/api/v1/fax/submissions/{submission}"))["faxes"]
        return faxes

    async def both_answered() -> bool:
        return [fax["state"] for fax in await all_of_them()].count("sending") == 2

    async def over() -> list[Json]:
        faxes = await all_of_them()
        return [] if any(fax["result"] is None for fax in faxes) else faxes

    await eventually(both_answered, FAX_S, "both machines have answered")
    switch.kill("after_calls")

    faxes = {fax["other_party"]: fax for fax in await eventually(over, FAX_S, "all are sent")}
    nobody = faxes.pop("+81712340003")
    assert (nobody["state"], nobody["result"]["class"]) == ("failed", "bad_number")
    for number, transport in list(to.items())[:2]:
        fax = faxes[f"+81{number[1:]}"]
        assert (fax["state"], fax["pages_done"], fax["transport"]) == ("sent", 1, transport)
        assert (fax["attempts"], fax["remote_station"]) == (1, number)
        theirs = far.received(number, FAX_ONLY)
        assert await theirs.over(10) == Outcome("SUCCESS", 1, "T38" if transport == "t38" else "audio", "OK")
        (page,), ours = read_pages(theirs.tiff), await switch.download(f"/api/v1/faxes/{fax['id']}/pdf")
        assert_same_below_the_header(page, ours)
    assert await billed_pages(switch) == {"+81312340001": 1, "+81512340002": 1}


async def billed_pages(switch: RunningSwitch) -> dict[str, int]:
    """What invoices count, by who was called: pages that arrived."""
    database = open_database(switch.database_url, busy_timeout_s=20)
    try:
        async with database.session() as session:
            pages = await session.execute(select(Call.dialled, Call.fax_pages).where(Call.fax_pages > 0))
            return {dialled: count for dialled, count in pages if count}
    finally:
        await database.close()


def assert_same_below_the_header(theirs: Image.Image, ours: bytes) -> None:
    """`ours` is the PDF of what was sent, which has no header line."""
    (page,) = PdfReader(io.BytesIO(ours)).pages
    sent_page = page.images[0].image
    assert sent_page is not None
    assert sent_page.size == theirs.size
    below = (0, HEADER_ROWS, *theirs.size)
    assert theirs.crop(below).tobytes() == sent_page.convert("1").crop(below).tobytes()
    assert theirs.tobytes() != sent_page.convert("1").tobytes()


async def test_faxes(switch: RunningSwitch, far: FarMachine, numbers: Numbers, tmp_path: Path) -> None:
    fine = write_tiff(tmp_path / "fine.tif", drawn_pages(1, ROWS), FINE)
    three = write_tiff(tmp_path / "three.tif", drawn_pages(3, ROWS, seed=3), STANDARD)
    answered, rung = numbers.answered.dialled, numbers.rung.dialled
    with no_controller(switch):
        alone = [
            await far.send(FAX_ONLY, caller_of(10), fine),
            await far.send(answered, caller_of(11), fine, t38=False, speaks=far.speech),
        ]
        spool = switch.var / "asterisk" / "spool" / "fax"
        until(lambda: len(list(spool.glob("*.fax"))) == 2, 30, "the dialplan receives them")
    prompt = await far.send(answered, caller_of(1), fine)
    recording = await far.send(answered, caller_of(2), fine, t38=False, speaks=far.speech)
    three_pages = await far.send(FAX_ONLY, caller_of(3), three, ecm=False)
    # Nobody hears it; after ten seconds it offers T.38.
    offer = await far.send(answered, caller_of(8), fine, muted=True, how="fz")
    async with asyncio.TaskGroup() as all_at_once:
        together = all_at_once.create_task
        together(assert_received(switch, caller_of(10), alone[0], 1, "t38"))
        together(assert_received(switch, caller_of(11), alone[1], 1, "g711"))
        together(assert_received(switch, caller_of(1), prompt, 1, "t38"))
        together(assert_received(switch, caller_of(2), recording, 1, "g711"))
        together(assert_received(switch, caller_of(3), three_pages, 3, "t38", ecm=False, seed=3))
        together(assert_received(switch, caller_of(8), offer, 1, "t38"))
        together(over_a_rough_line(switch, far, three))
        together(in_the_prompt(switch, far, fine))
        together(talks(switch, far, rung, fine))
        together(cut_in_the_middle(switch, far, tmp_path))
        together(sent(switch, far))
        off = [together(hears(switch, answered, caller_of(20 + hz), 1100 + hz, 0.3)) for hz in (-11, 11)]
        late = together(hears(switch, answered, caller_of(50), 1092, 5.0))
        other = together(hears(switch, answered, caller_of(51), 1150, 5.0))
    for told in (*off, late):
        assert "became_fax" in told.result()
        assert "message_kept" not in told.result()
    assert "recording_started" in late.result()
    assert "message_kept" in other.result()
