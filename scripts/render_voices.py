"""Render the voices that are kept in the repository. For developers; `make run` never needs it.

    python3 -m venv /tmp/voices && /tmp/voices/bin/pip install pyopenjtalk-plus scipy
    /tmp/voices/bin/python -m scripts.render_voices

The speech is the voice Mei (see docs/credits.md), band-limited for the telephone: 8 kHz, 16 bit, mono,
about -20 dBFS while somebody speaks. Japanese is read from `VOICES`; `#` must be spelt シャープ there.
"""

import json
import math
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyopenjtalk
from scipy import signal

RATE = 8000
SPEECH_LEVEL_DBFS = -20.0
PEAK_LIMIT_DBFS = -3.0
EDGE_S = 0.15
HOME = Path(__file__).parent.parent


@dataclass(frozen=True)
class Voice:
    """One spoken file: what a person calls it, and what it says, part by part with a pause between."""

    name: str
    parts: tuple[str, ...]
    half_tones: float = 0.0
    speed: float = 1.0
    pause_s: float = 0.5

    @property
    def text(self) -> str:
        return "".join(self.parts)


RECORD_HINT = (
    "発信音の後に、50秒以内でご用件をお話しください。",
    "録音が終わりましたら、シャープを押してください。",
)
VOICES = {
    "asterisk-conf/sounds/no-answer.wav": Voice(
        "応答なしの案内",
        ("ただいま電話に出ることができません。", "おそれいりますが、後ほどおかけ直しください。"),
    ),
    "launch/demo/start.wav": Voice(
        "標準の開始案内",
        (
            "お電話ありがとうございます。",
            "申し訳ございませんが、ただいま電話に出ることができません。",
            *RECORD_HINT,
        ),
    ),
    "launch/demo/start-holiday.wav": Voice(
        "休業日の開始案内",
        (
            "お電話ありがとうございます。",
            "申し訳ございませんが、本日は休業日をいただいております。",
            *RECORD_HINT,
        ),
    ),
    "launch/demo/end.wav": Voice(
        "標準の終了案内",
        ("ご伝言を承りました。", "お電話ありがとうございました。失礼いたします。"),
    ),
    "scripts/demo_caller.wav": Voice(
        "伝言の例",
        (
            "もしもし、山田商店の山田です。",
            "来週火曜日の打ち合わせを、午後3時に変更していただきたく、お電話しました。",
            "折り返しお願いします。",
        ),
        half_tones=-3.0,
        speed=1.15,
        pause_s=0.4,
    ),
}


def speech(voice: Voice) -> "numpy.ndarray":
    """The samples of a voice at 8 kHz, full scale 1.0."""
    pause, edge = numpy.zeros(int(voice.pause_s * RATE)), numpy.zeros(int(EDGE_S * RATE))
    pieces = [edge]
    for part in voice.parts:
        samples, rate = pyopenjtalk.tts(part, speed=voice.speed, half_tone=voice.half_tones)
        # resample_poly band-limits before it drops samples.
        pieces += [trimmed(signal.resample_poly(samples / 32768, RATE, rate)), pause]
    band = signal.butter(4, [200, 3400], "bandpass", fs=RATE, output="sos")
    return levelled(signal.sosfilt(band, numpy.concatenate([*pieces[:-1], edge])))


def trimmed(samples: "numpy.ndarray") -> "numpy.ndarray":
    """Without the silence that the synthesiser puts at both ends."""
    loud = numpy.flatnonzero(numpy.abs(samples) > numpy.abs(samples).max() / 100)
    return samples[loud[0] : loud[-1] + 1]


def levelled(samples: "numpy.ndarray") -> "numpy.ndarray":
    """Bring the spoken parts to the speech level, with the rare peak rounded off below the limit."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    energy = (frames**2).mean(axis=1)
    spoken = energy[energy > energy.max() / 1000].mean()
    scaled = samples * (10 ** (SPEECH_LEVEL_DBFS / 20) / math.sqrt(spoken))
    limit = 10 ** (PEAK_LIMIT_DBFS / 20)
    return limit * numpy.tanh(scaled / limit)


def tone(
    seconds: float = 0.4, hertz: float = 1000.0, dbfs: float = -15.0, fade_s: float = 0.01
) -> list[float]:
    """The tone after which a caller speaks; a full-scale sine is -3 dBFS, so the peak is 3 dB higher."""
    peak = math.sqrt(2) * 10 ** (dbfs / 20)
    count, fade = int(seconds * RATE), int(fade_s * RATE)

    def edge(index: int) -> float:
        near = min(index, count - 1 - index)
        return 0.5 - 0.5 * math.cos(math.pi * min(near / fade, 1.0))

    return [peak * edge(index) * math.sin(2 * math.pi * hertz * index / RATE) for index in range(count)]


def write(path: Path, samples: Sequence[float]) -> None:
    """Write samples of full scale 1.0 as telephone WAV, and say what was written."""
    numbers = array("h", (round(max(-1.0, min(1.0, sample)) * 32767) for sample in samples))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(numbers.tobytes())
    rms = math.sqrt(sum(number**2 for number in numbers) / len(numbers)) / 32768
    peak = max(map(abs, numbers)) / 32768
    level = [round(20 * math.log10(value), 1) for value in (peak, rms)]
    print(f"{path.relative_to(HOME)}: {len(numbers) / RATE:.2f} s, peak {level[0]} dBFS, RMS {level[1]} dBFS")


def main() -> None:
    """Render every file and the table of texts."""
    write(HOME / "asterisk-conf/sounds/tone.wav", tone())
    for path, voice in VOICES.items():
        write(HOME / path, speech(voice).tolist())
    texts = {
        Path(path).name: {"name": voice.name, "text": voice.text}
        for path, voice in VOICES.items()
        if path.startswith("launch/demo/")
    }
    listing = json.dumps(texts, ensure_ascii=False, indent=2)
    (HOME / "launch/demo/texts.json").write_text(listing + "\n")


if __name__ == "__main__":
    main()
