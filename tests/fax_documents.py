"""PDFs for tests, good and hostile."""

import io
import zlib

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

NAMED_FONT = "HeiseiKakuGo-W5"


def pdf(pages: int = 1, size: tuple[float, float] = A4, words: str = "fax") -> bytes:
    """A PDF whose every page says which it is, in a font that every reader has."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=size, invariant=1)
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica", 24)
        canvas.drawString(72, size[1] - 144, f"{words} page {number}")
        canvas.rect(72 + 10 * number, 144, 200, 100, fill=1)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def japanese_pdf(text: str) -> bytes:
    """A PDF that names a Japanese font and does not bring it, as many office programs make them."""
    if NAMED_FONT not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(NAMED_FONT))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1)
    canvas.setFont(NAMED_FONT, 36)
    canvas.drawString(72, 600, text)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def encrypted_pdf() -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, encrypt="secret")
    canvas.drawString(72, 600, "secret")
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def _raw(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)


def _stream(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return b"<</Length %d/Filter/FlateDecode>>stream\n%b\nendstream" % (len(packed), packed)


def bomb_pdf() -> bytes:
    """A picture of 100,000 by 100,000 pixels, 1.2 GB, in 12 kB: in G4 a row like the last is one bit."""
    side = 100_000
    content = b"\xff" * (side // 8)
    picture = (
        b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 1"
        b"/Length %d/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns %d/Rows %d>>>>stream\n%b\nendstream"
    )
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
    return _raw(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            page + b"/Resources<</XObject<</I 5 0 R>>>>>>",
            _stream(b"q 595 0 0 842 0 0 cm /I Do Q"),
            picture % (side, side, len(content), side, side, content),
        ]
    )


def scripted_pdf() -> bytes:
    """A PDF that wants to run JavaScript when it is opened, and opens an address."""
    script = b"while (true) { app.alert('hello'); }"
    return _raw(
        [
            b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(%b)>>>>" % script,
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
            b"/AA<</O<</S/URI/URI(http://127.0.0.1:9/)>>>>>>",
            _stream(b"0 0 300 300 re f"),
        ]
    )


def pages_in_a_circle_pdf() -> bytes:
    return _raw([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"])


def no_pages_pdf() -> bytes:
    return _raw([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"])


def many_pages_pdf(pages: int) -> bytes:
    """So many empty pages, each a few bytes."""
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(pages))
    one = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>"
    head = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, pages)]
    return _raw([*head, *[one] * pages])
