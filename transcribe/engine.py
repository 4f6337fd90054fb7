"""What a speech engine is to the rest. One file per engine in `transcribe/engines/`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Word:
    """A recognised word; seconds from the beginning of what was given, confidence 0 to 1."""

    word: str
    start: float
    end: float
    confidence: float


class Engine(Protocol):
    """A loaded model. Used by one thread, in a process of its own: it may crash or hang."""

    @property
    def rate_hz(self) -> int:
        """The sample rate it listens to."""

    def recognise(self, pcm: bytes) -> list[Word]:
        """Listen to signed 16-bit little-endian mono samples; an empty list where nothing was said."""


class ModelRefused(Exception):
    """The model cannot be used; the message says why, for the operator."""


class Load(Protocol):
    def __call__(self, folder: Path) -> Engine:
        """Load the model in `folder`. Raises ModelRefused."""


def engine_called(name: str) -> Load:
    """The way to load a model of an engine. Imported only here: an engine is large."""
    match name:
        case "vosk":
            from transcribe.engines.vosk import load

            return load
    raise ModelRefused(f"there is no engine {name}")
