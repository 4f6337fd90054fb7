import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.spool.sound import HEADER_BYTES, NotARecording, Sound, join, read_wav, write_wav

pytestmark = pytest.mark.unit

PCM = st.binary(max_size=4000).map(lambda data: data[: len(data) // 2 * 2])


def wav(channels: int = 1, rate: int = 8000, width: int = 2, frames: int = 800) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as audio:
        audio.setnchannels(channels)
        audio.setframerate(rate)
        audio.setsampwidth(width)
        audio.writeframes(bytes(frames * channels * width))
    return out.getvalue()


def with_lengths(whole: bytes, riff: int, data: int) -> bytes:
    return whole[:4] + struct.pack("<I", riff) + whole[8:40] + struct.pack("<I", data) + whole[44:]


@given(PCM)
def test_what_was_written_is_read(pcm: bytes) -> None:
    assert read_wav(write_wav(pcm)) == Sound(pcm, True)


def test_the_standard_library_reads_what_we_write() -> None:
    with wave.open(io.BytesIO(write_wav(b"\x01\x02" * 80))) as audio:
        assert (audio.getnchannels(), audio.getframerate(), audio.getsampwidth()) == (1, 8000, 2)
        assert audio.readframes(999) == b"\x01\x02" * 80


@given(PCM, st.integers(min_value=0))
def test_a_file_cut_anywhere_is_read_as_far_as_it_goes_or_refused(pcm: bytes, at: int) -> None:
    whole = write_wav(pcm)
    cut = whole[: at % (len(whole) + 1)]
    try:
        sound = read_wav(cut)
    except NotARecording:
        assert len(cut) < HEADER_BYTES
    else:
        assert pcm.startswith(sound.pcm)
        assert len(cut) - HEADER_BYTES - len(sound.pcm) in (0, 1)
        assert sound.header_right == (len(cut) in (len(whole), len(whole) - 1) and len(cut) == len(whole))


@given(st.binary(max_size=300))
def test_rubbish_is_refused_or_read_but_nothing_is_invented(data: bytes) -> None:
    try:
        sound = read_wav(data)
    except NotARecording:
        return
    assert sound.pcm in data


@given(st.binary(max_size=64), st.integers(0, 43), PCM)
def test_a_damaged_header_never_raises_anything_else(damage: bytes, at: int, pcm: bytes) -> None:
    whole = write_wav(pcm)
    try:
        sound = read_wav(whole[:at] + damage + whole[at + len(damage) :])
    except NotARecording:
        return
    assert len(sound.pcm) <= len(whole) + len(damage)


@pytest.mark.parametrize(("riff", "data"), [(0, 0), (36, 0), (0, 9999), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_header_that_a_crash_left_is_repaired(riff: int, data: int) -> None:
    pcm = b"\x10\x20" * 4000
    assert read_wav(with_lengths(write_wav(pcm), riff, data)) == Sound(pcm, False)


def test_a_shorter_length_than_the_file_is_believed() -> None:
    assert read_wav(with_lengths(write_wav(b"\x01\x02" * 10), 0, 8)) == Sound(b"\x01\x02" * 4, False)


def test_an_odd_byte_at_the_end_is_no_sample() -> None:
    assert read_wav(with_lengths(write_wav(b"\x01\x02" * 10), 0, 0) + b"\x03").pcm == b"\x01\x02" * 10


def test_other_chunks_are_passed_over() -> None:
    whole = write_wav(b"\x01\x02" * 10)
    other = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert read_wav(whole[:12] + other + whole[12:36] + other + whole[36:]).pcm == b"\x01\x02" * 10


@pytest.mark.parametrize(
    "data",
    [
        wav(channels=2),
        wav(rate=16000),
        wav(width=1),
        write_wav(b"")[:20] + struct.pack("<H", 7) + write_wav(b"")[22:],
        b"",
        b"RIFF",
        write_wav(b"")[:36],
        b"\x1aE\xdf\xa3" * 20,
    ],
    ids=["stereo", "16 kHz", "8 bit", "u-law", "empty", "stub", "no data chunk", "something else"],
)
def test_what_asterisk_would_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(NotARecording):
        read_wav(data)


def samples(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


@pytest.mark.parametrize(
    ("pcm", "voice"),
    [
        (b"", False),
        (bytes(16000), False),
        (samples(*[100] * 8000), False),
        (samples(*[3000] * 800), False),
        (samples(*[3000] * 1600), True),
        (samples(*[-128] * 1600), True),
        (samples(-32768, 32767) * 800, True),
        (samples(*[0] * 799, 5000, *[0] * 800), False),
    ],
    ids=["nothing", "silence", "hum", "a click's length", "0.2 s", "negative", "loudest", "one click"],
)
def test_a_voice_is_told_from_silence(pcm: bytes, voice: bool) -> None:
    assert Sound(pcm, True).holds_a_voice() is voice


def test_joined_sounds_follow_each_other() -> None:
    first, second = Sound(b"\x01\x02", True), Sound(b"\x03\x04", False)
    assert join([first]) is first
    assert join([first, second]) == Sound(b"\x01\x02\x03\x04", False)
