"""The four voices: one speaker, Mei, with the pitch and the size of the vocal tract of four.

A tract of 0.85 is as if the speaker's throat and mouth were longer by a sixth, about what tells a man from
a woman: every resonance lies that much lower. It is made by playing the speech slower; the pitch moves with
it, so `half_tones` says what is still to be done, and the synthesiser speaks faster to keep the time.
"""

from dataclasses import dataclass
from typing import Literal

VoiceId = Literal["female-1", "female-2", "male-1", "male-2"]


@dataclass(frozen=True)
class Pattern:
    """One voice. `id` never changes; `name` and `description` are what customers read."""

    id: VoiceId
    name: str
    description: str
    half_tones: float
    tract: float = 1.0
    speed: float = 1.0


PATTERNS: dict[VoiceId, Pattern] = {
    pattern.id: pattern
    for pattern in (
        Pattern("female-1", "女性(落ち着いた声)", "案内に向いた、標準の声", half_tones=-4.0),
        Pattern("female-2", "女性(明るい声)", "高く、はっきりした声", half_tones=0.0, tract=1.04, speed=1.03),
        Pattern("male-1", "男性(標準)", "やわらかい男性の声", half_tones=-12.0, tract=0.87),
        Pattern("male-2", "男性(低い声)", "低く、ゆっくりした声", half_tones=-15.0, tract=0.8, speed=0.97),
    )
}
DEFAULT = PATTERNS["female-1"]
