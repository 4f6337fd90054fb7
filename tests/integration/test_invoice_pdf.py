"""The PDF of an invoice: what it says, how it is cut into pages, how it looks."""

import io
import re
import time
import unicodedata
from datetime import date
from itertools import pairwise
from typing import Any

import numpy
import pypdf
import pypdfium2  # type: ignore[import-untyped]
import pytest

from billing.invoice_pdf import Page, paginate, render
from store.invoice_content import InvoiceContent, InvoiceLine, Section
from store.models import InvoiceKind, PaymentKind
from tests.invoices import content_of, long_invoice, usual_invoice

pytestmark = pytest.mark.integration

A4_POINTS = (595, 842)
CORRECTION = [InvoiceLine(section=Section.ADJUSTMENT, label="返金", amount=-1001, tax_percent=10)]


def texts(pdf: bytes) -> list[str]:
    """The words of each page, as another program reads them."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [_words(document[n]) for n in range(len(document))]
    finally:
        document.close()


def _words(page: pypdfium2.PdfPage) -> str:
    text = page.get_textpage()
    try:
        return unicodedata.normalize("NFKC", text.get_text_bounded())
    finally:
        text.close()


def picture(pdf: bytes, page: int = 0) -> "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]":
    """A page as grey levels, 72 dots an inch."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return numpy.asarray(document[page].render(scale=1).to_pil().convert("L"))
    finally:
        document.close()


def test_it_says_what_a_qualified_invoice_must() -> None:
    (text,) = texts(render(usual_invoice()))
    for words in (
        "請求書",
        "デモ通信株式会社",
        "T9000000000000",
        "株式会社あさひ商事 御中",
        "2026年11月分",
        "2026年10月26日 〜 2026年11月25日",
        "発行日: 2026年11月26日",
        "10%対象",
        "23,107",
        "2,310",
        "免税(0%)対象",
        "不課税(チャージ)",
        "28,306",
        "お支払期限: 2026年12月28日",
        "デモ銀行 本店",
        "1 / 1 ページ",
    ):
        assert unicodedata.normalize("NFKC", words) in text, words


def test_every_line_is_on_it_once_and_sums_are_carried_over() -> None:
    invoice = long_invoice(100)
    pages = texts(render(invoice))
    assert len(pages) == 4
    whole = "".join(pages)
    assert sorted(int(n) for n in re.findall(r"行(\d+)", whole)) == list(range(100))
    carried = re.findall(r"次ページへ繰越\s*(▲?[\d,]+)", whole)
    brought = re.findall(r"前ページから繰越\s*(▲?[\d,]+)", whole)
    assert carried == brought and len(carried) == 3
    done = 0
    for page, said in zip(pages, carried, strict=False):
        done += sum(invoice.lines[int(n)].amount for n in re.findall(r"行(\d+)", page))
        assert said == f"{done:,}"
    assert "合計(税込)" in pages[-1] and f"{invoice.total:,}" in pages[-1]


@pytest.mark.parametrize("count", range(0, 140))
def test_pages_hold_what_they_can(count: int) -> None:
    lines = [usual_invoice().lines[0]] * count
    pages = paginate(lines, 21, 40, 3)
    assert [line for page in pages for line in page.lines] == lines
    for number, page in enumerate(pages):
        last = number == len(pages) - 1
        rows = len(page.lines) + (number > 0) + (3 if last else 1)
        assert rows <= (21 if number == 0 else 40)
    assert all(before.carried == after.brought for before, after in pairwise(pages))
    assert isinstance(pages[0], Page)


def test_the_same_invoice_is_the_same_file() -> None:
    assert render(usual_invoice()) == render(usual_invoice())


def test_fonts_are_embedded_and_pages_are_a4() -> None:
    reader = pypdf.PdfReader(io.BytesIO(render(usual_invoice())))
    for page in reader.pages:
        assert (round(page.mediabox.width), round(page.mediabox.height)) == A4_POINTS
        resources: Any = page["/Resources"].get_object()
        fonts = resources["/Font"].get_object()
        used = [fonts[name].get_object() for name in fonts]
        ipa = [font for font in used if "IPAex" in str(font["/BaseFont"])]
        assert ipa and all("/FontFile2" in font["/FontDescriptor"].get_object() for font in ipa)


def test_ink_stays_within_the_margins_and_nothing_overlaps_the_foot() -> None:
    """Printers leave out the outermost; and a page that has lost its rows would be mostly white."""
    for page in range(3):
        grey = picture(render(long_invoice(60)), page)
        inked = numpy.argwhere(grey < 200)
        (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0)
        assert left >= 45 and right <= A4_POINTS[0] - 45
        assert top >= 45 and bottom <= A4_POINTS[1] - 25
        assert (grey < 250).mean() > 0.01
    first = picture(render(usual_invoice()))
    # The box around what is to be paid, and the head of the table.
    assert ((first > 230) & (first < 250)).sum() > 10_000


def test_a_correction_names_what_it_corrects() -> None:
    correction = content_of(
        CORRECTION,
        number="202611-000001-R1",
        kind=InvoiceKind.CORRECTION,
        corrects="202611-000001",
        corrects_issued_on=date(2026, 11, 26),
        reason="二重請求のため",
    )
    (text,) = texts(render(correction))
    for words in ("(適格返還請求書)", "202611-000001(2026年11月26日発行)の修正", "二重請求のため", "▲¥1,101"):
        assert unicodedata.normalize("NFKC", words) in text, words
    # It asks for no payment.
    assert not any(words in text for words in ("お支払", "お振込", "期限"))
    more = content_of([CORRECTION[0].model_copy(update={"amount": 1001})], kind=InvoiceKind.CORRECTION)
    (text,) = texts(render(more))
    assert "修正請求書" in text and "(適格請求書)" in text and "お支払期限" in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (PaymentKind.BANK_DEBIT, "お支払方法: 口座振替 お引落日: 2026年12月28日"),
        (PaymentKind.CARD, "お支払方法: クレジットカード ご利用日: 2026年12月28日"),
    ],
)
def test_it_says_how_and_when_it_is_paid(kind: PaymentKind, words: str) -> None:
    (text,) = texts(render(content_of(usual_invoice().lines, payment_kind=kind)))
    assert words in " ".join(text.split())
    assert "お振込先" not in text


def test_names_of_any_length_and_sign_stay_in_their_place() -> None:
    odd = usual_invoice().model_dump()
    odd["recipient"] = {
        "name": "髙﨑😀" + "とても長い名前の株式会社" * 12,
        "postal_code": "100-0001",
        "address": "住" * 280,
    }
    odd["lines"][0] |= {"label": "長" * 60, "detail": "細" * 200}
    pdf = render(InvoiceContent.model_validate(odd))
    (text,) = texts(pdf)
    assert "髙﨑〓" in text
    inked = numpy.argwhere(picture(pdf) < 200)
    assert inked[:, 1].max() <= A4_POINTS[0] - 45


def test_five_thousand_lines_take_five_seconds_at_most() -> None:
    invoice = long_invoice(5_000)
    began = time.process_time()
    pdf = render(invoice)
    assert time.process_time() - began < 5
    assert len(pypdf.PdfReader(io.BytesIO(pdf)).pages) > 100
