"""Band, level, limit and edges, on sounds that are computed."""

import io
import wave

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voices import sound
from voices.sound import RATE, NothingAudible, Samples

pytestmark = pytest.mark.unit

CEILING = 10 ** (sound.PEAK_DBFS / 20)


def tone(seconds: float, hertz: float = 1000.0, peak: float = 0.1, rate: int = RATE) -> Samples:
    wave_form: Samples = peak * numpy.sin(2 * numpy.pi * hertz * numpy.arange(round(seconds * rate)) / rate)
    return wave_form


def dbfs(samples: Samples) -> float:
    return float(10 * numpy.log10((samples**2).mean()))


def read(wav: bytes) -> Samples:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


@pytest.mark.parametrize(
    ("hertz", "kept"), [(1000, True), (3000, True), (50, False), (3900, False), (6000, False)]
)
def test_only_the_telephones_band_is_kept(hertz: float, kept: bool) -> None:
    heard = sound.telephone_band(tone(1.0, hertz, rate=48_000), 48_000)
    assert len(heard) == RATE
    assert (dbfs(heard) > -24) if kept else (dbfs(heard) < -60)


def test_a_tone_keeps_its_pitch_or_moves_with_the_rate() -> None:
    for played_at, hertz in ((48_000, 1000), (43_200, 900)):
        heard = sound.telephone_band(tone(1.0, 1000, rate=48_000), played_at)
        assert numpy.abs(numpy.fft.rfft(heard)).argmax() * RATE / len(heard) == pytest.approx(hertz, abs=2)


@pytest.mark.parametrize("peak", [0.01, 0.1, 0.9, 3.0])
def test_quiet_and_loud_come_out_alike(peak: float) -> None:
    quiet = numpy.concatenate([sound.silence(1), tone(2, peak=peak), sound.silence(2)])
    heard = read(sound.telephone_wav(quiet))
    edge = round(sound.EDGE_S * RATE)
    assert len(heard) == pytest.approx(2 * RATE + 2 * edge, abs=RATE // 50)
    assert dbfs(heard[edge:-edge]) == pytest.approx(sound.SPEECH_DBFS, abs=0.5)


def test_pauses_do_not_count_towards_the_level() -> None:
    spoken = numpy.concatenate([tone(1), sound.silence(5), tone(1)])
    assert dbfs(read(sound.telephone_wav(spoken))[RATE // 2 : RATE]) == pytest.approx(
        sound.SPEECH_DBFS, abs=0.5
    )


@pytest.mark.parametrize(
    "samples",
    [
        sound.silence(0),
        sound.silence(3),
        tone(0.2),
        tone(2, peak=0.001),
        numpy.zeros(RATE * 3) + tone(0.01).sum(),
    ],
)
def test_next_to_nothing_is_refused(samples: Samples) -> None:
    with pytest.raises(NothingAudible):
        sound.telephone_wav(samples)


@settings(max_examples=50)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=400), st.integers(0, 5))
def test_the_limiter_lets_no_peak_through(values: list[float], repeats: int) -> None:
    samples = numpy.array(values * (repeats + 1))
    assert numpy.abs(sound.limited(samples)).max() <= CEILING + 1e-9


def test_the_limiter_leaves_what_is_quiet_alone_and_bends_no_wave() -> None:
    quiet = tone(0.5, peak=0.5)
    assert numpy.array_equal(sound.limited(quiet), quiet)
    # A gain that moves slowly makes no distortion: a loud tone stays a tone.
    loud = sound.limited(tone(1.0, peak=2.0))[RATE // 4 : -RATE // 4]
    spectrum = numpy.abs(numpy.fft.rfft(loud * numpy.hanning(len(loud)))) ** 2
    strongest = spectrum.argmax()
    assert spectrum[strongest - 3 : strongest + 4].sum() / spectrum.sum() > 0.99
