"""Is it a PDF that can be faxed? Runs in a child process: a PDF can make any reader hang."""

from pathlib import Path

from faxpages.errors import DocumentRefused
from faxpages.limits import MOST_PAGES

HEAD_BYTES = 1024
"""Readers take a PDF that begins within these (PDF 32000-1, Annex H.3)."""


def count_pages(path: Path) -> int:
    """How many pages the PDF at `path` has. Raises DocumentRefused."""
    # It is loaded where it is used: it costs a tenth of a second.
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    with path.open("rb") as file:
        if b"%PDF-" not in file.read(HEAD_BYTES):
            raise DocumentRefused("not_a_pdf")
        try:
            reader = PdfReader(file)
            if reader.is_encrypted:
                raise DocumentRefused("pdf_encrypted")
            pages = len(reader.pages)
        except (DocumentRefused, MemoryError):
            raise
        except (PyPdfError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # pypdf raises what its innards raise.
            raise DocumentRefused("pdf_damaged") from None
    if pages == 0:
        raise DocumentRefused("pdf_without_pages")
    if pages > MOST_PAGES:
        raise DocumentRefused("too_many_pages")
    return pages
