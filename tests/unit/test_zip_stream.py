"""The ZIP that is made while it is sent, read back by Python's own reader."""

import io
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from zipfile import ZipFile

import pytest

from portal_api.zip_stream import Member, Members, zip_chunks

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 23, 9, 0, 2)  # noqa: DTZ001 (a ZIP's times have no zone)


async def some(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


async def these(*members: Member) -> Members:
    for member in members:
        yield member


async def whole(members: Members) -> ZipFile:
    return ZipFile(io.BytesIO(b"".join([chunk async for chunk in zip_chunks(members)])))


async def test_it_can_be_read_back() -> None:
    files = these(
        Member("留守レポ.wav", AT, some(b"one", b"two")), Member("empty", AT.replace(year=1970), some())
    )
    archive = await whole(files)
    assert archive.testzip() is None
    assert {info.filename: archive.read(info) for info in archive.infolist()} == {
        "留守レポ.wav": b"onetwo",
        "empty": b"",
    }
    first, second = archive.infolist()
    assert first.date_time == (2026, 11, 23, 9, 0, 2)
    assert second.date_time[0] == 1980
    assert first.flag_bits & 0x800


async def test_empty_zip() -> None:
    assert (await whole(these())).namelist() == []


async def test_content_is_asked_for_as_it_goes_out() -> None:
    asked = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal asked
        while True:
            asked += 1
            yield bytes(1000)

    async with aclosing(zip_chunks(these(Member("endless", AT, endless())))) as chunks:
        for taken in range(1, 50):
            assert 1000 <= len(await anext(chunks)) < 1100
            assert asked == taken


async def test_who_stops_reading_closes_everything() -> None:
    closed: list[str] = []

    async def content() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("content")

    async def members() -> Members:
        try:
            yield Member("a", AT, content())
        finally:
            closed.append("members")

    async with aclosing(zip_chunks(members())) as chunks:
        await anext(chunks)
    assert closed == ["content", "members"]
