"""Work on documents, each piece in a child process with limits of time, memory and disk, at low priority."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faxpages.bench import ENDED
from faxpages.errors import REFUSALS, DocumentRefused, PagesUnreadable, WorkshopBroken
from faxpages.limits import CHECKING_LIMIT_S, RENDERING_LIMIT_PER_PAGE_S, RENDERING_LIMIT_S
from settings.tools import NotSetUp, tool_folder

CHECKOUT = Path(__file__).resolve().parent.parent
GOTHIC = "ipaexg.ttf"
LARGEST_ANSWER_BYTES = 64 * 1024
PATIENCE = 3
"""So many times its limit may work take: on a machine full of calls it waits for its turn as long."""


@dataclass(frozen=True)
class Received:
    """What is in a received TIFF."""

    pages: int
    lines_per_inch: float
    bad_rows: int


async def check_pdf(pdf: Path) -> int:
    """How many pages the PDF has. Raises DocumentRefused, WorkshopBroken."""
    return int((await _work("check", CHECKING_LIMIT_S, pdf=str(pdf)))["pages"])


async def render(pdfs: Sequence[Path], pages: int, tiff: Path, pdf: Path) -> int:
    """Make the fax pages of `pdfs` (about `pages`) as a TIFF and as a PDF; how many there are.

    Raises DocumentRefused, WorkshopBroken.
    """
    limit_s = RENDERING_LIMIT_S + RENDERING_LIMIT_PER_PAGE_S * pages
    asked = {"pdfs": [str(one) for one in pdfs], "tiff": str(tiff), "pdf": str(pdf)}
    said = await _work("render", limit_s, fonts=str(fonts()) if fonts() else None, **asked)
    return int(said["pages"])


async def address(tiff: Path, out: Path, header: str, first: int, total: int, fine: bool = True) -> int:
    """Write the pages from `first` on with their header lines as `out`; how many these are.

    Raises PagesUnreadable, WorkshopBroken.
    """
    font = gothic()
    asked = {"tiff": str(tiff), "out": str(out), "header": header, "first": first, "total": total}
    limit_s = RENDERING_LIMIT_S + total
    said = await _work("address", limit_s, font=str(font) if font else None, fine=fine, **asked)
    return int(said["pages"])


def fonts() -> Path | None:
    """The folder of our Japanese fonts; None where they are not set up."""
    try:
        return tool_folder("fonts")
    except NotSetUp:
        return None


def gothic() -> Path | None:
    """IPAex Gothic, where it is set up."""
    folder = fonts()
    return next(folder.rglob(GOTHIC), None) if folder else None


class Bench:
    """A child process for received faxes that come together: it starts once, and takes them in one by one.

    Each is read in a child of that child, with limits of its own. Close it.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def take_in(self, received: Path, tiff: Path, pdf: Path) -> Received:
        """Make a whole TIFF and a PDF of what was received. Raises PagesUnreadable, WorkshopBroken.

        One at a time.
        """
        asked = {"received": str(received), "tiff": str(tiff), "pdf": str(pdf)}
        said = _answer("receive", *await self._ask(asked))
        return Received(int(said["pages"]), float(said["lines_per_inch"]), int(said["bad_rows"]))

    async def _ask(self, asked: dict[str, Any]) -> tuple[int | None, bytes]:
        """How the child's child ended, and what it said."""
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await _started("bench")
        assert process.stdin is not None
        assert process.stdout is not None
        told = json.dumps({**asked, "processor_s": int(RENDERING_LIMIT_S)})
        said = b""
        try:
            async with asyncio.timeout(RENDERING_LIMIT_S * PATIENCE):
                process.stdin.write(f"{told}\n".encode())
                while line := await process.stdout.readline():
                    if ENDED in (told_of := json.loads(line)):
                        return int(told_of[ENDED]), said
                    said = line
        except (TimeoutError, ConnectionError, ValueError):
            said = b""
        except asyncio.CancelledError:
            await self.close()
            raise
        await self.close()
        return process.returncode, said

    async def close(self) -> None:
        """End it, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)


async def _work(work: str, limit_s: float, **asked: Any) -> dict[str, Any]:
    process = await _started(work, json.dumps({**asked, "processor_s": int(limit_s)}))
    try:
        async with asyncio.timeout(limit_s * PATIENCE):
            said, _ = await process.communicate()
    except TimeoutError:
        said = b""
    finally:
        await _end(process)
    return _answer(work, process.returncode, said)


async def _started(*what: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "faxpages", *what),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        cwd=CHECKOUT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        limit=LARGEST_ANSWER_BYTES,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """With its children, which are all of its session."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _answer(work: str, status: int | None, said: bytes) -> dict[str, Any]:
    """What the child said. One that was made to die or hang was given a document that did it."""
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        if work in ("check", "render") and status != 1:
            # Killed by a limit or by what it met.
            raise DocumentRefused("pdf_too_complex") from None
        raise WorkshopBroken(f"{work} ended with {_name_of(status)}") from None
    if (code := answer.get("refused")) in REFUSALS:
        raise DocumentRefused(code)
    if "unreadable" in answer:
        raise PagesUnreadable(answer["unreadable"])
    return answer


def _name_of(status: int | None) -> str:
    return signal.Signals(-status).name if status is not None and status < 0 else str(status)
