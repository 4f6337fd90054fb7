"""The real libvosk in processes of its own: what it hears, and what happens when it dies."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.speech import (
    MODELS,
    NUMBER,
    NUMBER_AS_TEXT,
    RATE_HZ,
    WORDS,
    WORDS_AS_TEXT,
    pcm,
    silence,
    spoken,
)
from transcribe.engine import ModelRefused
from transcribe.recognisers import NO_MODEL, TIMES_AS_LONG, Listening, NoModel, RecogniserFailed, Recognisers
from transcribe.wording import sentence

pytestmark = pytest.mark.integration

LIMIT_S = 20.0


@asynccontextmanager
async def listening(folder: Path, count: int = 1, spare_s: float = 30.0) -> AsyncIterator[Recognisers]:
    """Recognisers at work; whether there is a model or not is for the test to wait for."""
    recognisers = Recognisers("vosk", folder, count, spare_s, watch_s=0.05)
    task = asyncio.create_task(recognisers.run())
    try:
        yield recognisers
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


async def text_of(recognisers: Recognisers, sound: bytes, rate_hz: int = RATE_HZ) -> str:
    return sentence([said.word for said in await recognisers.recognise(sound, rate_hz)])


def children_of(pid: int | None) -> list[int]:
    """The recognisers of a process that has the model."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("model", ["ja-words-8k", "ja-words-16k"])
async def test_speech_off_the_telephone_becomes_text(model: str) -> None:
    async with listening(MODELS / model) as recognisers:
        await until(lambda: recognisers.ready)
        assert await text_of(recognisers, pcm(spoken(WORDS))) == WORDS_AS_TEXT
        assert await text_of(recognisers, pcm(spoken(NUMBER))) == NUMBER_AS_TEXT


async def test_words_have_times_of_the_whole_sound_and_confidence() -> None:
    async with listening(MODELS / "ja-words-16k") as recognisers:
        await until(lambda: recognisers.ready)
        plain = await recognisers.recognise(pcm(spoken(WORDS)), RATE_HZ)
        late = await recognisers.recognise(pcm(silence(3), spoken(WORDS), silence(4)), RATE_HZ)
    assert [said.word for said in late] == [said.word for said in plain]
    assert len(plain) > 8
    for early, moved in zip(plain, late, strict=True):
        assert abs(moved.start - early.start - 3) < 0.1
        assert moved.start < moved.end
        assert 0 < moved.confidence <= 1
    assert late[-1].end < 3 + len(spoken(WORDS)) / RATE_HZ


async def test_pauses_do_not_lose_what_comes_after() -> None:
    async with listening(MODELS / "ja-words-8k") as recognisers:
        await until(lambda: recognisers.ready)
        parts = pcm(spoken(WORDS), silence(7), spoken(NUMBER))
        assert await text_of(recognisers, parts) == WORDS_AS_TEXT + NUMBER_AS_TEXT


@pytest.mark.parametrize("sound", [b"", b"\x01", b"\x01\x02", bytes(80000), b"\x01" * 3201])
async def test_nothing_said_is_no_words(sound: bytes) -> None:
    async with listening(MODELS / "ja-words-16k") as recognisers:
        await until(lambda: recognisers.ready)
        assert await recognisers.recognise(sound, RATE_HZ) == []
        assert await text_of(recognisers, pcm(spoken(WORDS)) + b"\x01") == WORDS_AS_TEXT


async def test_many_at_once_do_not_mix() -> None:
    async with listening(MODELS / "ja-words-8k", count=2) as recognisers:
        await until(lambda: recognisers.ready)
        texts = await asyncio.gather(
            *(text_of(recognisers, pcm(spoken(text))) for text in (WORDS, NUMBER) * 6)
        )
        assert texts == [WORDS_AS_TEXT, NUMBER_AS_TEXT] * 6
        assert len(children_of(recognisers.pid)) == 2


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
async def test_a_recogniser_that_dies_costs_one_attempt(how: signal.Signals) -> None:
    async with listening(MODELS / "ja-words-8k") as recognisers:
        await until(lambda: recognisers.ready)
        await text_of(recognisers, pcm(spoken(WORDS)))
        host, (child,) = recognisers.pid, children_of(recognisers.pid)
        os.kill(child, signal.SIGSTOP)
        asked = asyncio.create_task(recognisers.recognise(pcm(spoken(WORDS)), RATE_HZ))
        await asyncio.sleep(0)
        os.kill(child, how)
        os.kill(child, signal.SIGCONT)
        with pytest.raises(RecogniserFailed):
            await asked
        assert await text_of(recognisers, pcm(spoken(WORDS))) == WORDS_AS_TEXT
        assert recognisers.pid == host


async def test_a_recogniser_that_hangs_is_killed() -> None:
    long = pcm(spoken(WORDS), silence(2))
    two_seconds = 2 - TIMES_AS_LONG * len(long) / (2 * RATE_HZ)
    async with listening(MODELS / "ja-words-8k", spare_s=two_seconds) as recognisers:
        await until(lambda: recognisers.ready)
        await text_of(recognisers, long)
        (child,) = children_of(recognisers.pid)
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(RecogniserFailed, match="did not answer"):
            await recognisers.recognise(long, RATE_HZ)
        await until(lambda: not alive(child))
        assert await text_of(recognisers, long) == WORDS_AS_TEXT


async def test_the_process_with_the_model_comes_back() -> None:
    async with listening(MODELS / "ja-words-8k") as recognisers:
        await until(lambda: recognisers.ready)
        await text_of(recognisers, pcm(spoken(WORDS)))
        host, (child,) = recognisers.pid, children_of(recognisers.pid)
        assert host is not None
        os.kill(host, signal.SIGKILL)
        await until(lambda: not alive(child))
        await until(lambda: recognisers.ready and recognisers.pid != host)
        assert await text_of(recognisers, pcm(spoken(WORDS))) == WORDS_AS_TEXT


async def test_nothing_is_left_running_at_the_end() -> None:
    async with listening(MODELS / "ja-words-8k") as recognisers:
        await until(lambda: recognisers.ready)
        await text_of(recognisers, pcm(spoken(WORDS)))
        host = recognisers.pid
        assert host is not None
        pids = [host, *children_of(host)]
        assert len(pids) == 2
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_model_that_appears_changes_and_goes_is_noticed(tmp_path: Path) -> None:
    link = tmp_path / "current"
    async with listening(link) as recognisers:
        await until(lambda: recognisers.problem == NO_MODEL)
        with pytest.raises(NoModel):
            await recognisers.recognise(pcm(spoken(WORDS)), RATE_HZ)
        link.symlink_to(MODELS / "ja-words-8k")
        await until(lambda: recognisers.ready)
        assert (recognisers.model, recognisers.problem) == ("ja-words-8k", "")
        other = tmp_path / "other"
        other.symlink_to(MODELS / "ja-words-16k")
        other.replace(link)
        await until(lambda: recognisers.model == "ja-words-16k")
        assert await text_of(recognisers, pcm(spoken(WORDS))) == WORDS_AS_TEXT
        link.unlink()
        await until(lambda: recognisers.problem == NO_MODEL and not recognisers.ready)


async def test_a_model_that_is_copied_in_slowly_is_loaded_when_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    async with listening(folder) as recognisers:
        shutil.copytree(MODELS / "ja-words-8k" / "am", folder / "am")
        await until(lambda: "missing" in recognisers.problem)
        shutil.copytree(MODELS / "ja-words-8k", folder, dirs_exist_ok=True)
        await until(lambda: recognisers.ready)


def spoil(folder: Path, name: str, content: bytes | None) -> None:
    """Put `content` in the place of a file, or take it away."""
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


CUT_MODEL = (MODELS / "ja-words-8k" / "am" / "final.mdl").read_bytes()[:5000]
CUT_GRAPH = (MODELS / "ja-words-8k" / "graph" / "HCLG.fst").read_bytes()[:5000]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("am/final.mdl", None, "missing: am/final.mdl"),
        ("conf/model.conf", None, "missing: conf/model.conf"),
        ("conf/mfcc.conf", None, "conf/mfcc.conf is missing"),
        ("graph/HCLG.fst", None, "graph/HCLG.fst (or"),
        ("graph/words.txt", None, "missing: graph/words.txt"),
        ("am/final.mdl", b"", "expected <TransitionModel>"),
        ("am/final.mdl", CUT_MODEL, "Failed to create a model"),
        ("am/final.mdl", b"\xff\xfe\x80 no model \xe3\x81", "Failed to create a model"),
        ("graph/HCLG.fst", CUT_GRAPH, "Failed to create a model"),
        ("conf/model.conf", b"--no-such-option=1\n", "no-such-option"),
        ("conf/mfcc.conf", b"--sample-frequency=0\n", "is no rate"),
        ("conf/mfcc.conf", b"--sample-frequency=-8000\n", "is no rate"),
        ("conf/mfcc.conf", b"--sample-frequency=nan\n", "is no rate"),
        ("conf/mfcc.conf", b"--sample-frequency=\xff\n", "is no rate"),
    ],
)
async def test_a_spoilt_model_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "ja-words-8k", folder)
    spoil(folder, name, content)
    with pytest.raises(ModelRefused) as refused:
        await Listening.start("vosk", folder, LIMIT_S)
    assert reason in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


async def test_a_model_that_never_loads_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "ja-words-8k", folder)
    with pytest.raises(ModelRefused, match="not loaded within 0 s"):
        await Listening.start("vosk", folder, 0.01)
