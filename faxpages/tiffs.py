"""Fax pages as TIFF (RFC 2306, G4), read and written a page at a time."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont, TiffImagePlugin, UnidentifiedImageError

from faxpages.errors import PagesUnreadable
from faxpages.limits import (
    DOTS_PER_INCH,
    FINE_LINES_PER_INCH,
    HEADER_ROWS,
    STANDARD_LINES_PER_INCH,
    WIDTH,
)

INCH = 2
BAD_ROWS_TAG = 326
"""BadFaxLines (RFC 2306): rows that the receiver could not read and made up."""

X_TAG, Y_TAG, UNIT_TAG = 282, 283, 296
ONE_STRIP = 2**31 - 1
SIDE = 40
"""The header keeps away from the paper's edges."""

Image.MAX_IMAGE_PIXELS = WIDTH * 40_000
"""A page of more is none; a line machine may send three metres."""


@dataclass(frozen=True)
class Page:
    """A fax page, mode "1", and its lines an inch."""

    image: Image.Image
    lines_per_inch: float = FINE_LINES_PER_INCH
    bad_rows: int = 0


def write_pages(pages: Iterable[Page], path: Path) -> int:
    """Write them one by one as a new TIFF at `path`; how many there were."""
    written = 0
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
        for page in pages:
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[X_TAG], tags[Y_TAG] = DOTS_PER_INCH, page.lines_per_inch
            tags[UNIT_TAG] = INCH
            # In one strip, which a PDF takes as it is.
            page.image.save(file, format="TIFF", compression="group4", tiffinfo=tags, strip_size=ONE_STRIP)
            file.newFrame()
            written += 1
    return written


def read_pages(path: Path, first: int = 1) -> Iterator[Page]:
    """Give the pages from `first` on, as far as they can be read. Raises PagesUnreadable for none at all."""
    given = 0
    try:
        with Image.open(path, formats=["TIFF"]) as file:
            # Not by their number: to count them, Pillow would have to understand a broken one too.
            for index in count(first - 1):
                file.seek(index)
                tags = getattr(file, "tag_v2", {})
                lines = float(tags.get(Y_TAG, FINE_LINES_PER_INCH)) or FINE_LINES_PER_INCH
                if tags.get(UNIT_TAG) == 3:
                    lines *= 2.54
                bad = tags.get(BAD_ROWS_TAG, 0)
                yield Page(file.convert("1"), lines, int(bad) if isinstance(bad, int) else 0)
                given += 1
    except (
        OSError,
        UnidentifiedImageError,
        ValueError,
        SyntaxError,
        EOFError,
        TypeError,
        KeyError,
    ) as broken:
        if not given:
            raise PagesUnreadable(str(broken)) from None


def count_pages(path: Path) -> int:
    """How many pages can be read to their ends. Raises PagesUnreadable."""
    return sum(1 for _ in read_pages(path))


@dataclass(frozen=True)
class Header:
    """The line above every page: who, when, to whom; the page's number stands at its right."""

    text: str
    total: int
    """Pages of the whole document."""

    font: Path | None = None
    """A TrueType font with Japanese; None: Pillow's own, which has Latin only."""


def with_header(page: Page, number: int, header: Header) -> Page:
    """The page with its header line: in its white top margin, or above the page where that is not white."""
    rows = HEADER_ROWS
    top = page.image.crop((0, 0, page.image.width, min(rows, page.image.height)))
    margin = ImageChops.invert(top).getbbox() is None and page.image.height > rows
    high = page.image.height if margin else page.image.height + rows
    headed = Image.new("1", (page.image.width, high), 1)
    headed.paste(page.image, (0, 0 if margin else rows))
    font = ImageFont.truetype(str(header.font), 22) if header.font else ImageFont.load_default(22)
    ink = ImageDraw.Draw(headed)
    counted = f"P. {number}/{header.total}"
    right = headed.width - SIDE - int(ink.textlength(counted, font=font))
    ink.text((right, 5), counted, fill=0, font=font)
    ink.text((SIDE, 5), _fitting(ink, header.text, right - 2 * SIDE, font), fill=0, font=font)
    return Page(headed, page.lines_per_inch)


def _fitting(
    ink: ImageDraw.ImageDraw, text: str, pixels: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    while text and ink.textlength(text, font=font) > pixels:
        text = text[:-1]
    return text


def at_standard(page: Page) -> Page:
    """The page at standard resolution: of each two rows what is black in either, so that no line is lost."""
    if page.lines_per_inch < (FINE_LINES_PER_INCH + STANDARD_LINES_PER_INCH) / 2:
        return page
    width, high = page.image.width, page.image.height // 2
    even = page.image.resize((width, high), Image.Resampling.NEAREST, box=(0, 0, width, high * 2))
    moved = page.image.crop((0, 1, width, high * 2 + 1))
    odd = moved.resize((width, high), Image.Resampling.NEAREST)
    return Page(ImageChops.logical_and(even, odd), STANDARD_LINES_PER_INCH)


def png_of(path: Path, number: int) -> bytes | None:
    """Page `number` as a picture with square dots, half as large; None where there is no such page."""
    import io

    with contextlib.suppress(PagesUnreadable):
        for page in read_pages(path, number):
            width = page.image.width // 2
            high = max(1, round(page.image.height * DOTS_PER_INCH / page.lines_per_inch / 2))
            out = io.BytesIO()
            page.image.convert("L").resize((width, high), Image.Resampling.BOX).save(
                out, "PNG", optimize=True
            )
            return out.getvalue()
    return None
