"""The synthesiser: what it reads, how its voices differ, and the child it lives in."""

import asyncio
import io
import itertools
import os
import signal
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy
import pyopenjtalk
import pytest

from voices import sound
from voices.errors import Busy, Refused, Unavailable
from voices.limits import LONGEST_QUEUE, LONGEST_TEXT
from voices.patterns import DEFAULT, PATTERNS, Pattern
from voices.reading import parts_of
from voices.sound import RATE, Samples
from voices.studio import Studio
from voices.synthesis import spoken

pytestmark = [
    pytest.mark.integration,
    # The synthesiser's own slips.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyopenjtalk.*"),
]

TEXT = "お電話ありがとうございます。50秒以内でご用件をお話しください。"
DEADLINE_S = 30.0


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio()
    yield studio
    await studio.close()


def samples_of(wav: bytes) -> Samples:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def pitch(samples: Samples) -> float:
    """The median fundamental in hertz of the voiced frames, by autocorrelation."""
    length = RATE // 25
    found = []
    for start in range(0, len(samples) - length, length // 2):
        frame = samples[start : start + length] * numpy.hanning(length)
        alike = numpy.fft.irfft(numpy.abs(numpy.fft.rfft(frame, 4 * length)) ** 2)[:length]
        lag = RATE // 450 + alike[RATE // 450 : RATE // 70].argmax()
        if (frame**2).mean() > 1e-4 and alike[lag] > 0.5 * alike[0]:
            found.append(RATE / lag)
    return float(numpy.median(found))


def longest_silence_s(samples: Samples) -> float:
    frames = numpy.abs(samples[: len(samples) // 80 * 80]).reshape(-1, 80).max(axis=1) > 0.003
    sounding = numpy.flatnonzero(frames)
    return float(numpy.diff(sounding).max() - 1) / 100


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("発信音の後に", "ハッシンオンノアトニ"),
        ("50秒以内", "ゴジュービョーイナイ"),
        ("「#」を押す", "「シャープ」ヲオス"),
        ("㈱あさひ", "カブシキガイシャアサヒ"),
        ("14:05に", "ジューヨジゴフンニ"),
        ("9:00〜18:30", "クジカラジューハチジサンジュップン"),
        ("03-1234-5678", "ゼロサン、イチニーサンヨン、ゴーロクナナハチ"),
        ("月〜金", "ゲツヨーカラキンヨー"),
        ("11/24", "ジューイチガツニジューヨッカ"),
        ("はいっ", "ハイ"),
        ("info@example.com", "インフォアットマークエグザンプルドットコム"),
        ("😀です", "デス"),
    ],
)
def test_readings_by_the_synthesisers_own_front_end(written: str, heard: str) -> None:
    (part,) = parts_of(written)
    assert pyopenjtalk.g2p(part.text, kana=True) == heard


def test_four_voices_are_told_apart_by_pitch_and_speak_alike_long() -> None:
    heard = {pattern.id: samples_of(spoken(TEXT, pattern)) for pattern in PATTERNS.values()}
    pitches = sorted(pitch(samples) for samples in heard.values())
    assert len(pitches) == 4
    for lower, higher in itertools.pairwise(pitches):
        # Three half-tones: nobody takes one for the other.
        assert higher / lower > 2 ** (3 / 12)
    assert pitches[1] < 200 < pitches[2]
    lengths = [len(samples) / RATE for samples in heard.values()]
    assert max(lengths) / min(lengths) < 1.2


def test_level_peak_and_edges() -> None:
    for pattern in PATTERNS.values():
        samples = samples_of(spoken(TEXT, pattern))
        level = 10 * numpy.log10(sound.speech_energy(samples))
        assert level == pytest.approx(sound.SPEECH_DBFS, abs=1.0)
        assert numpy.abs(samples).max() <= 10 ** (sound.PEAK_DBFS / 20) + 1e-3
        sounding = numpy.flatnonzero(numpy.abs(samples) > 0.01)
        assert 0.1 < sounding[0] / RATE < 0.4
        assert 0.1 < (len(samples) - sounding[-1]) / RATE < 0.5


@pytest.mark.parametrize(
    ("sign", "least_s", "most_s"), [("", 0.0, 0.75), ("っっ", 0.95, 1.4), ("っっっっ", 1.95, 2.4)]
)
def test_a_pause_is_heard(sign: str, least_s: float, most_s: float) -> None:
    samples = samples_of(spoken(f"お電話ありがとうございます。{sign}ただいま留守です。", DEFAULT))
    assert least_s < longest_silence_s(samples) < most_s


@pytest.mark.parametrize("text", ["", "★", "Привет", "ー", "っっ"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        spoken(text, DEFAULT)
    assert refused.value.code == "unreadable"


def test_unreadable_parts_do_not_spoil_the_rest() -> None:
    assert samples_of(spoken("Приветです。っっПриветっっ。ただいま留守です", DEFAULT)).size > RATE


async def test_requests_at_once_get_each_its_own(studio: Studio) -> None:
    texts = [f"{number}番のお客様、受付までお越しください。" for number in range(3)]
    together = await asyncio.gather(*(studio.speak(text, DEFAULT) for text in texts))
    assert together == [spoken(text, DEFAULT) for text in texts]


async def test_longest_text_comes_within_the_limit(studio: Studio) -> None:
    text = ("お電話ありがとうございます。" * LONGEST_TEXT)[:LONGEST_TEXT]
    assert len(samples_of(await studio.speak(text, DEFAULT))) > 60 * RATE


async def test_an_unreadable_text_leaves_the_synthesiser_alive(studio: Studio) -> None:
    with pytest.raises(Refused):
        await studio.speak("★", DEFAULT)
    pid = studio.synthesiser_pid
    assert pid is not None
    assert await studio.speak("はい、どうぞ。", DEFAULT)
    assert studio.synthesiser_pid == pid


async def until_it_works(studio: Studio) -> int:
    """Until the child is there and has used processor time; gives its pid."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if pid := studio.synthesiser_pid:
            return pid
        await asyncio.sleep(0.01)
    raise AssertionError("no synthesiser was started")


async def test_killed_in_the_middle_of_a_request(studio: Studio) -> None:
    asked = asyncio.create_task(studio.speak("お電話ありがとうございます。" * 30, DEFAULT))
    os.kill(await until_it_works(studio), signal.SIGKILL)
    with pytest.raises(Unavailable):
        await asked
    assert await studio.speak("はい、どうぞ。", DEFAULT) == spoken("はい、どうぞ。", DEFAULT)


async def test_one_that_hangs_is_replaced(studio: Studio) -> None:
    await studio.speak("はい、どうぞ。", DEFAULT)
    hanging = await until_it_works(studio)
    os.kill(hanging, signal.SIGSTOP)
    studio.synthesis_limit_s = 0.3
    with pytest.raises(Unavailable):
        await studio.speak("はい、どうぞ。", DEFAULT)
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)
    studio.synthesis_limit_s = DEADLINE_S
    assert await studio.speak("はい、どうぞ。", DEFAULT)


async def test_a_request_given_up_does_not_answer_the_next(studio: Studio) -> None:
    asked = asyncio.create_task(studio.speak("お電話ありがとうございます。" * 30, DEFAULT))
    await until_it_works(studio)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await studio.speak("はい、どうぞ。", DEFAULT) == spoken("はい、どうぞ。", DEFAULT)


async def test_ends_when_nobody_asks_and_comes_back() -> None:
    studio = Studio(idle_s=0.1)
    await studio.speak("はい、どうぞ。", DEFAULT)
    deadline = time.monotonic() + DEADLINE_S
    while studio.synthesiser_pid is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert await studio.speak("はい、どうぞ。", DEFAULT)
    await studio.close()
    assert studio.synthesiser_pid is None


async def test_the_child_gets_none_of_our_settings(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENWABAN_SECRET_KEY", "sixteen signs or more")
    await studio.speak("はい、どうぞ。", DEFAULT)
    environment = await asyncio.to_thread(Path(f"/proc/{studio.synthesiser_pid}/environ").read_bytes)
    assert b"PATH=" in environment and b"DENWABAN" not in environment


async def test_too_many_are_told_to_come_back(studio: Studio) -> None:
    pattern: Pattern = DEFAULT
    asked = [asyncio.create_task(studio.speak("はい、どうぞ。", pattern)) for _ in range(LONGEST_QUEUE + 3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    busy = [answer for answer in answers if isinstance(answer, Busy)]
    assert 1 <= len(busy) <= 3
    assert sum(isinstance(answer, bytes) for answer in answers) == len(asked) - len(busy)
