"""Answers sent as they are made, with flat memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

STALLED_S = 60.0
"""A client that takes nothing for so long is given up."""


async def send_chunks(
    request: web.Request, chunks: AsyncIterator[bytes], content_type: str, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with `chunks`. A client that goes away or stands still ends it."""
    response = web.StreamResponse(headers={**headers, "Content-Type": content_type})
    await response.prepare(request)
    if request.method != "HEAD":
        async for chunk in chunks:
            await write_soon(request, response, chunk)
    await response.write_eof()
    return response


async def write_soon(
    request: web.Request, response: web.StreamResponse, chunk: bytes, stalled_s: float = STALLED_S
) -> None:
    """Write; a client that takes nothing for `stalled_s` is cut off with ConnectionResetError."""
    try:
        async with asyncio.timeout(stalled_s):
            await response.write(chunk)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client takes nothing") from None
