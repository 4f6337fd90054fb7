"""A mail server in a process of its own, so that what a benchmark does itself keeps no mail waiting."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from tests.doubles.mail import MailDouble


async def _serve(port: int) -> None:
    async with MailDouble(port=port):
        await asyncio.Event().wait()


def _run(port: int) -> None:
    asyncio.run(_serve(port))


@contextmanager
def mail_server(port: int) -> Iterator[None]:
    """It takes every mail, on `port` of loopback."""
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(port,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()
