"""Sending sound and PDF: whole or one range of it, with a strong entity tag."""

import asyncio
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from portal_api.mp3 import make_mp3
from portal_api.problems import Problem
from portal_api.schemas import Query

CHUNK = 256 * 1024
SoundFormat = Literal["wav", "mp3"]
ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII | re.IGNORECASE)
SEVERAL_RANGES = re.compile(r"bytes=\s*[\d,\s-]*,[\d,\s-]*", re.ASCII | re.IGNORECASE)
DIGITS_OF_ANY_FILE = 18


@dataclass(frozen=True)
class Kind:
    """A media type, and a name for a file of it that every client can write."""

    media_type: str
    ascii_name: str


SOUNDS: dict[SoundFormat, Kind] = {
    "wav": Kind("audio/wav", "audio.wav"),
    "mp3": Kind("audio/mpeg", "audio.mp3"),
}
PDF = Kind("application/pdf", "fax.pdf")
INVOICE = Kind("application/pdf", "invoice.pdf")


class AudioQuery(Query):
    download: bool = Field(default=False, description="1: ファイルとして保存する名前を付ける")


class SoundQuery(AudioQuery):
    """For sound that is to be had as MP3 too."""

    format: SoundFormat = Field(default="wav", description="音声の形式")


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
    if _knows(request, tag):
        return _unchanged(tag)
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError:
        raise Problem("audio_missing") from None
    with file:
        return await _send(request, file, SOUNDS["wav"], tag, file_name)


async def send_pdf(
    request: web.Request,
    path: Path,
    sha256: str,
    file_name: str | None = None,
    kind: Kind = PDF,
    missing: str = "fax_file_missing",
) -> web.StreamResponse:
    """The same for a PDF. Raises Problem `missing` where it is not there."""
    tag = f'"{sha256}"'
    if _knows(request, tag):
        return _unchanged(tag)
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError:
        raise Problem(missing) from None
    with file:
        return await _send(request, file, kind, tag, file_name)


async def send_mp3(
    request: web.Request,
    wav: Path,
    turns: asyncio.Semaphore,
    file_name: str | None = None,
    channels: int = 1,
) -> web.StreamResponse:
    """The same as MP3, made anew of `wav`: the same bytes every time, so that ranges fit together.

    Raises Problem `audio_missing`, or `conversion_unavailable` where no MP3 can be made.
    """
    if not await asyncio.to_thread(wav.is_file):
        raise Problem("audio_missing")
    mp3 = await make_mp3(wav, turns, channels)
    tag = f'"{hashlib.sha256(mp3).hexdigest()}"'
    if _knows(request, tag):
        return _unchanged(tag)
    return await _send(request, io.BytesIO(mp3), SOUNDS["mp3"], tag, file_name)


def unchanging(request: web.Request, content: bytes, media_type: str) -> web.Response:
    """Answer with what never changes, or that the client has it."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    if _knows(request, tag):
        return _unchanged(tag)
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600"}
    return web.Response(body=content, content_type=media_type, headers=headers)


def disposition(file_name: str | None, ascii_name: str) -> str:
    """The Content-Disposition of a download named `file_name`; None: to be shown in place."""
    if file_name is None:
        return "inline"
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def _knows(request: web.Request, tag: str) -> bool:
    offered = request.headers.get("If-None-Match", "").split(",")
    known = [part.strip().removeprefix("W/") for part in offered]
    return "*" in known or tag in known


def _unchanged(tag: str) -> web.Response:
    return web.Response(status=304, headers={"ETag": tag, "Accept-Ranges": "bytes"})


def _wanted(request: web.Request, tag: str, size: int) -> Span | None:
    # A file of another content than the client's half: it gets the whole (If-Range).
    if request.headers.get("If-Range", tag) != tag:
        return None
    try:
        return parse_range(request.headers.get("Range"), size)
    except Unsatisfiable:
        detail = f"範囲は1つだけ、{size}バイトの中で指定してください。"
        raise Problem("range_not_satisfiable", detail, headers={"Content-Range": f"bytes */{size}"}) from None


async def _send(
    request: web.Request, file: BinaryIO, kind: Kind, tag: str, file_name: str | None
) -> web.StreamResponse:
    size = file.seek(0, io.SEEK_END)
    span = _wanted(request, tag, size)
    left = span.length if span else size
    response = web.StreamResponse(status=206 if span else 200)
    response.headers.update({"ETag": tag, "Accept-Ranges": "bytes"})
    response.headers["Content-Disposition"] = disposition(file_name, kind.ascii_name)
    response.content_type = kind.media_type
    if span:
        response.headers["Content-Range"] = f"bytes {span.first}-{span.last}/{size}"
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
