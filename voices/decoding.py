"""From a stranger's file to samples, by ffmpeg. Runs in a child process of its own, made for one file.

The file is never trusted: what it is says its content, not its name; ffmpeg is told which one format to
read and may open nothing but this file; and what it may use of processor time, memory and disk is limited
before it starts.
"""

import re
import resource
import subprocess
from collections.abc import Sequence
from typing import IO

import numpy

from settings.tools import tool_command
from voices.errors import Refused
from voices.formats import format_of
from voices.limits import LONGEST_PROMPT_S
from voices.sound import RATE, NothingAudible, Samples, telephone_band, telephone_wav

HEAD_BYTES = 64
FFMPEG_LIMIT_S = 15.0
PROCESSOR_LIMIT_S = 20
MEMORY_LIMIT_BYTES = 1024**3
SAMPLE_BYTES = 4
FILM = re.compile(rb"\s*Stream #[^ ]+: Video: (?!.*\(attached pic\))")
CODECS = (
    "mp3,mp3float,aac,alac,flac,opus,vorbis,libopus,libvorbis,pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,"
    "pcm_f64le,pcm_alaw,pcm_mulaw,adpcm_ms,adpcm_ima_wav,gsm_ms"
)


def limit_this_process() -> None:
    """For this process and what it starts: ffmpeg cannot write a file, nor work or grow without end."""
    for kind, value in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, PROCESSOR_LIMIT_S),
        (resource.RLIMIT_AS, MEMORY_LIMIT_BYTES),
    ):
        resource.setrlimit(kind, (value, value))


def prepared(file: IO[bytes]) -> bytes:
    """Make `file`, which can seek, a WAV ready to play. Raises Refused, settings.tools.NotSetUp."""
    file.seek(0)
    kind = format_of(file.read(HEAD_BYTES))
    if kind is None:
        raise Refused("not_audio")
    if _holds_film(file, kind):
        raise Refused("has_video")
    samples = _decode(file, kind)
    if len(samples) > LONGEST_PROMPT_S * RATE:
        raise Refused("audio_too_long")
    try:
        return telephone_wav(telephone_band(samples, RATE))
    except NothingAudible:
        raise Refused("inaudible") from None


def _holds_film(file: IO[bytes], kind: str) -> bool:
    """Tell whether ffmpeg lists a video stream that is no cover picture. Nothing is decoded for that."""
    # Without an output it lists the streams, and ends with an error.
    listed = _run(["-loglevel", "info", "-nofind_stream_info", *_input(kind)], file).stderr
    return any(FILM.match(line) for line in listed.splitlines())


def _decode(file: IO[bytes], kind: str) -> Samples:
    """The first sound stream at 8 kHz: no more of it than shows that it is too long. Raises Refused."""
    wanted = ["-map", "0:a:0", "-t", str(LONGEST_PROMPT_S + 0.5), "-ac", "1", "-ar", str(RATE)]
    done = _run(["-loglevel", "quiet", *_input(kind), *wanted, "-f", "f32le", "pipe:1"], file)
    raw = done.stdout[: len(done.stdout) // SAMPLE_BYTES * SAMPLE_BYTES]
    if done.returncode != 0 or not raw:
        raise Refused("damaged_audio")
    samples: Samples = numpy.frombuffer(raw, "<f4").astype("float64")
    # A float WAV may hold anything.
    return numpy.clip(numpy.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -64.0, 64.0)


def _input(kind: str) -> list[str]:
    """Read stdin as `kind` and nothing else, by its name in /proc so that ffmpeg can seek in it."""
    allowed = ["-protocol_whitelist", "file", "-format_whitelist", kind, "-codec_whitelist", CODECS]
    return [*allowed, "-threads", "1", "-f", kind, "-i", "file:/proc/self/fd/0"]


def _run(arguments: Sequence[str], file: IO[bytes]) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg on `file` as stdin. One that hangs was given a damaged file. Raises Refused, NotSetUp."""
    command = [*tool_command("ffmpeg"), "-nostdin", "-hide_banner", *arguments]
    try:
        return subprocess.run(
            command, stdin=file, capture_output=True, env={"LC_ALL": "C"}, timeout=FFMPEG_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Refused("damaged_audio") from None
