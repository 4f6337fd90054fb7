"""Render the voices that are kept in the repository. For developers; `make run` never needs it.

    .venv/bin/python -m scripts.render_voices

The speech is the voice Mei (see docs/credits.md), band-limited for the telephone: 8 kHz, 16 bit, mono,
about -20 dBFS while somebody speaks. Japanese is read from `VOICES`; `#` must be spelt シャープ there.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyopenjtalk

from voices.sound import RATE, Samples, silence, telephone_band, telephone_wav, trimmed, wav
from voices.synthesis import FULL_SCALE

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
    "asterisk-conf/sounds/busy.wav": Voice(
        "話し中の案内",
        ("ただいま、ほかの電話に出ております。", "おそれいりますが、後ほどおかけ直しください。"),
    ),
    "asterisk-conf/sounds/rejected.wav": Voice(
        "着信拒否の案内", ("おかけになった電話は、お受けすることができません。",)
    ),
    "asterisk-conf/sounds/outbound-invalid.wav": Voice(
        "番号の誤りの案内",
        ("おかけになった番号では発信できません。", "番号をお確かめのうえ、おかけ直しください。"),
    ),
    "asterisk-conf/sounds/outbound-not-allowed.wav": Voice(
        "発信制限の案内", ("この番号への発信は、許可されていません。", "管理者にお問い合わせください。")
    ),
    "asterisk-conf/sounds/outbound-no-number.wav": Voice(
        "発信者番号なしの案内",
        ("発信者番号として使える電話番号がないため、発信できません。", "設定をお確かめください。"),
    ),
    "asterisk-conf/sounds/outbound-no-credit.wav": Voice(
        "残高不足の案内",
        ("通話料金の残高が不足しているため、発信できません。", "管理者にお問い合わせください。"),
    ),
    "asterisk-conf/sounds/outbound-no-emergency.wav": Voice(
        "緊急通報不可の案内",
        (
            "この電話からは、緊急通報はできません。",
            "携帯電話か、公衆電話から、おかけください。",
        ),
    ),
    "asterisk-conf/sounds/outbound-unknown.wav": Voice(
        "未使用番号の案内",
        ("おかけになった電話番号は、現在使われておりません。", "番号をお確かめのうえ、おかけ直しください。"),
    ),
    "asterisk-conf/sounds/outbound-failed.wav": Voice(
        "接続不可の案内", ("ただいま電話がつながりません。", "しばらくたってから、おかけ直しください。")
    ),
    "asterisk-conf/sounds/outbound-try-again.wav": Voice(
        "一時発信不可の案内", ("ただいま発信できません。", "しばらくたってから、おかけ直しください。")
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
            # Words that the tests' small model knows.
            "もしもし、お世話になっております。株式会社高橋の田中です。",
            "明日の午後三時の打ち合わせの件で、お電話しました。",
            "四時半に変更をお願いします。折り返しご連絡ください。",
        ),
        half_tones=-3.0,
        speed=1.15,
        pause_s=0.4,
    ),
}


def speech(voice: Voice) -> bytes:
    """A voice as a WAV ready to play."""
    pieces: list[Samples] = []
    for part in voice.parts:
        samples, rate = pyopenjtalk.tts(part, speed=voice.speed, half_tone=voice.half_tones)
        pieces += [trimmed(telephone_band(samples / FULL_SCALE, rate)), silence(voice.pause_s)]
    return telephone_wav(numpy.concatenate(pieces))


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


# The beginning of Greensleeves, a song of the 16th century: half-tones above A4 (None: rest) and beats.
MELODY: tuple[tuple[int | None, float], ...] = (
    (0, 1), (3, 2), (5, 1), (7, 1.5), (8, 0.5), (7, 1), (5, 2), (2, 1), (-2, 1.5), (0, 0.5), (2, 1),
    (3, 2), (0, 1), (0, 1.5), (-1, 0.5), (0, 1), (2, 2), (-1, 1), (-5, 2), (0, 1),
    (3, 2), (5, 1), (7, 1.5), (8, 0.5), (7, 1), (5, 2), (2, 1), (-2, 1.5), (0, 0.5), (2, 1),
    (3, 1.5), (2, 0.5), (0, 1), (-1, 1.5), (-3, 0.5), (-1, 1), (0, 3), (None, 2),
)  # fmt: skip
BEAT_S = 0.42


def music(hertz: float = 440.0) -> Samples:
    """What a caller on hold hears: the melody as a music box would play it."""
    notes: list[Samples] = []
    for half_tones, beats in MELODY:
        at = numpy.arange(round(beats * BEAT_S * RATE)) / RATE
        if half_tones is None:
            notes.append(numpy.zeros_like(at))
            continue
        pitch = 2 * math.pi * hertz * 2 ** (half_tones / 12)
        partials = sum(numpy.sin(n * pitch * at) / n**2 for n in (1, 2, 3))
        notes.append(partials * numpy.exp(-2.5 * at) * numpy.minimum(1, at / 0.005))
    return 0.2 * numpy.concatenate(notes)


def write(path: Path, sound: bytes) -> None:
    """Write a WAV, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sound)
    print(f"{path.relative_to(HOME)}: {len(sound) / 2 / RATE:.2f} s")


def main() -> None:
    """Render every file and the table of texts."""
    write(HOME / "asterisk-conf/sounds/tone.wav", wav(numpy.array(tone())))
    write(HOME / "asterisk-conf/sounds/hold/greensleeves.wav", wav(music()))
    for path, voice in VOICES.items():
        write(HOME / path, speech(voice))
    texts = {
        Path(path).name: {"name": voice.name, "text": voice.text}
        for path, voice in VOICES.items()
        if path.startswith("launch/demo/")
    }
    listing = json.dumps(texts, ensure_ascii=False, indent=2)
    (HOME / "launch/demo/texts.json").write_text(listing + "\n")


if __name__ == "__main__":
    main()
