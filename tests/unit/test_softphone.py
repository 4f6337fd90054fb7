"""The softphone's wire format and files."""

import asyncio
import wave
from pathlib import Path

import pytest

from scripts.softphone import PhoneFailed, append_silence, configuration, encode_frame, read_frame

pytestmark = pytest.mark.unit


def stream(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_frames_are_read_one_after_the_other_until_the_end() -> None:
    reader = stream(encode_frame({"command": "dial"}) + encode_frame({"token": "#"}))
    assert await read_frame(reader) == {"command": "dial"}
    assert await read_frame(reader) == {"token": "#"}
    assert await read_frame(reader) is None


@pytest.mark.parametrize("cut", [1, 4, 10, 21])
async def test_a_stream_that_ends_within_a_frame_is_an_end(cut: int) -> None:
    assert await read_frame(stream(encode_frame({"command": "dial"})[:cut])) is None


def test_frame_counts_bytes() -> None:
    assert encode_frame({"a": "b"}) == b'10:{"a": "b"},'


def test_silence_follows_the_speech(tmp_path: Path) -> None:
    source, target = tmp_path / "speech.wav", tmp_path / "longer.wav"
    write_wav(source, 8000, b"\x01\x02" * 4000)
    assert append_silence(source, target, 2) == 0.5
    with wave.open(str(target)) as written:
        assert written.getnframes() == 4000 + 16000
        assert written.readframes(4001)[-4:] == b"\x01\x02\x00\x00"


def test_speech_of_another_rate_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "speech.wav", 16000, bytes(2))
    with pytest.raises(PhoneFailed, match="8 kHz"):
        append_silence(tmp_path / "speech.wav", tmp_path / "longer.wav", 1)


def test_configuration_stays_on_loopback(tmp_path: Path) -> None:
    text = configuration(Path("/modules"), tmp_path, 4444)
    assert "sip_listen 127.0.0.1:0\n" in text
    assert "ctrl_tcp_listen 127.0.0.1:4444\n" in text
    assert "0.0.0.0" not in text


def write_wav(path: Path, rate: int, frames: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(frames)
