"""From a stranger's file to samples, by ffmpeg. Runs in a child process of its own, made for one file.

The file is never trusted: what it is says its content, not its name; ffmpeg is told which one format to
read and may open nothing but this file; and what it may use of processor time, memory and disk is limited
before it starts.
"""

import json
import resource
import subprocess
from collections.abc import Sequence
from typing import IO, Any

import numpy

from settings.tools import tool_command
from voices.errors import Refused
from voices.formats import format_of
from voices.limits import LONGEST_PROMPT_S
from voices.sound import RATE, NothingAudible, Samples, telephone_band, telephone_wav

HEAD_BYTES = 64
PROBE_LIMIT_S = 10.0
DECODE_LIMIT_S = 25.0
PROCESSOR_LIMIT_S = 20
MEMORY_LIMIT_BYTES = 1024**3
SAMPLE_BYTES = 4
CODECS = (
    "mp3,mp3float,aac,alac,flac,opus,vorbis,libopus,libvorbis,pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,"
    "pcm_f64le,pcm_alaw,pcm_mulaw,adpcm_ms,adpcm_ima_wav,gsm_ms"
)
QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")


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
    refuse_unfit(_probe(file, kind))
    samples = _decode(file, kind)
    if len(samples) > LONGEST_PROMPT_S * RATE:
        raise Refused("audio_too_long")
    try:
        return telephone_wav(telephone_band(samples, RATE))
    except NothingAudible:
        raise Refused("inaudible") from None


def refuse_unfit(about: dict[str, Any]) -> None:
    """Judge what ffprobe says of a file, before any of it is decoded. Raises Refused."""
    streams = about.get("streams", [])
    for stream in streams:
        pictured = stream.get("disposition", {}).get("attached_pic")
        if stream.get("codec_type") == "video" and not pictured:
            raise Refused("has_video")
    sounds = [stream for stream in streams if stream.get("codec_type") == "audio"]
    if not sounds:
        raise Refused("no_sound")
    lengths = [about.get("format", {}).get("duration"), sounds[0].get("duration")]
    if any(_seconds(length) > LONGEST_PROMPT_S for length in lengths):
        raise Refused("audio_too_long")


def _seconds(length: str | None) -> float:
    try:
        return float(length or 0)
    except ValueError:
        return 0.0


def _probe(file: IO[bytes], kind: str) -> dict[str, Any]:
    shown = "format=duration:stream=codec_type,duration:stream_disposition=attached_pic"
    command = [*tool_command("ffprobe"), *QUIET[1:], *_reading(kind), "-of", "json", "-show_entries", shown]
    said = _run(command, file, PROBE_LIMIT_S)
    try:
        about = json.loads(said)
    except ValueError:
        raise Refused("damaged_audio") from None
    return about if isinstance(about, dict) else {}


def _decode(file: IO[bytes], kind: str) -> Samples:
    """The first sound stream at 8 kHz, up to a little more than the longest prompt."""
    command = [*tool_command("ffmpeg"), *QUIET, *_reading(kind), "-map", "0:a:0", "-vn", "-sn", "-dn"]
    command += ["-t", str(LONGEST_PROMPT_S + 0.5), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "pipe:1"]
    raw = _run(command, file, DECODE_LIMIT_S)
    samples: Samples = numpy.frombuffer(raw[: len(raw) // SAMPLE_BYTES * SAMPLE_BYTES], "<f4").astype(
        "float64"
    )
    if not len(samples):
        raise Refused("damaged_audio")
    # A float WAV may hold anything.
    return numpy.clip(numpy.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -64.0, 64.0)


def _reading(kind: str) -> list[str]:
    # The input by its descriptor, read through its own name in /proc, so that it can seek.
    limits = ["-protocol_whitelist", "file", "-format_whitelist", kind, "-codec_whitelist", CODECS]
    return [*limits, "-threads", "1", "-f", kind.partition(",")[0], "-i", "file:/proc/self/fd/0"]


def _run(command: Sequence[str], file: IO[bytes], limit_s: float) -> bytes:
    """The output of `command`. Whatever fails or hangs was given a damaged file. Raises Refused."""
    try:
        done = subprocess.run(
            command,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C"},
            timeout=limit_s,
            check=True,
        )
    except subprocess.SubprocessError:
        raise Refused("damaged_audio") from None
    return done.stdout
