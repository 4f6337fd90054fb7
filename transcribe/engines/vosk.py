"""Vosk: offline recognition with a model folder.

libvosk crashes or hangs on what it does not like: everything is checked before it is called.
"""

import json
import re
from pathlib import Path
from typing import Any

import vosk

from transcribe.engine import ModelRefused, Word

REQUIRED = ("am/final.mdl", "conf/model.conf")
FEATURES = ("conf/mfcc.conf", "conf/fbank.conf")
GRAPHS = (("graph/HCLG.fst",), ("graph/HCLr.fst", "graph/Gr.fst"))
USUAL_RATE_HZ = 16000
SUPPORTED_RATES_HZ = range(8000, 48001)
CHUNK_S = 0.2
"""libvosk looks for the end of an utterance once per call: never give it all at once."""


class VoskEngine:
    """A loaded Vosk model."""

    def __init__(self, model: Any, rate_hz: int) -> None:
        self._model = model
        self.rate_hz = rate_hz

    def recognise(self, pcm: bytes) -> list[Word]:
        # A new recogniser each time: the times of one that was used go on counting.
        recogniser = vosk.KaldiRecognizer(self._model, self.rate_hz)
        recogniser.SetWords(True)
        step = round(self.rate_hz * CHUNK_S) * 2
        words: list[Word] = []
        for start in range(0, len(pcm), step):
            if recogniser.AcceptWaveform(pcm[start : start + step]):
                words += _words(recogniser.Result())
        return words + _words(recogniser.FinalResult())


def load(folder: Path) -> VoskEngine:
    """Load the model in `folder`. Raises ModelRefused; libvosk tells more on standard error."""
    _check_files(folder)
    rate_hz = sample_rate(folder)
    # Its errors are the only word of why it refuses a model; what it says while it listens is noise.
    vosk.SetLogLevel(0)
    try:
        model = vosk.Model(str(folder))
        vosk.SetLogLevel(-1)
        vosk.KaldiRecognizer(model, rate_hz)
    except Exception as refused:
        raise ModelRefused(str(refused)) from None
    return VoskEngine(model, rate_hz)


def sample_rate(folder: Path) -> int:
    """The rate a model was made for. Raises ModelRefused for one that libvosk would hang or abort on."""
    for name in FEATURES:
        if (folder / name).is_file():
            said = re.findall(
                r"^\s*--sample-frequency=(\S+)", (folder / name).read_text(errors="replace"), re.M
            )
            return _rate(said[-1], name) if said else USUAL_RATE_HZ
    raise ModelRefused(f"{FEATURES[0]} is missing")


def _rate(said: str, name: str) -> int:
    try:
        rate_hz = float(said)
    except ValueError:
        rate_hz = 0.0
    if rate_hz not in SUPPORTED_RATES_HZ:
        raise ModelRefused(f"{name}: --sample-frequency={said[:20]} is no rate from 8000 to 48000")
    return int(rate_hz)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelRefused("there is no such folder")
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if not any(all((folder / name).is_file() for name in names) for names in GRAPHS):
        missing.append("graph/HCLG.fst (or HCLr.fst and Gr.fst)")
    if not (folder / "graph" / "words.txt").is_file():
        missing.append("graph/words.txt")
    if missing:
        raise ModelRefused("missing: " + ", ".join(missing))


def _words(result: str) -> list[Word]:
    return [
        Word(said["word"], said["start"], said["end"], said["conf"])
        for said in json.loads(result).get("result", [])
    ]
