"""From slip and pages in the spool to a fax in the tray: once, and whole."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from sqlalchemy import select

from ami.errors import AsteriskAway
from faxgw import receive
from faxgw.parts import Parts
from faxgw.receive import Receiving, close_fax_call
from faxpages.tiffs import Page, read_pages, write_pages
from faxpages.workshop import Bench, Received
from store.database import Database
from store.events import read_events
from store.fax_queue import CLOSE_FAX_CALL, REPORT_FAX
from store.jobs import take
from store.media import Media
from store.models import (
    Call,
    CallerKind,
    Fax,
    FaxDirection,
    FaxResultClass,
    FaxState,
    FaxTransport,
    Job,
    JournalEntry,
)
from tests.fakes.fax_line import ScriptedLine
from tests.furnishing import Furnished
from tests.running_switch import eventually

pytestmark = pytest.mark.integration

CALL = "test-1763900000.7"
WORDS = {
    "direction": "in",
    "number": "+81312345678",
    "caller": "0355556666",
    "caller_name": "",
    "presentation": "allowed",
    "started_at": "1763900000",
    "answered_at": "1763900001",
    "status": "SUCCESS",
    "error": "HANGUP",
    "statusstr": "OK",
    "pages": "2",
    "rate": "14400",
    "resolution": "8031x7700",
    "remote": "03 5555 6666",
    "ecm": "yes",
    "mode": "t38",
    "ended_at": "1763900061",
}


def drawn(number: int) -> Image.Image:
    page = Image.new("1", (1728, 2200), 1)
    ImageDraw.Draw(page).rectangle((100 * number, 300, 100 * number + 50, 900), fill=0)
    return page


class Spool:
    """A spool, and who sweeps it."""

    def __init__(self, folder: Path, database: Database, media: Media) -> None:
        self.folder, self.database, self.media = folder, database, media
        self.line = ScriptedLine(folder)
        self.parts = Parts(database, media, self.line, folder, "test", 1.0)
        self.receiving = Receiving(self.parts)

    def lay(self, drawings: int = 2, call_id: str = CALL, **words: str | None) -> None:
        given = {key: value for key, value in {**WORDS, **words}.items() if value is not None}
        (self.folder / f"{call_id}.fax").write_text("".join(f"{k}={v}\n" for k, v in given.items()))
        if drawings:
            write_pages([Page(drawn(number)) for number in range(drawings)], self.folder / f"{call_id}.tif")

    async def faxes(self) -> list[Fax]:
        async with self.database.session() as session:
            return list(await session.scalars(select(Fax)))

    async def jobs(self, kind: str) -> list[str]:
        async with self.database.session() as session:
            return list(await session.scalars(select(Job.subject_id).where(Job.kind == kind)))

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.*"))


@pytest.fixture
def spool(tmp_path: Path, database: Database, media: Media, ours: Furnished) -> Spool:
    (tmp_path / "fax").mkdir()
    return Spool(tmp_path / "fax", database, media)


async def test_a_fax_is_taken_in_once(spool: Spool, ours: Furnished) -> None:
    spool.lay()
    await spool.receiving.sweep()
    await spool.receiving.sweep()
    (fax,) = await spool.faxes()
    assert (fax.account_id, fax.number_id, fax.call_id) == (ours.account_id, ours.number_id, CALL)
    assert (fax.direction, fax.state, fax.result_class) == (
        FaxDirection.IN,
        FaxState.RECEIVED,
        FaxResultClass.OK,
    )
    assert (fax.other_party, fax.other_party_kind) == ("+81355556666", CallerKind.NUMBER)
    assert (fax.pages, fax.pages_done, fax.rate, fax.ecm) == (2, 2, 14400, True)
    assert (fax.remote_station, fax.transport, fax.duration_s) == ("03 5555 6666", FaxTransport.T38, 60.0)
    assert fax.tiff is not None
    kept = [page.image.tobytes() for page in read_pages(spool.media.path(fax.tiff))]
    assert kept == [drawn(number).tobytes() for number in range(2)]
    assert fax.pdf is not None
    assert spool.media.path(fax.pdf).read_bytes().startswith(b"%PDF")
    assert spool.left == []
    assert await spool.jobs(REPORT_FAX) == [fax.id]
    async with spool.database.session() as session:
        (told,) = await read_events(session, ours.account_id, 0, ["fax"], 9)
    assert (told.kind, told.subject_id) == ("fax.received", fax.id)
    assert told.data == {"pages": 2, "result": "ok"}


async def test_a_crash_before_the_spool_was_tidied_makes_no_second_fax(spool: Spool) -> None:
    spool.lay()
    await spool.receiving.sweep()
    spool.lay()
    await spool.receiving.sweep()
    assert len(await spool.faxes()) == 1
    assert spool.left == []


async def test_a_cut_call_keeps_its_whole_pages_and_says_so(spool: Spool) -> None:
    spool.lay(1, pages="1", status="FAILED", statusstr="The call dropped prematurely")
    await spool.receiving.sweep()
    (fax,) = await spool.faxes()
    assert (fax.state, fax.result_class, fax.pages) == (FaxState.PARTIAL, FaxResultClass.CUT_OFF, 1)
    assert fax.result_code == "t30_calldropped"
    assert "1ページまで" in (fax.result_text or "")
    assert await spool.jobs(REPORT_FAX) == [fax.id]


async def test_no_page_at_all_is_shown_and_nobody_is_told(spool: Spool) -> None:
    words = "Timed out waiting for initial communication"
    spool.lay(0, pages="0", status="FAILED", statusstr=words, remote="", caller="", presentation="prohib")
    await spool.receiving.sweep()
    (fax,) = await spool.faxes()
    assert (fax.state, fax.pages, fax.pdf) == (FaxState.FAILED, 0, None)
    assert fax.result_class is FaxResultClass.NOT_A_FAX
    assert (fax.other_party, fax.other_party_kind) == (None, CallerKind.WITHHELD)
    assert await spool.jobs(REPORT_FAX) == []
    assert spool.left == []


async def test_a_call_that_goes_on_is_left_alone_and_a_dead_one_is_taken_in(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "SETTLED_S", -1.0)
    spool.lay(ended_at=None, status=None, statusstr=None)
    spool.line.channels = {CALL}
    await spool.receiving.sweep()
    assert await spool.faxes() == []
    # Whether it is there cannot be known: it stays.
    spool.line.away = True
    with pytest.raises(AsteriskAway):
        await spool.receiving.sweep()
    assert await spool.faxes() == []
    spool.line.away, spool.line.channels = False, set()
    await spool.receiving.sweep()
    (fax,) = await spool.faxes()
    assert (fax.state, fax.result_code, fax.pages) == (FaxState.PARTIAL, "line_restarted", 2)


async def test_a_number_of_nobodys_is_set_aside(spool: Spool) -> None:
    spool.lay(number="+81399999999")
    await spool.receiving.sweep()
    assert await spool.faxes() == []
    assert sorted(path.name for path in (spool.folder / "unclaimed").iterdir()) == [
        f"{CALL}.fax",
        f"{CALL}.tif",
    ]


async def test_pages_that_cannot_be_read_are_kept_aside(spool: Spool) -> None:
    spool.lay(0)
    (spool.folder / f"{CALL}.tif").write_bytes(b"no tiff")
    await spool.receiving.sweep()
    (fax,) = await spool.faxes()
    assert (fax.state, fax.pages) == (FaxState.FAILED, 0)
    assert (spool.folder / "unreadable" / f"{CALL}.tif").read_bytes() == b"no tiff"


async def test_one_bad_file_keeps_no_other_waiting(spool: Spool) -> None:
    spool.lay(call_id="test-1.1")
    (spool.folder / "test-1.1.tif").unlink()
    (spool.folder / "test-1.1.tif").mkdir()
    spool.lay(call_id="test-1.2", started_at="1763900009")
    with pytest.raises(OSError, match="directory"):
        await spool.receiving.sweep()
    assert {fax.call_id for fax in await spool.faxes()} >= {"test-1.2"}


async def test_faxes_that_end_together_are_in_the_tray_soon(spool: Spool) -> None:
    """Each within three seconds on a free machine; a busy one is given more, and far less than one by one."""
    for number in range(20):
        spool.lay(3, f"test-20.{number}")
    began = asyncio.get_running_loop().time()
    await spool.receiving.sweep()
    took_s = asyncio.get_running_loop().time() - began
    faxes = await spool.faxes()
    assert len({fax.call_id for fax in faxes}) == len(faxes) == 20
    assert {(fax.state, fax.pages) for fax in faxes} == {(FaxState.RECEIVED, 3)}
    assert spool.left == []
    assert took_s < 12


async def test_a_fax_that_ends_while_others_are_taken_in_waits_for_none(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.lay(call_id="test-1.1")
    come, go_on = asyncio.Event(), asyncio.Event()
    as_ever = Bench.take_in

    async def slow(bench: Bench, received: Path, tiff: Path, pdf: Path) -> Received:
        if received.stem == "test-1.1":
            come.set()
            await go_on.wait()
        return await as_ever(bench, received, tiff, pdf)

    monkeypatch.setattr(Bench, "take_in", slow)
    sweeping = asyncio.create_task(spool.receiving.sweep())
    await come.wait()
    spool.lay(call_id="test-1.2")
    (fax,) = await eventually(spool.faxes, 20, "the second is in the tray")
    assert fax.call_id == "test-1.2"
    go_on.set()
    await sweeping
    assert {fax.call_id for fax in await spool.faxes()} == {"test-1.1", "test-1.2"}


async def test_the_call_of_a_fax_has_a_record(spool: Spool, ours: Furnished) -> None:
    """The control plane was away: nobody else wrote one."""
    spool.lay()
    await spool.receiving.sweep()
    async with spool.database.session() as session:
        for job in await session.scalars(select(Job).where(Job.kind == CLOSE_FAX_CALL)):
            job.run_at = job.created_at
    for _ in range(2):
        for taken in await take(spool.database, (CLOSE_FAX_CALL,), "me", 30, 5):
            await close_fax_call(spool.parts, taken)
    async with spool.database.session() as session:
        call = await session.get_one(Call, CALL)
        entries = await session.scalars(select(JournalEntry.event).where(JournalEntry.call_id == CALL))
        assert list(entries) == ["fax_kept"]
    assert (call.number_id, call.dialled, call.caller) == (ours.number_id, ours.e164, "+81355556666")
    assert (call.direction, call.result) == ("inbound", "fax")
    assert call.answered_at is not None
    assert call.ended_at is not None
