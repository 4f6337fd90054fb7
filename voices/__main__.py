"""The child processes.

    python -m voices speak     one request a line on stdin, until stdin ends
    python -m voices prepare   one file as stdin

An answer is a line of JSON: `{"bytes": n}` with that much WAV after it, `{"refused": code}`, or
`{"unavailable": reason}`.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import IO

from settings.tools import NotSetUp
from voices.errors import Refused

CALMER = 10
"""Calls come first: the children take the processor that is left (`nice`)."""


def main() -> None:
    os.nice(CALMER)
    # The synthesiser's library prints to stdout when it likes.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if sys.argv[1] == "speak":
        _speak(answers)
    else:
        _prepare(answers)


def _speak(answers: IO[bytes]) -> None:
    from voices.patterns import PATTERNS
    from voices.synthesis import spoken

    for line in sys.stdin.buffer:
        asked = json.loads(line)
        _answer(answers, partial(spoken, asked["text"], PATTERNS[asked["voice"]]))


def _prepare(answers: IO[bytes]) -> None:
    from voices.decoding import limit_this_process, prepared

    limit_this_process()
    _answer(answers, partial(prepared, sys.stdin.buffer))


def _answer(answers: IO[bytes], make: Callable[[], bytes]) -> None:
    try:
        wav = make()
    except Refused as refusal:
        answers.write(json.dumps({"refused": refusal.code}).encode() + b"\n")
    except NotSetUp as missing:
        answers.write(json.dumps({"unavailable": str(missing)}).encode() + b"\n")
    else:
        answers.write(json.dumps({"bytes": len(wav)}).encode() + b"\n" + wav)
    answers.flush()


main()
