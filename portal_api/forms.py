"""Forms with a file in them (`multipart/form-data`), read piece by piece and never past a limit."""

import asyncio
import errno
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Annotated, Any
from urllib.parse import unquote

from aiohttp import BodyPartReader, web
from pydantic import BaseModel, ConfigDict, ValidationError, WithJsonSchema

from portal_api.problems import Problem, field_error, problem_of_validation
from voices.limits import LARGEST_UPLOAD_BYTES

FORM_TIMEOUT_S = 120.0
"""The largest file over a line of 1.5 Mbit/s."""

LARGEST_TEXT_BYTES = 16 * 1024
MOST_FIELDS = 20
LONGEST_FILE_NAME = 100
CHUNK_BYTES = 256 * 1024
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FILE = "file"


@dataclass(frozen=True)
class ReceivedFile:
    """A file as it came: `content` has no name on disk and goes when closed; `name` is for showing only."""

    content: IO[bytes]
    name: str | None


FileGiven = Annotated[ReceivedFile, WithJsonSchema({"type": "string", "format": "binary"})]


class Form(BaseModel):
    """What a client sends as a form. `file.content` is closed when the request is over."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    file: FileGiven


async def read_form(model: type[BaseModel], request: web.Request) -> BaseModel:
    """Read the form into `model`. Raises Problem."""
    fields: dict[str, Any] = {}
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            await _read_fields(request, fields)
        return model.model_validate(fields)
    except BaseException as trouble:
        if isinstance(received := fields.get(FILE), ReceivedFile):
            received.content.close()
        raise _problem_of(trouble) from None


def _problem_of(trouble: BaseException) -> BaseException:
    match trouble:
        case TimeoutError():
            return Problem("body_too_slow", headers={"Connection": "close"})
        case ValidationError():
            return problem_of_validation("invalid_body", trouble)
        case ValueError() | AssertionError():
            # How aiohttp says that a form breaks off or has no boundary.
            return Problem("malformed_request")
        case _:
            return trouble


async def _read_fields(request: web.Request, fields: dict[str, Any]) -> None:
    if (request.content_length or 0) > LARGEST_UPLOAD_BYTES + MOST_FIELDS * LARGEST_TEXT_BYTES:
        raise Problem("file_too_large", headers={"Connection": "close"})
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.name or len(fields) >= MOST_FIELDS:
            raise Problem("malformed_request")
        if part.name in fields:
            raise Problem("invalid_body", errors=[field_error(part.name, "repeated")])
        fields[part.name] = await (_received if part.name == FILE else _text)(part)


async def _text(part: BodyPartReader) -> str:
    content = b""
    while chunk := await part.read_chunk(LARGEST_TEXT_BYTES):
        content += chunk
        if len(content) > LARGEST_TEXT_BYTES:
            raise Problem("body_too_large", "項目が長すぎます。")
    return content.decode()


async def _received(part: BodyPartReader) -> ReceivedFile:
    content = tempfile.TemporaryFile()  # noqa: SIM115 (handed on; the form's reader closes it)
    size = 0
    try:
        with enough_room():
            while chunk := await part.read_chunk(CHUNK_BYTES):
                size += len(chunk)
                if size > LARGEST_UPLOAD_BYTES:
                    raise Problem("file_too_large")
                await asyncio.to_thread(content.write, chunk)
            await asyncio.to_thread(content.flush)
    except BaseException:
        content.close()
        raise
    return ReceivedFile(content, shown_file_name(part.filename or ""))


@contextmanager
def enough_room() -> Iterator[None]:
    """A full disk is Problem `storage_full`."""
    try:
        yield
    except OSError as trouble:
        if trouble.errno not in NO_ROOM:
            raise
        raise Problem("storage_full") from None


def shown_file_name(given: str) -> str | None:
    """The last part of a sent file name, without signs that are no text; None where nothing is left.

    It is shown to people. No path is ever made of it.
    """
    # Some clients send it percent-encoded, as in an address.
    last = re.split(r"[/\\]", unquote(given))[-1]
    plain = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C" and sign not in '<>"')
    return plain.strip(" .")[:LONGEST_FILE_NAME] or None
