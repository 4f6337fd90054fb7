"""The process that has the model: `python -m transcribe.listening <engine> <folder> <parent>`.

It loads the model once and forks a recogniser for every connection it is handed, so that all share the
model's memory and each may crash or hang alone. Standard input is a Unix socket: whoever started it sends
connections through it. It says `ready` on standard output, or why the model is refused, and ends with
whoever started it.

A connection: we say our process id (4 bytes); a request is rate and length (4 bytes each) and samples; its
answer is a length (4 bytes) and JSON.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from transcribe.asking import LENGTH, PID, READY, REQUEST
from transcribe.engine import Engine, ModelRefused, Word, engine_called
from transcribe.speech import resampled, samples_of, spoken_part

NICENESS = 10
"""Calls come first."""

PR_SET_PDEATHSIG = 1


def main() -> None:
    _end_with(int(sys.argv[3]))
    os.nice(NICENESS)
    try:
        engine = engine_called(sys.argv[1])(Path(sys.argv[2]))
    except ModelRefused as refused:
        os.write(1, str(refused).encode())
        sys.exit(1)
    signal.signal(signal.SIGCHLD, _say_who_died)
    control = socket.socket(fileno=0)
    os.write(1, READY + b"\n")
    us = os.getpid()
    while True:
        _, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not handles:
            return
        connection = socket.socket(fileno=handles[0])
        if os.fork() == 0:
            control.close()
            _be_a_recogniser(engine, connection, us)
        connection.close()


def listen(engine: Engine, pcm: bytes, rate_hz: int) -> list[Word]:
    """What is said in `pcm`, with times from its beginning."""
    samples = samples_of(pcm)
    first, last = spoken_part(samples, rate_hz)
    if first == last:
        return []
    fitted = resampled(samples[first:last], rate_hz, engine.rate_hz)
    cut_s = first / rate_hz
    return [
        Word(said.word, round(said.start + cut_s, 3), round(said.end + cut_s, 3), said.confidence)
        for said in engine.recognise(fitted.astype("<i2").tobytes())
    ]


def _be_a_recogniser(engine: Engine, connection: socket.socket, parent: int) -> NoReturn:
    """Answer requests until the other side is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _end_with(parent)
    try:
        with connection.makefile("rwb") as stream:
            stream.write(PID.pack(os.getpid()))
            stream.flush()
            while header := stream.read(REQUEST.size):
                rate_hz, length = REQUEST.unpack(header)
                words = listen(engine, stream.read(length), rate_hz)
                answer = json.dumps([vars(word) for word in words]).encode()
                stream.write(LENGTH.pack(len(answer)) + answer)
                stream.flush()
    except (OSError, struct.error):
        pass  # Nobody waits for the answer any more.
    except Exception as trouble:
        _complain(f"{type(trouble).__name__}: {trouble}")
    finally:
        # What the parent would do at its end is not for us.
        os._exit(0)


def _end_with(parent: int) -> None:
    """Be killed when `parent` dies; a hanging libvosk would not notice by itself."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _say_who_died(_signal: int, _frame: FrameType | None) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if os.WIFSIGNALED(status):
            _complain(f"recogniser {pid} ended with signal {os.WTERMSIG(status)}")


def _complain(text: str) -> None:
    os.write(2, f"{text}\n".encode())


if __name__ == "__main__":
    main()
