"""Speech for tests: synthesised, then as a telephone line delivers it."""

import io
import warnings
import wave
from functools import cache
from pathlib import Path

import numpy
import pyopenjtalk

from transcribe.speech import Samples, resampled

MODELS = Path(__file__).parent / "fixtures" / "models"
RATE_HZ = 8000

WORDS = "明日の午後三時の打ち合わせの件で、お電話しました。"
WORDS_AS_TEXT = "明日の午後3時の打ち合わせの件でお電話しました"
NUMBER = "電話番号は、ゼロ三、一二三四、五六七八です。"
NUMBER_AS_TEXT = "電話番号は0312345678です"


@cache
def spoken(text: str) -> Samples:
    """`text` in 8 kHz as it comes out of a G.711 line, peaks at half of full scale."""
    with warnings.catch_warnings():
        # The synthesiser's own, about what it imports.
        warnings.simplefilter("ignore")
        samples, rate_hz = pyopenjtalk.tts(text)
    levelled = samples / numpy.abs(samples).max() * 16000
    return through_mu_law(resampled(levelled.astype(numpy.int16), rate_hz, RATE_HZ))


def through_mu_law(samples: Samples) -> Samples:
    """Coded and decoded by the continuous µ-law with 8 bits."""
    scaled = samples.astype(numpy.float64) / 32768
    coded = numpy.sign(scaled) * numpy.log1p(255 * numpy.abs(scaled)) / numpy.log1p(255)
    stepped = numpy.round(coded * 127) / 127
    decoded = numpy.sign(stepped) * (numpy.power(256.0, numpy.abs(stepped)) - 1) / 255
    heard: Samples = numpy.rint(decoded * 32767).astype(numpy.int16)
    return heard


def silence(seconds: float) -> Samples:
    return numpy.zeros(round(seconds * RATE_HZ), numpy.int16)


def pcm(*parts: Samples) -> bytes:
    """Parts one after the other, as little-endian bytes."""
    return numpy.concatenate(parts).astype("<i2").tobytes()


def wav_of(samples: bytes, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples)
    return out.getvalue()
