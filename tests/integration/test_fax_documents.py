"""Strangers' documents in child processes: what comes out, pixel by pixel, and what is refused."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy
import pytest
from PIL import Image, ImageDraw
from pypdf import PdfReader

from faxpages import workshop
from faxpages.errors import DocumentRefused, PagesUnreadable, WorkshopBroken
from faxpages.limits import WIDTH
from faxpages.tiffs import Page, png_of, read_pages, write_pages
from faxpages.workshop import Bench
from tests import fax_documents as documents

pytestmark = pytest.mark.integration

A4_ROWS = 2287
PNG = b"\x89PNG\r\n\x1a\n"


def written(folder: Path, content: bytes) -> Path:
    path = folder / "given.pdf"
    path.write_bytes(content)
    return path


def drawn(rows: int, number: int) -> Image.Image:
    page = Image.new("1", (WIDTH, rows), 1)
    ink = ImageDraw.Draw(page)
    ink.rectangle((100 + number, 300, 900, 700), fill=0)
    ink.text((200, 800), f"page {number}", fill=0)
    return page


async def rendered(folder: Path, content: bytes) -> list[Image.Image]:
    tiff, pdf = folder / "out.tif", folder / "out.pdf"
    count = await workshop.render([written(folder, content)], 1, tiff, pdf)
    pages = [page.image for page in read_pages(tiff)]
    assert count == len(pages) == len(PdfReader(pdf).pages)
    return pages


async def test_pages_are_counted(tmp_path: Path) -> None:
    assert await workshop.check_pdf(written(tmp_path, documents.pdf(7))) == 7


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_a_pdf"),
        (PNG + b"x" * 5000, "not_a_pdf"),
        (b"PK\x03\x04 word document", "not_a_pdf"),
        (documents.encrypted_pdf(), "pdf_encrypted"),
        (b"%PDF-1.7\nnothing else", "pdf_damaged"),
        (documents.pdf()[:900], "pdf_damaged"),
        (documents.no_pages_pdf(), "pdf_without_pages"),
        (documents.many_pages_pdf(201), "too_many_pages"),
        (documents.many_pages_pdf(10_000), "too_many_pages"),
    ],
)
async def test_what_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        await workshop.check_pdf(written(tmp_path, content))
    assert refused.value.code == code


async def test_pages_in_a_circle_do_not_hang(tmp_path: Path) -> None:
    with pytest.raises(DocumentRefused) as refused:
        await workshop.check_pdf(written(tmp_path, documents.pages_in_a_circle_pdf()))
    assert refused.value.code in {"pdf_damaged", "pdf_without_pages", "pdf_too_complex"}


async def test_a_picture_too_large_for_any_machine_does_no_harm(tmp_path: Path) -> None:
    try:
        pages = await rendered(tmp_path, documents.bomb_pdf())
    except DocumentRefused as refused:
        assert refused.code == "pdf_too_complex"
    else:
        # PDFium left the picture out: nothing of it is on the page.
        assert [page.size for page in pages] == [(WIDTH, A4_ROWS)]


async def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "CHECKING_LIMIT_S", 0.02)
    with pytest.raises(DocumentRefused) as refused:
        await workshop.check_pdf(written(tmp_path, documents.pdf(100)))
    assert refused.value.code == "pdf_too_complex"


async def test_scripts_are_not_run_and_the_page_is_there(tmp_path: Path) -> None:
    (page,) = await rendered(tmp_path, documents.scripted_pdf())
    assert page.getpixel((100, A4_ROWS - 100)) == 0
    assert page.getpixel((1600, 100)) == 255


@pytest.mark.parametrize(
    ("size", "rows"),
    [
        ((595.28, 841.89), A4_ROWS),
        ((841.89, 595.28), A4_ROWS),
        ((728.5, 1031.8), 2347),
        ((841.89, 1190.55), 2343),
        ((2383.94, 3370.39), 2342),
        ((419.53, 595.28), 1617),
    ],
    ids=["A4", "A4 landscape", "B4", "A3", "A0", "A5"],
)
async def test_every_paper_fits_the_width(tmp_path: Path, size: tuple[float, float], rows: int) -> None:
    (page,) = await rendered(tmp_path, documents.pdf(1, size))
    assert page.width == WIDTH
    assert abs(page.height - rows) <= 2
    assert page.getextrema() == (0, 255)


async def test_a_page_is_drawn_where_it_stands(tmp_path: Path) -> None:
    """A black box of 200 by 100 points at (82, 144) points from the lower left."""
    (page,) = await rendered(tmp_path, documents.pdf(1))
    across, down = 8.031 * 25.4 / 72, 7.7 * 25.4 / 72
    left = (WIDTH - 1687) / 2 + 82 * across
    top = A4_ROWS - 244 * down
    box = (left, top, left + 200 * across, top + 100 * down)
    lower = page.crop((0, A4_ROWS // 2, WIDTH, A4_ROWS))
    found = Image.eval(lower.convert("L"), lambda grey: 255 - grey).getbbox()
    assert found is not None
    moved = (found[0], found[1] + A4_ROWS // 2, found[2], found[3] + A4_ROWS // 2)
    assert all(abs(ours - theirs) <= 2 for ours, theirs in zip(moved, box, strict=True))


async def test_japanese_without_its_font_is_not_blank(tmp_path: Path) -> None:
    assert workshop.gothic() is not None, "the fonts are set up"
    (page,) = await rendered(tmp_path, documents.japanese_pdf("電話番のFAX"))
    (other,) = await rendered(tmp_path, documents.japanese_pdf("東京都港区FA"))
    inked = 255 - numpy.asarray(page.convert("L"))
    assert (inked > 0).sum() > 4000
    assert page.tobytes() != other.tobytes()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.close()


async def test_a_received_fax_loses_no_pixel(tmp_path: Path, bench: Bench) -> None:
    received = tmp_path / "received.tif"
    sent = [Page(drawn(1100 + number, number), 98) for number in range(3)]
    write_pages(sent, received)
    found = await bench.take_in(received, tmp_path / "out.tif", tmp_path / "out.pdf")
    assert (found.pages, round(found.lines_per_inch), found.bad_rows) == (3, 98, 0)
    kept = list(read_pages(tmp_path / "out.tif"))
    assert [page.image.tobytes() for page in kept] == [page.image.tobytes() for page in sent]
    pages = PdfReader(tmp_path / "out.pdf").pages
    # Standard resolution: rows are twice as high as pixels are wide.
    assert [round(float(page.mediabox.height)) for page in pages] == [
        round(page.image.height * 72 / 98) for page in sent
    ]
    images = [page.images[0].image for page in pages]
    assert [image.convert("1").tobytes() for image in images if image] == [
        page.image.tobytes() for page in sent
    ]


async def test_whole_pages_of_a_cut_file_are_kept(tmp_path: Path, bench: Bench) -> None:
    received = tmp_path / "received.tif"
    write_pages([Page(drawn(2200, number)) for number in range(3)], received)
    whole = received.read_bytes()
    received.write_bytes(whole[: int(len(whole) * 0.8)])
    found = await bench.take_in(received, tmp_path / "out.tif", tmp_path / "out.pdf")
    assert found.pages == 2


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no tiff at all" * 100])
async def test_what_is_no_tiff_is_said(tmp_path: Path, bench: Bench, content: bytes) -> None:
    (tmp_path / "received.tif").write_bytes(content)
    with pytest.raises(PagesUnreadable):
        await bench.take_in(tmp_path / "received.tif", tmp_path / "out.tif", tmp_path / "out.pdf")


async def test_a_fax_that_kills_its_child_harms_no_other(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One takes too much of the processor; the next is taken in by the same process."""
    large, small = tmp_path / "large.tif", tmp_path / "small.tif"
    page = Page(drawn(2200, 1))
    write_pages([page] * 150, large)
    write_pages([page], small)
    with monkeypatch.context() as patched:
        patched.setattr(workshop, "RENDERING_LIMIT_S", 0.5)
        patched.setattr(workshop, "PATIENCE", 200)
        with pytest.raises(WorkshopBroken, match="SIG"):
            await bench.take_in(large, tmp_path / "out.tif", tmp_path / "out.pdf")
    process = bench._process
    assert process is not None
    assert (await bench.take_in(small, tmp_path / "out.tif", tmp_path / "out.pdf")).pages == 1
    assert bench._process is process
    process.kill()
    await process.wait()
    assert (await bench.take_in(small, tmp_path / "out.tif", tmp_path / "out.pdf")).pages == 1, "started anew"


async def test_pages_go_out_with_a_header_and_from_one_on(tmp_path: Path) -> None:
    tiff, out = tmp_path / "pages.tif", tmp_path / "out.tif"
    pages = [drawn(A4_ROWS, number) for number in range(4)]
    write_pages([Page(page) for page in pages], tiff)
    assert await workshop.address(tiff, out, "株式会社あさひ 03-1234-5678", 3, 4) == 2
    sent = [page.image for page in read_pages(out)]
    assert [page.size for page in sent] == [(WIDTH, A4_ROWS)] * 2
    for page, ours in zip(sent, pages[2:], strict=True):
        # The header stands in the margin; below it nothing has changed.
        below = (0, 36, WIDTH, A4_ROWS)
        assert page.crop(below).tobytes() == ours.crop(below).tobytes()
        assert page.crop((0, 0, WIDTH, 36)).getextrema() == (0, 255)


async def test_a_simple_machine_gets_half_the_rows(tmp_path: Path) -> None:
    tiff, out = tmp_path / "pages.tif", tmp_path / "out.tif"
    thin = drawn(A4_ROWS, 1)
    ImageDraw.Draw(thin).line((0, 1001, WIDTH, 1001), fill=0)
    write_pages([Page(thin)], tiff)
    await workshop.address(tiff, out, "", 1, 1, fine=False)
    (page,) = read_pages(out)
    assert (page.image.height, round(page.lines_per_inch)) == (A4_ROWS // 2, 98)
    assert page.image.crop((0, 500, WIDTH, 501)).getextrema() == (0, 0), "the thin line is still there"


def test_a_preview_has_square_dots(tmp_path: Path) -> None:
    tiff = tmp_path / "pages.tif"
    write_pages([Page(drawn(1143, 1), 98)], tiff)
    (tmp_path / "page.png").write_bytes(png_of(tiff, 1) or b"")
    with Image.open(tmp_path / "page.png") as shown:
        assert shown.width == WIDTH // 2
        assert abs(shown.height - 1143 * 204 / 98 / 2) < 2
    assert png_of(tiff, 2) is None


async def test_two_pages_a_second_in_200_megabytes(tmp_path: Path) -> None:
    """Of forty pages; memory must not grow with their number. Children of a child of ours are counted."""
    source = written(tmp_path, documents.pdf(40))
    asked = (
        "import asyncio, resource, time; from pathlib import Path; from faxpages.workshop import render\n"
        f"folder = Path({str(tmp_path)!r}); began = time.process_time()\n"
        f"pages = asyncio.run(render([Path({str(source)!r})], 40, folder / 'o.tif', folder / 'o.pdf'))\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(pages, used.ru_maxrss // 1024, used.ru_utime + used.ru_stime)"
    )
    command = (sys.executable, "-c", asked)
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    pages, megabytes, processor_s = said.split()
    assert int(pages) == 40
    assert int(megabytes) < 200
    assert float(processor_s) < 20
