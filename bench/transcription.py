"""`python -m bench.transcription`: messages per second through the service, against libvosk alone.

Both sides listen to the same files with the same model in as many processes, in turns. libvosk alone reads
a file and listens to it, nothing else; the service takes jobs from a database, cuts silence, fits the rate,
and writes texts and journal.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import wave
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

from sqlalchemy import func, select

from store.database import Database, open_database
from store.jobs import enqueue
from store.media import Media
from store.migrate import migrate
from store.models import JournalEntry, now
from store.reports import read_all
from store.transcripts import TRANSCRIBE
from tests.furnishing import FIRST_CALL, furnish, leave_message
from tests.running_switch import CHECKOUT
from transcribe.engines.vosk import load
from transcribe.listening import NICENESS

T = TypeVar("T")

MODEL = CHECKOUT / "tests" / "fixtures" / "models" / "ja-words-8k"
LIMIT_S = 300.0
SENTENCES_PER_MESSAGE = 6


@dataclass(frozen=True)
class Cost:
    """What a side needed for all messages: seconds by the clock, and of processor time."""

    took_s: float
    cpu_s: float

    def line(self, count: int) -> str:
        return f"{count / self.took_s:>8.1f} msg/s, {self.cpu_s / count:.3f} s CPU"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.transcription", description="the service against libvosk")
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=MODEL)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="denwaban-bench-") as folder:
        asyncio.run(
            compare(Path(folder), given.model.resolve(), given.messages, given.processes, given.rounds)
        )


async def compare(folder: Path, model: Path, count: int, processes: int, rounds: int) -> None:
    """Print what each side did in each round, and the ratio."""
    # Here, so that the processes of libvosk alone need no speech synthesis.
    from tests.speech import NUMBER, WORDS, pcm, spoken, wav_of

    rate_hz = load(model).rate_hz
    sound = pcm(*[spoken(text) for text in (WORDS, NUMBER) * (SENTENCES_PER_MESSAGE // 2)])
    if rate_hz != 8000:
        sys.exit("libvosk alone cannot listen to telephone audio with this model: give one for 8 kHz")
    file = folder / "message.wav"
    file.write_bytes(wav_of(sound))
    seconds = len(sound) / 16000
    print(f"{count} messages of {seconds:.1f} s, model {model.name}, {processes} processes, in turns")
    print(f"{'round':>5}  {'libvosk alone':>26}  {'the service':>26}  ratio", flush=True)
    ratios = []
    for number in range(1, rounds + 1):
        alone = await asyncio.to_thread(libvosk_alone, model, [file] * count, processes)
        ours = await the_service(folder / str(number), model, file.read_bytes(), count, processes)
        ratios.append(alone.took_s / ours.took_s)
        print(f"{number:>5}  {alone.line(count)}  {ours.line(count)}  {ratios[-1]:.2f}", flush=True)
    print(f"the service does {statistics.median(ratios):.2f} of what libvosk alone does (median)")


def libvosk_alone(model: Path, files: Sequence[Path], processes: int) -> Cost:
    """For all files, shared evenly, from the moment every process has its model."""
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(processes + 1)
    used: Queue[float] = spawning.Queue()
    workers = [
        spawning.Process(target=_listen_alone, args=(model, files[share::processes], barrier, used))
        for share in range(processes)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.monotonic()
    cpu_s = sum(used.get() for _ in workers)
    took_s = time.monotonic() - began
    for worker in workers:
        worker.join()
    return Cost(took_s, cpu_s)


def _listen_alone(model: Path, files: Sequence[Path], barrier: Barrier, used: "Queue[float]") -> None:
    engine = load(model)
    # As the service does: beside other work, both sides must get the same share.
    os.nice(NICENESS)
    barrier.wait()
    before = time.process_time()
    for file in files:
        with wave.open(str(file)) as audio:
            engine.recognise(audio.readframes(audio.getnframes()))
    used.put(time.process_time() - before)


async def the_service(folder: Path, model: Path, content: bytes, count: int, processes: int) -> Cost:
    """From the commit of the jobs to the last text."""
    url = f"sqlite+aiosqlite:///{folder}/denwaban.db"
    await migrate(url)
    database = open_database(url)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DENWABAN_")}
    settings = {
        "DENWABAN_VAR": str(folder),
        "DENWABAN_VOSK_MODEL": str(model),
        "DENWABAN_TRANSCRIBE_PROCESSES": str(processes),
    }
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "transcribe", cwd=CHECKOUT, env=inherited | settings, start_new_session=True
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            await _until(lambda: _listens(database))
            await _leave_messages(database, Media(folder / "media"), content, count)
            before, began = session_cpu_s(service.pid), now()
            ended = await _until(lambda: _last_of(database, count))
            cpu_s = session_cpu_s(service.pid) - before
        return Cost((ended - began).total_seconds(), cpu_s)
    finally:
        service.terminate()
        await service.wait()
        await database.close()


async def _until(look: Callable[[], Awaitable[T | None]]) -> T:
    while True:
        if found := await look():
            return found
        await asyncio.sleep(0.1)


def session_cpu_s(leader: int) -> float:
    """Processor time of all processes in a session that are alive."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def _listens(database: Database) -> bool:
    async with database.session() as session:
        return any(told.details.get("model") for told in await read_all(session))


async def _leave_messages(database: Database, media: Media, content: bytes, count: int) -> None:
    async with database.session() as session:
        account = await furnish(session, media, "bench", "+81312345678")
        for minute in range(count):
            at = FIRST_CALL + timedelta(minutes=minute)
            message = await leave_message(session, media, account.account_id, account.number_id, at)
            media.put(content, message.media)
            enqueue(session, TRANSCRIBE, message.id, account.account_id)


async def _last_of(database: Database, count: int) -> datetime | None:
    """When the last text was written; None before."""
    told = select(func.count(), func.max(JournalEntry.at)).where(JournalEntry.event == "transcribed")
    async with database.session() as session:
        done, last = (await session.execute(told)).one()
    return last if done == count else None


if __name__ == "__main__":
    main()
