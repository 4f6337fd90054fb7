"""Pages of our own, by reportlab: the cover page and the transmission report."""

from collections.abc import Sequence
from datetime import timedelta, timezone
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from faxpages.contents import Cover, Tried

JAPAN = timezone(timedelta(hours=9))
EMBEDDED, NAMED = "IPAexGothic", "HeiseiKakuGo-W5"
MOST_NAMED = 5


def write_cover(cover: Cover, path: Path, font: Path | None) -> None:
    """Write a cover page (送付状) as an A4 PDF. `font`: a TrueType font to embed."""
    name = _font(font)
    numbers = f"{len(cover.to)}件の宛先" if len(cover.to) > MOST_NAMED else "、".join(cover.to)
    rows = [
        ("宛先", cover.addressee),
        ("FAX番号", numbers),
        ("送信元", cover.company),
        ("送信元番号", cover.sender),
        ("日時", f"{cover.at.astimezone(JAPAN):%Y年%m月%d日 %H:%M}"),
        ("件名", cover.subject),
    ]
    body = ParagraphStyle("body", fontName=name, fontSize=12, leading=19, wordWrap="CJK")
    story: list[Flowable] = [
        _title("FAX送付状", name),
        _facts([row for row in rows if row[1]], name),
        Spacer(1, 10 * mm),
        *(Paragraph(escape(line) or "&nbsp;", body) for line in cover.message.split("\n")),
    ]
    _document(path, "FAX送付状").build(story)


def write_report(
    facts: Sequence[tuple[str, str]],
    tried: Sequence[Tried],
    thumbnail: Path | None,
    path: Path,
    font: Path | None,
) -> None:
    """Write a transmission report (送信レポート) as an A4 PDF; `thumbnail` is a picture of the first page."""
    name = _font(font)
    story: list[Flowable] = [_title("FAX送信レポート", name), _facts(facts, name), Spacer(1, 6 * mm)]
    if tried:
        head = ("日時", "結果", "コード", "ページ", "方式")
        rows = [
            (f"{one.at.astimezone(JAPAN):%Y/%m/%d %H:%M:%S}", one.result, one.code, one.pages, one.transport)
            for one in tried
        ]
        cell = ParagraphStyle("cell", fontName=name, fontSize=8, leading=11, wordWrap="CJK")
        table = Table(
            [head, *([Paragraph(escape(value), cell) for value in row] for row in rows)],
            colWidths=[36 * mm, 60 * mm, 36 * mm, 20 * mm, 18 * mm],
        )
        table.setStyle(
            TableStyle([("FONT", (0, 0), (-1, -1), name, 8), ("GRID", (0, 0), (-1, -1), 0.4, colors.grey)])
        )
        story += [table, Spacer(1, 6 * mm)]
    if thumbnail is not None:
        story.append(Image(str(thumbnail), width=95 * mm, height=134 * mm, kind="proportional"))
    _document(path, "FAX送信レポート").build(story)


def _document(path: Path, title: str) -> SimpleDocTemplate:
    margins = {"leftMargin": 20 * mm, "rightMargin": 20 * mm, "topMargin": 18 * mm, "bottomMargin": 15 * mm}
    return SimpleDocTemplate(str(path), pagesize=A4, title=title, **margins)


def _title(text: str, font: str) -> Paragraph:
    style = ParagraphStyle(
        "title", fontName=font, fontSize=20, leading=26, alignment=TA_CENTER, spaceAfter=16
    )
    return Paragraph(text, style)


def _facts(rows: Sequence[tuple[str, str]], font: str) -> Table:
    value = ParagraphStyle("value", fontName=font, fontSize=11, leading=15, wordWrap="CJK")
    table = Table(
        [[label, Paragraph(escape(text), value)] for label, text in rows], colWidths=[35 * mm, 135 * mm]
    )
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (0, -1), font, 11),
                ("LINEBELOW", (0, 0), (-1, -1), 0.5, colors.grey),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        )
    )
    return table


def _font(file: Path | None) -> str:
    """Register and name the font to write with; without a file one that every reader knows by name."""
    name = EMBEDDED if file else NAMED
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(EMBEDDED, str(file)) if file else UnicodeCIDFont(NAMED))
    return name
