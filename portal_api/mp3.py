"""MP3 made of a WAV file, by ffmpeg in a process of its own."""

import asyncio
import contextlib
import logging
from pathlib import Path

from portal_api.problems import Problem
from settings.tools import NotSetUp, tool_command

log = logging.getLogger(__name__)

LIMIT_S = 20.0
SLOWEST_BYTES_PER_S = 1_000_000
"""How fast the sound of a long call is converted at the least; ten times as fast is usual."""

LONGEST_S = 5 * 3600
BITRATES = {1: "32k", 2: "48k"}
"""By the number of channels. Telephone sound has 4 kHz: more bits would not be heard."""

# The input is our own WAV; the list of protocols keeps a damaged one from leading elsewhere. Bit-exact leaves
# out what changes from one making to the next.
QUIETLY = ("-nostdin", "-hide_banner", "-v", "error", "-threads", "1", "-protocol_whitelist", "file,pipe")
AS_MP3 = ("-t", str(LONGEST_S), "-vn", "-c:a", "libmp3lame", "-map_metadata", "-1")
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


async def make_mp3(wav: Path, turns: asyncio.Semaphore, channels: int = 1) -> bytes:
    """Give the sound of `wav` as MP3, 4 kB a second (stereo: 6), when it is its turn. Raises NotConverted."""
    bitrate = ("-b:a", BITRATES[channels])
    command = [*ffmpeg(), *QUIETLY, "-f", "wav", "-i", f"file:{wav}", *AS_MP3, *bitrate, *TO_US]
    async with turns:
        try:
            limit_s = LIMIT_S + (await asyncio.to_thread(wav.stat)).st_size / SLOWEST_BYTES_PER_S
        except OSError:
            raise NotConverted from None
        status, made, complaint = await _run(command, limit_s)
    if status != 0:
        said = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        log.error("ffmpeg: status %d: %s", status, said, extra={"action": "mp3_failed"})
        raise NotConverted
    return made


async def _run(command: list[str], limit_s: float) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(limit_s):
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
