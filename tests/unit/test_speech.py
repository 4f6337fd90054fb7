"""Silence is cut, speech never is, and another sample rate sounds the same."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcribe.speech import EDGE_S, Samples, resampled, samples_of, spoken_part

pytestmark = pytest.mark.unit

RATE_HZ = 8000


def sine(hertz: float, seconds: float, level: float = 8000, rate_hz: int = RATE_HZ) -> Samples:
    at = numpy.arange(round(seconds * rate_hz)) / rate_hz
    return numpy.rint(level * numpy.sin(2 * numpy.pi * hertz * at)).astype(numpy.int16)


def noise(seconds: float, level: float) -> Samples:
    made = numpy.random.default_rng(5).normal(0, level, round(seconds * RATE_HZ))
    return numpy.rint(made).astype(numpy.int16)


def quiet(seconds: float) -> Samples:
    return numpy.zeros(round(seconds * RATE_HZ), numpy.int16)


@pytest.mark.parametrize("hum", [0.0, 20.0])
def test_silence_at_both_ends_is_cut(hum: float) -> None:
    sound = numpy.concatenate([quiet(3), sine(300, 2), quiet(4)]) + noise(9, hum)
    first, last = spoken_part(sound, RATE_HZ)
    assert abs(first / RATE_HZ - (3 - EDGE_S)) < 0.05
    assert abs(last / RATE_HZ - (5 + EDGE_S)) < 0.05


def test_a_pause_in_the_middle_stays() -> None:
    sound = numpy.concatenate([sine(300, 1), quiet(6), sine(300, 1)])
    assert spoken_part(sound, RATE_HZ) == (0, len(sound))


@pytest.mark.parametrize("level", [40, 200, 2000, 30000])
def test_a_voice_of_any_level_is_kept(level: float) -> None:
    sound = numpy.concatenate([quiet(2), sine(300, 2, level), quiet(2)])
    first, last = spoken_part(sound, RATE_HZ)
    assert first <= 2 * RATE_HZ
    assert last >= 4 * RATE_HZ


def test_quiet_speech_after_a_loud_key_is_kept() -> None:
    """The voice 26 dB below the key, the noise 20 dB below the voice."""
    sound = numpy.concatenate([sine(941, 0.2, 20000), quiet(1), sine(300, 3, 1000)]) + noise(4.2, 70)
    assert spoken_part(sound, RATE_HZ)[1] == len(sound)


def test_speech_in_loud_noise_is_kept() -> None:
    sound = noise(6, 3000)
    sound[2 * RATE_HZ : 4 * RATE_HZ] += sine(300, 2, 6000)
    assert spoken_part(sound, RATE_HZ) == (0, len(sound))


def test_speech_from_beginning_to_end_is_kept() -> None:
    sound = sine(300, 5)
    assert spoken_part(sound, RATE_HZ) == (0, len(sound))


@pytest.mark.parametrize("sound", [quiet(0), quiet(0.01), quiet(5), noise(5, 2)])
def test_silence_is_nothing(sound: Samples) -> None:
    first, last = spoken_part(sound, RATE_HZ)
    assert first == last


@given(st.binary(max_size=4000))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_sound(pcm: bytes) -> None:
    samples = samples_of(pcm)
    assert len(samples) == len(pcm) // 2
    first, last = spoken_part(samples, RATE_HZ)
    assert 0 <= first <= last <= len(samples)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(8000, 16000), (16000, 8000), (48000, 8000), (8000, 11025), (44100, 16000)]
)
def test_a_tone_stays_the_tone_it_was(from_hz: int, to_hz: int) -> None:
    out = resampled(sine(1000, 1, rate_hz=from_hz), from_hz, to_hz)
    expected = sine(1000, 1, rate_hz=to_hz)
    assert abs(len(out) - len(expected)) <= 1
    middle = slice(to_hz // 10, to_hz * 9 // 10)
    off = out[middle].astype(float) - expected[middle]
    # 8000 at the peak: 45 dB below it, with the phase right.
    assert numpy.sqrt(numpy.mean(off**2)) < 8000 / 180


def test_no_image_of_the_voice_appears_above_it() -> None:
    out = resampled(sine(3000, 1), 8000, 16000).astype(float)[1600:-1600]
    spectrum = numpy.abs(numpy.fft.rfft(out * numpy.hanning(len(out))))
    hertz = numpy.fft.rfftfreq(len(out), 1 / 16000)
    assert spectrum[hertz > 4300].max() < spectrum.max() / 1000


def test_what_a_lower_rate_cannot_hold_is_gone() -> None:
    out = resampled(sine(6000, 1, rate_hz=16000), 16000, 8000)[800:-800]
    assert numpy.abs(out).max() < 10


def test_full_scale_is_clipped_and_never_wraps() -> None:
    square = numpy.where(sine(400, 1) >= 0, 32767, -32768).astype(numpy.int16)
    out = resampled(square, 8000, 16000)[::2]
    assert numpy.all((out > 0) == (square > 0))


def test_the_same_rate_is_the_same_sound() -> None:
    sound = sine(440, 0.5)
    assert resampled(sound, 8000, 8000) is sound
