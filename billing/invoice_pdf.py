"""An invoice as PDF: A4, one page or many with sums carried over, Japanese fonts embedded.

The same content gives the same bytes. Drawn line by line on a canvas: reportlab's own tables take a minute
for what takes a second here.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from reportlab.lib import units
from reportlab.lib.colors import Color, black
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from settings.tools import tool_folder
from store.invoice_content import InvoiceContent, InvoiceLine, rate_label
from store.models import InvoiceKind, PaymentKind

GOTHIC, MINCHO = "IPAexGothic", "IPAexMincho"
mm: float = units.mm
WIDTH: float = A4[0]
HEIGHT: float = A4[1]
LEFT, RIGHT = 18 * mm, WIDTH - 18 * mm
BOTTOM = 22 * mm
ROW = 6 * mm
TABLE_TOP_LATER = HEIGHT - 34 * mm
GREY = Color(0.93, 0.94, 0.95)
LINE_GREY = Color(0.75, 0.77, 0.8)
SMALLEST = 5.5
MISSING = "〓"
PAYMENTS = {
    PaymentKind.BANK_DEBIT: "口座振替",
    PaymentKind.BANK_TRANSFER: "銀行振込",
    PaymentKind.CARD: "クレジットカード",
}

DUE = {
    PaymentKind.BANK_DEBIT: "お引落日",
    PaymentKind.BANK_TRANSFER: "お支払期限",
    PaymentKind.CARD: "ご利用日",
}
ROUNDING = "消費税額は、税率ごとに1回、1円未満を切り捨てています。"
EXEMPT = "免税は国際通話(輸出免税)です。"
UNTAXED = "不課税はチャージ(前受金)と、通話料へのその充当です。"


@dataclass(frozen=True)
class Column:
    title: str
    left: float
    right: float
    to_right: bool = False


COLUMNS = (
    Column("内容", LEFT, LEFT + 60 * mm),
    Column("詳細", LEFT + 60 * mm, LEFT + 110 * mm),
    Column("数量", LEFT + 110 * mm, LEFT + 126 * mm, to_right=True),
    Column("単価", LEFT + 126 * mm, LEFT + 142 * mm, to_right=True),
    Column("金額(税抜)", LEFT + 142 * mm, LEFT + 162 * mm, to_right=True),
    Column("税率", LEFT + 162 * mm, RIGHT, to_right=True),
)


@dataclass(frozen=True)
class Page:
    """The lines of a page. Sums are of the lines before it, and up to its end."""

    lines: Sequence[InvoiceLine]
    brought: int
    carried: int


def paginate(lines: Sequence[InvoiceLine], first_rows: int, later_rows: int, closing_rows: int) -> list[Page]:
    """Cut the lines into pages of so many rows.

    Every page but the last ends with a row for what is carried over, every page but the first begins with
    one; the last ends with `closing_rows`.
    """
    pages: list[Page] = []
    done, brought, room = 0, 0, first_rows
    while True:
        left = len(lines) - done
        is_last = left <= room - closing_rows
        # The last page has something on it besides the sums.
        taken = left if is_last else min(room - 1, left - 1)
        chunk = lines[done : done + taken]
        carried = brought + sum(line.amount for line in chunk)
        pages.append(Page(chunk, brought, carried))
        if is_last:
            return pages
        done, brought, room = done + taken, carried, later_rows - 1


def render(content: InvoiceContent) -> bytes:
    """The whole document. Raises settings.tools.NotSetUp where there are no fonts."""
    load_fonts()
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1)
    canvas.setTitle(f"{_title(content)} {content.number}")
    canvas.setAuthor(content.issuer.name)
    canvas.setSubject(f"{content.recipient.name} {content.period_from} - {content.period_to}")
    top = _table_top(content)
    closing = _closing_rows(content)
    pages = paginate(content.lines, _rows(top), _rows(TABLE_TOP_LATER), len(closing))
    for index, page in enumerate(pages):
        if index == 0:
            _draw_head(canvas, content)
        else:
            _draw_small_head(canvas, content)
        opening = [] if index == 0 else [("前ページから繰越", page.brought)]
        is_last = index == len(pages) - 1
        ending = closing if is_last else [("次ページへ繰越", page.carried)]
        _draw_table(canvas, top if index == 0 else TABLE_TOP_LATER, opening, page.lines, ending)
        _draw_foot(canvas, content, index + 1, len(pages))
        canvas.showPage()
    canvas.save()
    return out.getvalue()


@cache
def load_fonts() -> None:
    """Raises NotSetUp."""
    folder = tool_folder("fonts")
    for name, pattern in ((GOTHIC, "ipaexg.ttf"), (MINCHO, "ipaexm.ttf")):
        (path, *_) = sorted(Path(folder).rglob(pattern))
        pdfmetrics.registerFont(TTFont(name, str(path)))


# ---- text ----------------------------------------------------------------------------------------


def yen(amount: int) -> str:
    return f"{amount:,}" if amount >= 0 else f"▲{-amount:,}"


def printable(text: str, font: str) -> str:
    """`text` with a mark in place of each sign that the font does not have."""
    known = pdfmetrics.getFont(font).face.charToGlyph
    return "".join(sign if ord(sign) in known else MISSING for sign in text if sign.isprintable())


def _fit(text: str, font: str, size: float, width: float) -> tuple[str, float]:
    """The text and a size at which it fits: made smaller first, then cut."""
    text = printable(text, font)
    needed = pdfmetrics.stringWidth(text, font, size)
    if needed <= width:
        return text, size
    smaller = max(SMALLEST, size * width / needed)
    while text and pdfmetrics.stringWidth(text + "…", font, smaller) > width and smaller == SMALLEST:
        text = text[:-1]
        if pdfmetrics.stringWidth(text + "…", font, smaller) <= width:
            return text + "…", smaller
    return text, smaller


def _put(
    canvas: Canvas,
    x: float,
    y: float,
    text: str,
    size: float = 9,
    width: float = RIGHT - LEFT,
    font: str = GOTHIC,
    to_right: bool = False,
) -> None:
    fitted, at = _fit(text, font, size, width)
    canvas.setFont(font, at)
    (canvas.drawRightString if to_right else canvas.drawString)(x, y, fitted)


def _folded(text: str, font: str, size: float, width: float, most: int) -> Iterator[str]:
    """`text` in up to `most` lines, broken where a line is full."""
    line = ""
    lines: list[str] = []
    for sign in printable(text, font):
        if pdfmetrics.stringWidth(line + sign, font, size) > width and len(lines) < most - 1:
            lines.append(line)
            line = ""
        line += sign
    yield from [*lines, line]


# ---- the head ------------------------------------------------------------------------------------


def _title(content: InvoiceContent) -> str:
    if content.kind is InvoiceKind.INVOICE:
        return "請求書"
    return "返還請求書" if content.total < 0 else "修正請求書"


def _by_law(content: InvoiceContent) -> str:
    """What it is in the words of the consumption tax law: one that gives back is another kind."""
    return "適格返還請求書" if content.total < 0 else "適格請求書"


def _rows(top: float) -> int:
    """How many rows fit below a table's heading that begins at `top`."""
    return int((top - ROW - BOTTOM) / ROW)


def _table_top(content: InvoiceContent) -> float:
    sums = len(content.tax_sums) + bool(content.untaxed)
    extra = 2 if content.kind is InvoiceKind.CORRECTION else 0
    return HEIGHT - 130 * mm - (sums + extra) * ROW


def _draw_head(canvas: Canvas, content: InvoiceContent) -> None:
    canvas.setFont(MINCHO, 22)
    canvas.drawCentredString(WIDTH / 2, HEIGHT - 28 * mm, _title(content))
    canvas.setFont(GOTHIC, 8)
    canvas.drawCentredString(WIDTH / 2, HEIGHT - 33 * mm, f"({_by_law(content)})")
    _draw_recipient(canvas, content)
    _draw_issuer(canvas, content)
    y = _draw_total(canvas, content)
    y = _draw_terms(canvas, content, y)
    _draw_tax_sums(canvas, content, y)


def _draw_recipient(canvas: Canvas, content: InvoiceContent) -> None:
    to, y, width = content.recipient, HEIGHT - 44 * mm, 84 * mm
    if to.postal_code:
        _put(canvas, LEFT, y, f"〒{to.postal_code}", 9, width)
        y -= 4.6 * mm
    for line in _folded(to.address, GOTHIC, 9, width, 2) if to.address else ():
        _put(canvas, LEFT, y, line, 9, width)
        y -= 4.6 * mm
    y -= 3 * mm
    for line in _folded(f"{to.name} 御中", MINCHO, 13, width, 2):
        _put(canvas, LEFT, y, line, 13, width, MINCHO)
        y -= 6.2 * mm
    canvas.setStrokeColor(black)
    canvas.setLineWidth(0.7)
    canvas.line(LEFT, y + 4 * mm, LEFT + width, y + 4 * mm)


def _draw_issuer(canvas: Canvas, content: InvoiceContent) -> None:
    x, width = LEFT + 100 * mm, RIGHT - LEFT - 100 * mm
    of = content.issuer
    lines = [
        f"請求書番号: {content.number}",
        f"発行日: {_day(content.issued_on)}",
        "",
        *_folded(of.name, GOTHIC, 10, width, 2),
        f"登録番号: {of.number}",
        *(_folded(of.address, GOTHIC, 8.5, width, 2) if of.address else ()),
        of.contact,
    ]
    y = HEIGHT - 44 * mm
    for line in lines:
        if line:
            _put(canvas, x, y, line, 10 if line in of.name else 8.5, width)
        y -= 4.6 * mm if line else 2.5 * mm


def _draw_total(canvas: Canvas, content: InvoiceContent) -> float:
    y = HEIGHT - 92 * mm
    canvas.setFillColor(GREY)
    canvas.rect(LEFT, y, RIGHT - LEFT, 13 * mm, stroke=0, fill=1)
    canvas.setFillColor(black)
    label = "ご請求金額(税込)" if content.total >= 0 else "ご返金・減額金額(税込)"
    _put(canvas, LEFT + 4 * mm, y + 4.4 * mm, label, 11)
    amount = f"¥{content.total:,}" if content.total >= 0 else f"▲¥{-content.total:,}"
    _put(canvas, RIGHT - 6 * mm, y + 3.8 * mm, amount, 18, to_right=True, font=MINCHO)
    return y - 6 * mm


def _draw_terms(canvas: Canvas, content: InvoiceContent, y: float) -> float:
    year, _, month = content.month.partition("-")
    first, last = _day(content.period_from), _day(content.period_to)
    lines = [
        f"対象: {int(year)}年{int(month)}月分 (ご利用期間 {first} 〜 {last})",
    ]
    if content.total > 0:
        lines += _how_to_pay(content)
    if content.corrects and content.corrects_issued_on:
        issued = _day(content.corrects_issued_on)
        lines.append(f"対象の請求書: {content.corrects}({issued}発行)の修正")
    if content.reason:
        lines.append(f"理由: {content.reason}")
    for line in lines:
        _put(canvas, LEFT, y, line, 9)
        y -= 5 * mm
    return y - 5 * mm


def _how_to_pay(content: InvoiceContent) -> list[str]:
    kind = content.payment_kind
    lines = [f"お支払方法: {PAYMENTS[kind]}    {DUE[kind]}: {_day(content.due_on)}"]
    if kind is PaymentKind.BANK_TRANSFER and content.issuer.bank_account:
        lines.append(f"お振込先: {content.issuer.bank_account}")
    return lines


def _draw_tax_sums(canvas: Canvas, content: InvoiceContent, y: float) -> None:
    edges = (LEFT, LEFT + 44 * mm, LEFT + 84 * mm, LEFT + 118 * mm, LEFT + 152 * mm)
    rows = [("税率ごとの合計", "対象額(税抜)", "消費税額", "合計(税込)")]
    for one in content.tax_sums:
        name = f"{one.percent}%対象" if one.percent else "免税(0%)対象"
        rows.append((name, yen(one.net), yen(one.tax), yen(one.net + one.tax)))
    if content.untaxed:
        rows.append(("不課税(チャージ)", yen(content.untaxed), "-", yen(content.untaxed)))
    for index, row in enumerate(rows):
        _shade(canvas, index == 0, edges[0], y, edges[-1] - edges[0])
        _put(canvas, edges[0] + 1.5 * mm, y + 1.7 * mm, row[0], 8.5)
        for cell, right in zip(row[1:], edges[2:], strict=True):
            _put(canvas, right - 1.5 * mm, y + 1.7 * mm, cell, 8.5, to_right=True)
        y -= ROW
    exempt = any(not one.percent for one in content.tax_sums)
    notes = [ROUNDING, *([EXEMPT] if exempt else []), *([UNTAXED] if content.untaxed else [])]
    _put(canvas, LEFT + 1.5 * mm, y + 2 * mm, "".join(notes), 7, RIGHT - LEFT - 3 * mm)


def _draw_small_head(canvas: Canvas, content: InvoiceContent) -> None:
    y = HEIGHT - 24 * mm
    _put(canvas, LEFT, y, f"{_title(content)} {content.number}", 10, 90 * mm)
    _put(canvas, RIGHT, y, f"{content.recipient.name} 御中", 9, 80 * mm, to_right=True)


# ---- the table -----------------------------------------------------------------------------------


def _closing_rows(content: InvoiceContent) -> list[tuple[str, int]]:
    """What stands below the last line: the way from its sum to what is to be paid."""
    net = sum(line.amount for line in content.lines)
    taxes = [(f"消費税({one.percent}%)", one.tax) for one in content.tax_sums if one.percent]
    label = "小計(税抜、不課税を含む)" if content.untaxed else "小計(税抜)"
    return [(label, net), *taxes, ("合計(税込)", content.total)]


def _draw_table(
    canvas: Canvas,
    top: float,
    opening: Sequence[tuple[str, int]],
    lines: Sequence[InvoiceLine],
    closing: Sequence[tuple[str, int]],
) -> None:
    y = top - ROW
    _draw_row(canvas, y, tuple(column.title for column in COLUMNS), shaded=True)
    rows = [
        *((_sum_cells(*one), False) for one in opening),
        *((_cells(line), False) for line in lines),
        *((_sum_cells(*one), True) for one in closing),
    ]
    for cells, shaded in rows:
        y -= ROW
        _draw_row(canvas, y, cells, shaded)


def _sum_cells(label: str, amount: int) -> tuple[str, ...]:
    return label, "", "", "", yen(amount), ""


def _cells(line: InvoiceLine) -> tuple[str, ...]:
    price = "" if line.unit_price is None else yen(line.unit_price)
    # What is no so many of something, an adjustment or what a top-up paid for, has no quantity.
    counted = line.unit or line.unit_price is not None
    quantity = f"{line.quantity:,}{line.unit}" if counted else ""
    return line.label, line.detail, quantity, price, yen(line.amount), rate_label(line.tax_percent)


def _draw_row(canvas: Canvas, y: float, cells: tuple[str, ...], shaded: bool = False) -> None:
    _shade(canvas, shaded, LEFT, y, RIGHT - LEFT)
    for column, cell in zip(COLUMNS, cells, strict=True):
        if not cell:
            continue
        width = column.right - column.left - 2 * mm
        x = column.right - 1 * mm if column.to_right else column.left + 1 * mm
        _put(canvas, x, y + 1.8 * mm, cell, 8.5, width, to_right=column.to_right)


def _shade(canvas: Canvas, shaded: bool, x: float, y: float, width: float) -> None:
    """The ground of a row, and the line below it."""
    if shaded:
        canvas.setFillColor(GREY)
        canvas.rect(x, y, width, ROW, stroke=0, fill=1)
        canvas.setFillColor(black)
    canvas.setStrokeColor(LINE_GREY)
    canvas.setLineWidth(0.4)
    canvas.line(x, y, x + width, y)


def _draw_foot(canvas: Canvas, content: InvoiceContent, page: int, pages: int) -> None:
    y = 12 * mm
    _put(canvas, LEFT, y, f"{content.issuer.name}  登録番号 {content.issuer.number}", 7, 120 * mm)
    _put(canvas, RIGHT, y, f"{page} / {pages} ページ", 8, to_right=True)


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
