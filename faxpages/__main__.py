"""The child process: `python -m faxpages <work> <JSON>`, for one piece of work on a stranger's file.

It says what came of it as JSON on standard output. What it may use is limited before it looks at the file.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from faxpages.bench import serve
from faxpages.errors import DocumentRefused, PagesUnreadable
from faxpages.limits import LARGEST_OUTPUT_BYTES, MEMORY_LIMIT_BYTES, NICENESS, RECEIVING_NICENESS

Json = dict[str, Any]


def main() -> None:
    if sys.argv[1] == "bench":
        serve(_receive_one)
    else:
        _do(sys.argv[1], json.loads(sys.argv[2]), NICENESS)


def _receive_one(asked: Json) -> None:
    # Somebody waits for it, and it is done in a tenth of a second.
    _do("receive", asked, RECEIVING_NICENESS)


def _do(work: str, asked: Json, niceness: int) -> None:
    """Do one piece of work, say what came of it, and be gone."""
    _limit_this_process(asked["processor_s"], niceness)
    try:
        said = WORKS[work](asked)
    except DocumentRefused as refused:
        said = {"refused": refused.code}
    except PagesUnreadable as broken:
        said = {"unreadable": str(broken)[:200]}
    except MemoryError:
        said = {"refused": "pdf_too_complex"}
    os.write(1, json.dumps(said).encode() + b"\n")
    # A document may leave PDFium in a state in which it cannot tidy up.
    os._exit(0)


def _limit_this_process(processor_s: int, niceness: int) -> None:
    os.nice(niceness)
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, processor_s),
        (resource.RLIMIT_AS, MEMORY_LIMIT_BYTES),
        (resource.RLIMIT_FSIZE, LARGEST_OUTPUT_BYTES),
    ):
        resource.setrlimit(kind, (value, value))


def _check(asked: Json) -> Json:
    from faxpages.checking import count_pages

    return {"pages": count_pages(Path(asked["pdf"]))}


def _render(asked: Json) -> Json:
    """The pages of several PDFs, one after the other, as one TIFF; the same as a PDF."""
    from faxpages.binarise import black_and_white
    from faxpages.rendering import grey_pages, opened
    from faxpages.tiffs import Page, write_pages

    fonts = Path(asked["fonts"]) if asked["fonts"] else None

    def pages() -> Any:
        for pdf in asked["pdfs"]:
            with opened(Path(pdf), fonts) as document:
                for grey in grey_pages(document):
                    yield Page(black_and_white(grey))

    count = write_pages(pages(), Path(asked["tiff"]))
    _write_pdf(Path(asked["tiff"]), Path(asked["pdf"]))
    return {"pages": count}


def _receive(asked: Json) -> Json:
    """A received TIFF as one whose every page is whole, and as a PDF."""
    from faxpages.tiffs import read_pages, write_pages

    seen: list[tuple[float, int]] = []

    def pages() -> Any:
        for page in read_pages(Path(asked["received"])):
            seen.append((page.lines_per_inch, page.bad_rows))
            yield page

    count = write_pages(pages(), Path(asked["tiff"]))
    _write_pdf(Path(asked["tiff"]), Path(asked["pdf"]))
    return {"pages": count, "lines_per_inch": seen[0][0], "bad_rows": sum(bad for _, bad in seen)}


def _address(asked: Json) -> Json:
    """Pages from one on with their header lines, as they go to one destination."""
    from faxpages.tiffs import Header, at_standard, read_pages, with_header, write_pages

    font = Path(asked["font"]) if asked["font"] else None
    header = Header(asked["header"], asked["total"], font)
    headed = (
        with_header(page, number, header)
        for number, page in enumerate(read_pages(Path(asked["tiff"]), asked["first"]), asked["first"])
    )
    pages = headed if asked["fine"] else (at_standard(page) for page in headed)
    return {"pages": write_pages(pages, Path(asked["out"]))}


def _write_pdf(tiff: Path, pdf: Path) -> None:
    import img2pdf

    with pdf.open("wb") as file:
        img2pdf.convert(str(tiff), outputstream=file)


WORKS = {"check": _check, "render": _render, "receive": _receive, "address": _address}

if __name__ == "__main__":
    main()
