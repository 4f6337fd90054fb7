"""G.711, tones and measuring."""

from array import array
from pathlib import Path

import pytest

from tests.sip.audio import (
    LOUD_RMS,
    decode_alaw,
    decode_ulaw,
    dominant_frequency,
    encode_alaw,
    encode_ulaw,
    frames,
    read_wav,
    rms,
    share_of,
    silence,
    speech_like,
    tone,
    write_wav,
)

pytestmark = pytest.mark.unit

KNOWN_ULAW = {0: 0xFF, 8: 0xFE, -8: 0x7E, 32767: 0x80, -32768: 0x00, 1000: 0xCE}
KNOWN_ALAW = {0: 0xD5, 32767: 0xAA, -32768: 0x2A, 1000: 0xFA}


@pytest.mark.parametrize(("sample", "code"), KNOWN_ULAW.items())
def test_ulaw_of_known_samples(sample: int, code: int) -> None:
    assert encode_ulaw(array("h", [sample])) == bytes([code])


@pytest.mark.parametrize(("sample", "code"), KNOWN_ALAW.items())
def test_alaw_of_known_samples(sample: int, code: int) -> None:
    assert encode_alaw(array("h", [sample])) == bytes([code])


def test_every_code_comes_back_from_its_value() -> None:
    codes = bytes(range(256))
    # µ-law has a negative zero, which no encoder makes.
    assert encode_ulaw(decode_ulaw(codes)) == codes.replace(b"\x7f", b"\xff")
    assert encode_alaw(decode_alaw(codes)) == codes


@pytest.mark.parametrize("size", [100, 1000, 10000, 32000])
def test_g711_is_near_the_truth(size: int) -> None:
    samples = array("h", [size, -size])
    for decoded in (decode_ulaw(encode_ulaw(samples)), decode_alaw(encode_alaw(samples))):
        assert list(decoded) == pytest.approx([size, -size], rel=0.04, abs=8)


@pytest.mark.parametrize("frequency_hz", [100, 440, 1000, 1100, 2100, 3400])
def test_finds_the_frequency_of_a_tone(frequency_hz: int) -> None:
    samples = decode_ulaw(encode_ulaw(tone(frequency_hz, 0.6)))
    assert dominant_frequency(samples) == pytest.approx(frequency_hz, abs=2)
    assert share_of(samples, frequency_hz) > 0.98
    assert share_of(samples, frequency_hz + 200) < 0.05


def test_silence_has_no_frequency() -> None:
    assert dominant_frequency(silence(0.5)) == 0
    assert share_of(silence(0.5), 440) == 0
    assert rms(array("h")) == 0


def test_speech_is_loud_throughout_and_not_clipped() -> None:
    speech = speech_like(1.0)
    assert min(rms(frame) for frame in frames(speech)) > 2 * LOUD_RMS
    assert max(map(abs, speech)) < 32000


def test_frames_are_whole() -> None:
    cut = list(frames(tone(440, 0.05)))
    assert [len(frame) for frame in cut] == [160, 160, 160]
    assert not any(cut[2][80:])


def test_wav_survives(tmp_path: Path) -> None:
    write_wav(tmp_path / "speech.wav", speech_like(0.1))
    assert read_wav(tmp_path / "speech.wav") == speech_like(0.1)
