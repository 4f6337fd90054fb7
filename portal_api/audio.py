"""Sending a WAV file: whole or one range of it, with a strong entity tag."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from portal_api.problems import Problem
from portal_api.schemas import Query

CHUNK = 256 * 1024
ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII | re.IGNORECASE)
SEVERAL_RANGES = re.compile(r"bytes=\s*[\d,\s-]*,[\d,\s-]*", re.ASCII | re.IGNORECASE)
DIGITS_OF_ANY_FILE = 18


class AudioQuery(Query):
    download: bool = Field(default=False, description="1: ファイルとして保存する名前を付ける")


class Unsatisfiable(Exception):
    """The range lies past the end, or several are asked for at once."""


@dataclass(frozen=True)
class Span:
    """Bytes from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def parse_range(header: str | None, size: int) -> Span | None:
    """Read a Range header for a file of `size` bytes; None means the whole file.

    What is no byte range by RFC 9110 is ignored, as it asks. Raises Unsatisfiable.
    """
    if header is None:
        return None
    if SEVERAL_RANGES.fullmatch(header):
        raise Unsatisfiable
    found = ONE_RANGE.fullmatch(header)
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        length = min(_integer(found[2]), size)
        first, last = size - length, size - 1
    else:
        first, last = _integer(found[1]), size - 1
        if found[2]:
            if _integer(found[2]) < first:
                return None
            last = min(_integer(found[2]), last)
    if first >= size:
        raise Unsatisfiable
    return Span(first, last)


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= DIGITS_OF_ANY_FILE else 10**DIGITS_OF_ANY_FILE


async def send_wav(
    request: web.Request, path: Path, sha256: str, file_name: str | None = None
) -> web.StreamResponse:
    """Answer GET or HEAD with the file at `path`, whose content has this SHA-256.

    `file_name` makes it a download of that name. No database session may be open meanwhile: the client
    takes as long as it likes.
    """
    tag = f'"{sha256}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes"}
    if _knows(request.headers.get("If-None-Match"), tag):
        return web.Response(status=304, headers=headers)
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError:
        raise Problem("audio_missing") from None
    try:
        size = os.fstat(file.fileno()).st_size
        span = _wanted(request, tag, size)
        headers["Content-Disposition"] = _disposition(file_name)
        return await _send(request, file, headers, span, size)
    finally:
        file.close()


def _knows(if_none_match: str | None, tag: str) -> bool:
    offered = [part.strip().removeprefix("W/") for part in (if_none_match or "").split(",")]
    return "*" in offered or tag in offered


def _wanted(request: web.Request, tag: str, size: int) -> Span | None:
    # A file of another content than the client's half: it gets the whole (If-Range).
    if request.headers.get("If-Range", tag) != tag:
        return None
    try:
        return parse_range(request.headers.get("Range"), size)
    except Unsatisfiable:
        detail = f"範囲は1つだけ、{size}バイトの中で指定してください。"
        raise Problem("range_not_satisfiable", detail, headers={"Content-Range": f"bytes */{size}"}) from None


def _disposition(file_name: str | None) -> str:
    if file_name is None:
        return "inline"
    return f"attachment; filename=\"audio.wav\"; filename*=UTF-8''{quote(file_name, safe='')}"


async def _send(
    request: web.Request, file: BinaryIO, headers: dict[str, str], span: Span | None, size: int
) -> web.StreamResponse:
    response = web.StreamResponse(status=206 if span else 200, headers=headers)
    response.content_type = "audio/wav"
    if span:
        response.headers["Content-Range"] = f"bytes {span.first}-{span.last}/{size}"
    left = span.length if span else size
    response.content_length = left
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    file.seek(span.first if span else 0)
    while left:
        chunk = await asyncio.to_thread(file.read, min(CHUNK, left))
        if not chunk:
            # Cut short on disk: breaking off tells the client that it has not got everything.
            raise ConnectionResetError("the file ended early")
        await response.write(chunk)
        left -= len(chunk)
    await response.write_eof()
    return response
