"""A ZIP made while it is sent: no more of it is in memory than one chunk, however large it is.

Nothing is compressed: sound and PDF hardly shrink. Names are UTF-8 and marked so.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from aiohttp import web

STALLED_S = 60.0
"""A client that takes nothing for so long is gone, or wants to hold us up."""

FIRST_YEAR = 1980
"""ZIP knows none before."""


@dataclass(frozen=True)
class Member:
    """One file of a ZIP. `at` is shown as its time, as it stands there: ZIP knows no time zones."""

    name: str
    at: datetime
    content: AsyncGenerator[bytes, None]


Members = AsyncGenerator[Member, None]


class _Outlet:
    """What zipfile writes to: an end that cannot be rewound, emptied by who sends."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


async def zip_chunks(members: Members) -> AsyncGenerator[bytes, None]:
    """Give the bytes of a ZIP of `members`, each of which is asked for when the one before is written."""
    outlet = _Outlet()
    with ZipFile(cast(IO[bytes], outlet), "w", ZIP_STORED) as archive:
        async with aclosing(members):
            async for member in members:
                with archive.open(_info(member), "w") as entry:
                    async with aclosing(member.content) as content:
                        async for chunk in content:
                            entry.write(chunk)
                            yield outlet.take()
    yield outlet.take()


def _info(member: Member) -> ZipInfo:
    at = member.at
    info = ZipInfo(member.name, (max(at.year, FIRST_YEAR), at.month, at.day, at.hour, at.minute, at.second))
    info.external_attr = 0o644 << 16
    return info


def unique_name(wanted: str, taken: set[str]) -> str:
    """Give `wanted`, with a number where it is taken; it is taken then. Windows knows no capitals."""
    path = PurePosixPath(wanted)
    name, count = wanted, 1
    while name.lower() in taken:
        count += 1
        name = f"{path.stem}_{count}{path.suffix}"
    taken.add(name.lower())
    return name


async def send_zip(request: web.Request, members: Members, disposition: str) -> web.StreamResponse:
    """Answer with a ZIP of `members`. No database session may be open meanwhile.

    A client that goes away or stands still ends it; `members` is closed in any case.
    """
    async with aclosing(zip_chunks(members)) as chunks:
        response = web.StreamResponse(headers={"Content-Disposition": disposition})
        response.content_type = "application/zip"
        await response.prepare(request)
        async for chunk in chunks:
            await _write(request, response, chunk)
        await response.write_eof()
    return response


async def _write(request: web.Request, response: web.StreamResponse, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(STALLED_S):
            await response.write(chunk)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client takes nothing") from None
