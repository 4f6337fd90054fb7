"""MP3 made of a WAV file, by ffmpeg in a process of its own."""

import asyncio
import contextlib
import logging
from pathlib import Path

from portal_api.problems import Problem
from settings.tools import NotSetUp, tool_command

log = logging.getLogger(__name__)

LIMIT_S = 20.0
LONGEST_S = 3600
BITRATE = "32k"
"""Telephone sound has 4 kHz: more bits would not be heard."""

# The input is our own WAV; the list of protocols keeps a damaged one from leading elsewhere. Bit-exact leaves
# out what changes from one making to the next.
QUIETLY = ("-nostdin", "-hide_banner", "-v", "error", "-threads", "1", "-protocol_whitelist", "file,pipe")
AS_MP3 = ("-t", str(LONGEST_S), "-vn", "-c:a", "libmp3lame", "-b:a", BITRATE, "-map_metadata", "-1")
TO_US = ("-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp3", "pipe:1")


class NotConverted(Problem):
    """ffmpeg is not there, failed or took too long."""

    def __init__(self) -> None:
        super().__init__("conversion_unavailable", headers={"Retry-After": "10"})


def ffmpeg() -> list[str]:
    """The command that starts ffmpeg. Raises NotConverted."""
    try:
        return tool_command("ffmpeg")
    except NotSetUp as absent:
        log.error("no MP3 can be made: %s", absent, extra={"action": "no_ffmpeg"})
        raise NotConverted from None


async def make_mp3(wav: Path, turns: asyncio.Semaphore) -> bytes:
    """Give the sound of `wav` as MP3, 4 kB a second, when it is its turn. Raises NotConverted."""
    command = [*ffmpeg(), *QUIETLY, "-f", "wav", "-i", f"file:{wav}", *AS_MP3, *TO_US]
    async with turns:
        status, made, complaint = await _run(command)
    if status != 0:
        said = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        log.error("ffmpeg: status %d: %s", status, said, extra={"action": "mp3_failed"})
        raise NotConverted
    return made


async def _run(command: list[str]) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(LIMIT_S):
            made, complaint = await process.communicate()
    except TimeoutError:
        log.error("ffmpeg took too long", extra={"action": "mp3_failed"})
        raise NotConverted from None
    finally:
        await _end(process)
    return process.returncode or 0, made, complaint


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no process behind, whether it was too slow or the client has gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
