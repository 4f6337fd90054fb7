"""Fax pages as Pillow images: 1 bit, 1,728 pixels wide."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageSequence

WIDTH = 1728
STANDARD, FINE = (204, 98), (204, 196)
"""Resolutions in dots an inch, across and down."""


def drawn_pages(count: int, rows: int, seed: int = 0, every: int = 40) -> list[Image.Image]:
    """`count` pages that differ from each other and from those of another `seed`.

    A line of text stands in `every` so many rows: few make a page that is soon sent.
    """
    return [_page(rows, f"{seed}.{number + 1}", seed * 31 + number, every) for number in range(count)]


def _page(rows: int, text: str, place: int, every: int) -> Image.Image:
    page = Image.new("L", (WIDTH, rows), 255)
    draw = ImageDraw.Draw(page)
    for row in range(10, rows - 20, every):
        draw.text((100 + (place * 37 + row) % 300, row), f"fax page {text}, row {row}", fill=0)
    draw.rectangle((1000, 20, 1000 + 20 + place * 7 % 500, rows - 20), outline=0, width=3)
    return page.convert("1", dither=Image.Dither.NONE)


def write_tiff(path: Path, pages: list[Image.Image], dpi: tuple[int, int]) -> Path:
    """As SendFAX wants it: group 4, white is 0."""
    first, *others = pages
    first.save(
        path,
        save_all=True,
        append_images=others,
        compression="group4",
        dpi=dpi,
        tiffinfo={262: 0},
    )
    return path


def read_pages(path: Path) -> list[Image.Image]:
    """The pages of a received TIFF, in order."""
    with Image.open(path) as tiff:
        return [page.convert("1").copy() for page in ImageSequence.Iterator(tiff)]


def same(ours: list[Image.Image], theirs: list[Image.Image]) -> bool:
    """Whether every pixel of every page is the same."""
    return [(page.size, page.tobytes()) for page in ours] == [(page.size, page.tobytes()) for page in theirs]
