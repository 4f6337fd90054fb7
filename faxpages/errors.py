"""What this library refuses."""

from typing import Literal, get_args

RefusalCode = Literal[
    "not_a_pdf", "pdf_encrypted", "pdf_damaged", "pdf_without_pages", "too_many_pages", "pdf_too_complex"
]
REFUSALS: tuple[RefusalCode, ...] = get_args(RefusalCode)


class DocumentRefused(Exception):
    """The document cannot be faxed; `code` says why."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


class PagesUnreadable(Exception):
    """A TIFF has no page that can be read."""


class WorkshopBroken(Exception):
    """A child process could not do its work, through no fault of a document's. Try again."""
