"""Text to speech. Runs in a child process: the synthesiser takes 230 MB and a second to load."""

import re
from functools import cache

import numpy
import pyopenjtalk

from voices.errors import Refused
from voices.limits import LONGEST_PROMPT_S
from voices.patterns import Pattern
from voices.reading import Part, parts_of
from voices.sound import NothingAudible, Samples, silence, telephone_band, telephone_wav, trimmed

FULL_SCALE = 32768.0
"""The synthesiser's samples are floats of this scale, and some exceed it."""

SENTENCE = re.compile(r"[^。!?]+[。!?]*|[。!?]+")


def spoken(text: str, pattern: Pattern) -> bytes:
    """Speak `text` as a WAV ready to play. Raises Refused."""
    pieces: list[Samples] = []
    for part in parts_of(text):
        pieces += _sounding(part, pattern)
    if not pieces:
        raise Refused("unreadable")
    samples = numpy.concatenate(pieces)
    try:
        wav = telephone_wav(samples)
    except NothingAudible:
        raise Refused("unreadable") from None
    if len(wav) > LONGEST_PROMPT_S * 16_000:
        raise Refused("audio_too_long")
    return wav


def _sounding(part: Part, pattern: Pattern) -> list[Samples]:
    """The part and its pause; neither where the synthesiser knows no sound for it."""
    # Sentence by sentence: what the synthesiser needs in memory grows with the length of one utterance.
    sentences = numpy.concatenate([_speech(sentence, pattern) for sentence in SENTENCE.findall(part.text)])
    try:
        return [trimmed(sentences), silence(part.pause_s)]
    except NothingAudible:
        return []


def _speech(text: str, pattern: Pattern) -> Samples:
    labels = pyopenjtalk.extract_fullcontext(text, predict_nani=False)
    played_at = pattern.tract * _rate()
    samples, _ = pyopenjtalk.synthesize(labels, pattern.speed / pattern.tract, pattern.half_tones)
    return telephone_band(samples / FULL_SCALE, played_at)


@cache
def _rate() -> int:
    _, rate = pyopenjtalk.synthesize([])
    return int(rate)
