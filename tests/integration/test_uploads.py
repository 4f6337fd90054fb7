"""Uploaded files, good and hostile, through the real ffmpeg."""

import io
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settings.tools import tool_command
from tests.integration.test_speaking import samples_of
from voices import sound
from voices import studio as studio_module
from voices.decoding import prepared
from voices.errors import REASONS, Refused, Unavailable
from voices.limits import LONGEST_PROMPT_S
from voices.sound import RATE
from voices.studio import CHECKOUT, Studio

pytestmark = pytest.mark.integration

SPEECH = CHECKOUT / "launch" / "demo" / "end.wav"
FORMATS = {
    "wav": ("-c:a", "pcm_s16le", "-ar", "44100", "-ac", "2"),
    "float.wav": ("-c:a", "pcm_f32le", "-ar", "48000"),
    "mp3": ("-c:a", "libmp3lame", "-b:a", "64k", "-ar", "44100"),
    "m4a": ("-c:a", "aac", "-ar", "44100"),
    "vorbis.ogg": ("-c:a", "libvorbis", "-ar", "44100"),
    "opus.ogg": ("-c:a", "libopus"),
    "flac": ("-c:a", "flac"),
}


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([*tool_command("ffmpeg"), "-nostdin", "-v", "error", "-y", *arguments], check=True)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same few seconds of speech in every format that is taken."""
    folder = tmp_path_factory.mktemp("uploads")
    for name, how in FORMATS.items():
        ffmpeg("-i", SPEECH, *how, folder / f"speech.{name}")
    return folder


def refusal(content: bytes) -> str:
    """Why a file of this content is refused."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        with pytest.raises(Refused) as refused:
            prepared(file)
    return refused.value.code


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_the_same_prompt(files: Path, name: str) -> None:
    with (files / f"speech.{name}").open("rb") as file:
        samples = samples_of(prepared(file))
    original = samples_of(SPEECH.read_bytes())
    assert len(samples) == pytest.approx(len(original), abs=RATE * 0.2)
    assert 10 * numpy.log10(sound.speech_energy(samples)) == pytest.approx(sound.SPEECH_DBFS, abs=1.0)
    assert numpy.abs(samples).max() <= 10 ** (sound.PEAK_DBFS / 20) + 1e-3
    # The same speech: the loudness rises and falls alike.
    shapes = [
        numpy.sqrt((one[: RATE * 5].reshape(-1, RATE // 20) ** 2).mean(axis=1)) for one in (samples, original)
    ]
    assert max(numpy.corrcoef(shapes[0], numpy.roll(shapes[1], shift))[0, 1] for shift in range(-4, 5)) > 0.9


@pytest.mark.parametrize("gain_db", ["-30", "20"])
def test_quiet_and_overdriven_files_come_out_at_the_level(tmp_path: Path, gain_db: str) -> None:
    ffmpeg("-i", SPEECH, "-af", f"volume={gain_db}dB", "-c:a", "pcm_f32le", tmp_path / "odd.wav")
    with (tmp_path / "odd.wav").open("rb") as file:
        samples = samples_of(prepared(file))
    assert 10 * numpy.log10(sound.speech_energy(samples)) == pytest.approx(sound.SPEECH_DBFS, abs=1.0)
    assert numpy.abs(samples).max() <= 10 ** (sound.PEAK_DBFS / 20) + 1e-3


def test_cover_picture_is_fine_and_film_is_not(tmp_path: Path) -> None:
    picture, covered, film = tmp_path / "cover.png", tmp_path / "covered.mp3", tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", picture)
    ffmpeg("-i", SPEECH, "-i", picture, "-map", "0", "-map", "1", "-c:v", "copy", covered)
    ffmpeg("-i", SPEECH, "-f", "lavfi", "-i", "color=red:s=64x64:d=2", "-c:v", "mpeg4", "-c:a", "aac", film)
    with covered.open("rb") as file:
        assert len(samples_of(prepared(file))) > RATE
    assert refusal(film.read_bytes()) == "has_video"


def zipped_zeros() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.wav", bytes(50_000_000))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(1000), "not_audio"),
        (zipped_zeros(), "not_audio"),
        (b"", "not_audio"),
        (b"RIFF", "not_audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not_audio"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff" + bytes(100), "damaged_audio"),
        (
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0",
            "damaged_audio",
        ),
        (b"ID3\x04\0\0\0\0\0\x0a" + bytes(5000), "damaged_audio"),
        (b"OggS" + b"\xff" * 5000, "damaged_audio"),
        (b"fLaC" + b"\xff" * 5000, "damaged_audio"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + b"\xff" * 5000, "damaged_audio"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_sound_is_refused(content: bytes, code: str) -> None:
    assert refusal(content) == code


def test_silence_is_refused(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo", "-t", "3", tmp_path / "silence.wav")
    assert refusal((tmp_path / "silence.wav").read_bytes()) == "inaudible"


@pytest.fixture(scope="session")
def long_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    minute = ("-f", "lavfi", "-i", "sine=500:r=8000", "-t", "60", "-c:a", "libmp3lame", "-b:a", "8k")
    ffmpeg(*minute, "-write_xing", "0", "-id3v2_version", "0", folder / "minute.mp3")
    (folder / "two-hours.mp3").write_bytes((folder / "minute.mp3").read_bytes() * 120)
    ffmpeg("-f", "lavfi", "-i", "sine=500:r=8000", "-t", "1800", "-c:a", "flac", folder / "honest.flac")
    flac = bytearray((folder / "honest.flac").read_bytes())
    # STREAMINFO's count of samples: 0 says that it is not known.
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    (folder / "silent-about-it.flac").write_bytes(flac)
    return folder


@pytest.mark.parametrize("name", ["two-hours.mp3", "honest.flac", "silent-about-it.flac"])
def test_long_files_are_refused_without_decoding_them_all(long_files: Path, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert refusal((long_files / name).read_bytes()) == "audio_too_long"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 5.0


def test_a_length_just_within_the_limit_is_taken(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=500:r=8000", "-t", str(LONGEST_PROMPT_S), tmp_path / "long.wav")
    with (tmp_path / "long.wav").open("rb") as file:
        assert len(samples_of(prepared(file))) == pytest.approx(LONGEST_PROMPT_S * RATE, abs=RATE)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


@pytest.mark.parametrize("before", [b"", b"ID3\x04\0\0\0\0\0\x00", b"\xff\xfb\x90\x64"])
def test_playlists_open_nothing(listening: socket.socket, tmp_path: Path, before: bytes) -> None:
    port = listening.getsockname()[1]
    playlist = (
        f"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    )
    assert refusal(before + playlist.encode()) in {"not_audio", "damaged_audio"}
    with pytest.raises(BlockingIOError):
        listening.accept()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_garbled_files_are_a_prompt_or_a_refusal(files: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FORMATS)))
    content = bytearray((files / f"speech.{name}").read_bytes())
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(4, min(len(content), 4000) - 5))
        content[at : at + 4] = struct.pack("<I", data.draw(st.integers(0, 2**32 - 1)))
    del content[data.draw(st.integers(12, len(content))) :]
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            wav = prepared(file)
        except Refused as refused:
            assert refused.code in REASONS
        else:
            assert len(samples_of(wav)) <= (LONGEST_PROMPT_S + 1) * RATE


async def test_the_child_prepares_what_the_process_would(files: Path) -> None:
    studio = Studio()
    path = files / "speech.m4a"
    with path.open("rb") as file, path.open("rb") as same:
        assert await studio.prepare(file) == prepared(same)


async def test_a_child_that_takes_too_long_is_ended(files: Path) -> None:
    studio = Studio(preparing_limit_s=0.05)
    with (files / "speech.m4a").open("rb") as file, pytest.raises(Refused) as refused:
        await studio.prepare(file)
    assert refused.value.code == "damaged_audio"


async def test_a_missing_ffmpeg_is_not_the_files_fault(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another checkout, in which nothing was set up.
    bare = files / "checkout"
    for package in ("voices", "settings"):
        shutil.copytree(CHECKOUT / package, bare / package, dirs_exist_ok=True)
    monkeypatch.setattr(studio_module, "CHECKOUT", bare)
    with (files / "speech.m4a").open("rb") as file, pytest.raises(Unavailable) as failed:
        await Studio().prepare(file)
    assert "make setup" in str(failed.value)


def test_the_child_cannot_write_or_grow(tmp_path: Path) -> None:
    target = tmp_path / "written"
    program = (
        "import sys; from voices.decoding import limit_this_process; limit_this_process()\n"
        f"try: open({str(target)!r}, 'wb', 0).write(b'x' * 100)\n"
        "except OSError as full: print(full.errno)\n"
        "try: bytearray(2 * 1024 ** 3)\n"
        "except MemoryError: print('memory')\n"
    )
    # Python itself ignores the signal that a full file size limit sends.
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["27", "memory"]
    assert target.read_bytes() == b""
