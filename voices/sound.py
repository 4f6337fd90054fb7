"""Samples made fit for the telephone. Only the child processes import this: numpy is large.

Samples are float64 arrays of one channel, full scale 1.0.
"""

import io
import wave
from typing import TypeAlias

import numpy

Samples: TypeAlias = "numpy.typing.NDArray[numpy.float64]"

RATE = 8000
BAND_HZ = (100.0, 250.0, 3300.0, 3600.0)
"""Nothing below the first and above the last; everything between the middle two."""

SPEECH_DBFS = -20.0
"""RMS of the spoken parts; a full-scale square wave is 0 dBFS."""

PEAK_DBFS = -3.0
LARGEST_GAIN_DB = 30.0
SILENCE_DBFS = -55.0
"""Blocks below it hold no speech."""

SHORTEST_SOUND_S = 0.3
EDGE_S = 0.15
"""Silence left at both ends: enough that no first sound is lost, short enough that nobody waits."""

BLOCK_S = 0.1
FRAME_S = 0.01
LOOK_AHEAD_S = 0.005


class NothingAudible(Exception):
    """There is no sound in it, or next to none."""


def telephone_wav(samples: Samples) -> bytes:
    """Trim, level and limit 8 kHz `samples`, and give them as a WAV ready to play. Raises NothingAudible."""
    loud = limited(levelled(trimmed(samples)))
    edge = silence(EDGE_S)
    return wav(numpy.concatenate([edge, loud, edge]))


def telephone_band(samples: Samples, rate: float) -> Samples:
    """Resample from `rate` Hz to 8 kHz, keeping only what a telephone carries."""
    length = round(len(samples) * RATE / rate)
    if not length:
        return silence(0)
    spectrum = numpy.fft.rfft(samples)
    hertz = numpy.arange(len(spectrum)) * rate / len(samples)
    weighted = spectrum * numpy.interp(hertz, BAND_HZ, (0.0, 1.0, 1.0, 0.0))
    resampled: Samples = numpy.fft.irfft(weighted[: length // 2 + 1], length) * (length / len(samples))
    return resampled


def trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends. Raises NothingAudible."""
    frame = int(FRAME_S * RATE)
    energies = _energies(samples, frame)
    level = speech_energy(samples)
    audible = numpy.flatnonzero(energies > level * _power(-35.0))
    heard: Samples = samples[audible[0] * frame : (audible[-1] + 1) * frame]
    return heard


def speech_energy(samples: Samples) -> float:
    """Mean square of the parts that somebody speaks in, gated as in ITU-R BS.1770. Raises NothingAudible."""
    blocks = _energies(samples, int(BLOCK_S * RATE))
    sounding = blocks[blocks > _power(SILENCE_DBFS)]
    if len(sounding) * BLOCK_S < SHORTEST_SOUND_S:
        raise NothingAudible
    return float(sounding[sounding > sounding.mean() * _power(-10.0)].mean())


def levelled(samples: Samples) -> Samples:
    """At the speech level, whatever that does to the peaks. Raises NothingAudible."""
    gain = (_power(SPEECH_DBFS) / speech_energy(samples)) ** 0.5
    louder: Samples = samples * min(gain, _power(LARGEST_GAIN_DB) ** 0.5)
    return louder


def limited(samples: Samples) -> Samples:
    """With no peak above the limit: the gain goes down smoothly before a peak, and up again after it."""
    limit = _power(PEAK_DBFS) ** 0.5
    reach = int(LOOK_AHEAD_S * RATE)
    window = 2 * reach + 1
    needed = numpy.minimum(1.0, limit / numpy.maximum(numpy.abs(samples), limit / 1e6))
    padded = numpy.pad(needed, 2 * reach, constant_values=1.0)
    lowest = numpy.lib.stride_tricks.sliding_window_view(padded, window).min(axis=1)
    # Each gain is a mean of minima that all saw this very sample, so it is never above what is needed.
    sums = numpy.concatenate([[0.0], numpy.cumsum(lowest)])
    softened: Samples = samples * numpy.minimum((sums[window:] - sums[:-window]) / window, needed)
    return softened


def silence(seconds: float) -> Samples:
    return numpy.zeros(round(seconds * RATE))


def wav(samples: Samples) -> bytes:
    """8 kHz samples as a 16-bit mono WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(RATE)
        audio.writeframes(numpy.round(numpy.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def _energies(samples: Samples, length: int) -> Samples:
    whole = samples[: len(samples) // length * length].reshape(-1, length)
    energies: Samples = (whole**2).mean(axis=1)
    return energies


def _power(decibels: float) -> float:
    return float(10 ** (decibels / 10))
