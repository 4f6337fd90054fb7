"""Draws invoices in a process of its own: what drawing loads would stay in ours for the rest of the month.

`python -m billing.drawing` reads documents from its standard input, a line of JSON each, and answers each
with a line of JSON and the PDF. It ends with its input.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from settings.tools import CHECKOUT, NotSetUp
from store.invoice_content import InvoiceContent

LIMIT_S = 120.0
"""For one document; 5,000 lines take two seconds."""

COMMAND = (sys.executable, "-m", "billing.drawing")

Draw = Callable[[InvoiceContent], Awaitable[bytes]]
"""Raises NotDrawn, settings.tools.NotSetUp."""


class NotDrawn(Exception):
    """There is no PDF, for a reason that lies in the document or with the process."""


@asynccontextmanager
async def drawing() -> AsyncIterator[Draw]:
    """Give what draws; its process begins with the first document and ends with the block."""
    processes: list[Process] = []

    async def draw(content: InvoiceContent) -> bytes:
        if not processes:
            processes.append(await _start())
        try:
            async with asyncio.timeout(LIMIT_S):
                return await _ask(processes[-1], content)
        except (TimeoutError, OSError, EOFError, ValueError, KeyError) as trouble:
            await _end(processes.pop())
            raise NotDrawn(f"the process that draws failed: {type(trouble).__name__}") from None

    try:
        yield draw
    finally:
        for process in processes:
            await _end(process)


async def _start() -> Process:
    # None of our secrets: it needs none.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    return await asyncio.create_subprocess_exec(
        *COMMAND, stdin=PIPE, stdout=PIPE, cwd=CHECKOUT, env=environment
    )


async def _ask(process: Process, content: InvoiceContent) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(content.model_dump_json().encode() + b"\n")
    await process.stdin.drain()
    said = json.loads(await process.stdout.readline())
    if "not_set_up" in said:
        raise NotSetUp(said["not_set_up"])
    if "failed" in said:
        raise NotDrawn(said["failed"])
    return await process.stdout.readexactly(said["bytes"])


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def main() -> None:
    """Draw what comes until no more does."""
    from billing.invoice_pdf import render

    for line in sys.stdin.buffer:
        pdf = b""
        try:
            pdf = render(InvoiceContent.model_validate_json(line))
            said: dict[str, str | int] = {"bytes": len(pdf)}
        except NotSetUp as missing:
            said = {"not_set_up": str(missing)}
        except Exception as trouble:
            # One document that cannot be drawn must not keep back those after it.
            said = {"failed": f"{type(trouble).__name__}: {trouble}"}
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n" + pdf)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
