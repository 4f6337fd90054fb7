"""PDF pages as grey pixels, by PDFium. Runs in a child process; PDFium is neither thread-safe nor trusted.

PDFium is used without its scripting: a document's JavaScript is never run.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pypdfium2_raw as pdfium

from faxpages.errors import DocumentRefused
from faxpages.limits import FINE_X_PER_POINT, FINE_Y_PER_POINT, MOST_ROWS, WIDTH

Grey = Any
"""numpy array of uint8, rows by columns, 0 is black."""

CONFIG_VERSION = 2
SMALLEST_SIDE = 1.0

_kept: list[Any] = []
"""What PDFium was given pointers to; it may look again."""


@dataclass(frozen=True)
class Placement:
    """Where a page stands on the fax page, in pixels and lines."""

    columns: int
    rows: int
    turned: bool

    @property
    def left(self) -> int:
        return (WIDTH - self.columns) // 2


def place(width: float, height: float) -> Placement:
    """Place a page of so many points: upright, as large as it is, smaller where it does not fit. Pure.

    A4 fits as it is; B4, A3 and more become smaller, as on a fax machine.
    """
    turned = width > height
    if turned:
        width, height = height, width
    columns, rows = width * FINE_X_PER_POINT, height * FINE_Y_PER_POINT
    shrink = min(1.0, WIDTH / columns, MOST_ROWS / rows)
    return Placement(max(1, round(columns * shrink)), max(1, round(rows * shrink)), turned)


@contextmanager
def opened(path: Path, font_folder: Path | None) -> Iterator[Any]:
    """The PDF at `path` as PDFium's document. `font_folder` has fonts for what is not embedded.

    Raises DocumentRefused.
    """
    folders = [str(folder).encode() for folder in _font_folders(font_folder)]
    paths = (ctypes.POINTER(ctypes.c_char) * (len(folders) + 1))()
    for index, folder in enumerate(folders):
        buffer = ctypes.create_string_buffer(folder)
        paths[index] = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_char))
        _kept.append(buffer)
    _kept.append(paths)
    config = pdfium.FPDF_LIBRARY_CONFIG(version=CONFIG_VERSION)
    if folders:
        config.m_pUserFontPaths = ctypes.cast(paths, type(config.m_pUserFontPaths))
    pdfium.FPDF_InitLibraryWithConfig(ctypes.byref(config))
    name = ctypes.create_string_buffer(str(path).encode())
    document = pdfium.FPDF_LoadDocument(ctypes.cast(name, ctypes.POINTER(ctypes.c_char)), None)
    if not document:
        raise DocumentRefused("pdf_damaged")
    try:
        yield document
    finally:
        pdfium.FPDF_CloseDocument(document)


def _font_folders(ours: Path | None) -> list[Path]:
    """All folders with fonts: PDFium looks in the first ones it is told of and nowhere else."""
    if ours is None:
        return []
    wanted = {file.parent for pattern in ("*.ttf", "*.otf", "*.ttc") for file in ours.rglob(pattern)}
    return [*sorted(wanted), Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]


def grey_pages(document: Any) -> Iterator[Grey]:
    """Each page at fine resolution, white around it to the width of a fax. Raises DocumentRefused."""
    for number in range(pdfium.FPDF_GetPageCount(document)):
        page = pdfium.FPDF_LoadPage(document, number)
        if not page:
            raise DocumentRefused("pdf_damaged")
        try:
            yield _grey(page)
        finally:
            pdfium.FPDF_ClosePage(page)


def _grey(page: Any) -> Grey:
    width, height = pdfium.FPDF_GetPageWidthF(page), pdfium.FPDF_GetPageHeightF(page)
    # Also where it is no number.
    if not min(width, height) >= SMALLEST_SIDE:
        raise DocumentRefused("pdf_damaged")
    placed = place(width, height)
    grey = numpy.full((placed.rows, WIDTH), 255, dtype=numpy.uint8)
    first = grey.ctypes.data_as(ctypes.c_void_p)
    bitmap = pdfium.FPDFBitmap_CreateEx(WIDTH, placed.rows, pdfium.FPDFBitmap_Gray, first, WIDTH)
    if not bitmap:
        raise MemoryError
    try:
        where = (placed.left, 0, placed.columns, placed.rows, 1 if placed.turned else 0)
        how = pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING | pdfium.FPDF_RENDER_LIMITEDIMAGECACHE
        pdfium.FPDF_RenderPageBitmap(bitmap, page, *where, how)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    return grey
