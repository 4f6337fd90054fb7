"""Figures out of what the load saw: percentiles, failures, verdicts, processor time. Times in seconds."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LAG_S = 0.100
"""A caller who waits longer than this notices; a run whose p95 is above it lags."""

GROWTH = 3.0
GROWTH_FLOOR_S = 0.030
"""Waiting that grows threefold within a run, to more than this, would go on growing: lag too."""

LATE_PACKET_S = 0.040
GENERATOR_LATE_S = 0.010
GENERATOR_SHARE = 0.85
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Script:
    """What a caller does: hears the start prompt, speaks, presses `#`, hears the end prompt.

    `speech_s` None: only listens until the switch hangs up.
    """

    extension: str
    start_prompt_s: float
    end_prompt_s: float = 0.0
    speech_s: float | None = None

    @property
    def length_s(self) -> float:
        """About how long a call lasts."""
        return self.start_prompt_s + (self.speech_s or 0.0) + self.end_prompt_s + 0.5


@dataclass(slots=True)
class CallRecord:
    """The moments of one call, in seconds since the epoch; None is what never came.

    What arrived bears the kernel's time, what was sent our own.
    """

    caller: str
    script: Script
    invited_at: float = 0.0
    answered_at: float | None = None
    acked_at: float | None = None
    first_prompt_at: float | None = None
    last_prompt_at: float | None = None
    speech_at: float | None = None
    hash_at: float | None = None
    hash_end_at: float | None = None
    first_end_prompt_at: float | None = None
    bye_at: float | None = None
    status: int = 0
    """The final status of the INVITE; 0 where none came."""

    start_packets: int = 0
    stray_packets: int = 0
    """Packets that came while the caller was speaking: a prompt that had a hole."""

    end_packets: int = 0
    late_packets: int = 0
    """Packets of a prompt that came more than 40 ms after the one before."""

    lost_packets: int = 0
    """Missing numbers: on one machine nothing but our own full buffer loses a packet."""

    @property
    def answer_to_prompt_s(self) -> float | None:
        """From our ACK, with which our first audio goes out, to the first packet of the start prompt."""
        return _between(self.acked_at, self.first_prompt_at)

    @property
    def hash_to_prompt_s(self) -> float | None:
        """From letting go of `#` to the first packet of the end prompt."""
        return _between(self.hash_end_at, self.first_end_prompt_at)

    @property
    def failure(self) -> str | None:
        """Why this call is no success; None for one in which everything came, in order."""
        if self.status != 200:
            return f"refused {self.status}" if self.status else "no answer"
        if self.stray_packets:
            return "hole in the start prompt"
        if self.start_packets < _at_least(self.script.start_prompt_s):
            return "start prompt cut" if self.start_packets else "no start prompt"
        if self.script.speech_s is not None and self.end_packets < _at_least(self.script.end_prompt_s):
            return "end prompt cut" if self.end_packets else "no end prompt"
        return None if self.bye_at else "not hung up"


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin


def _at_least(prompt_s: float) -> int:
    """Packets that must come of a prompt; a few may be missing where one sound follows another."""
    return int(prompt_s * 50 * 0.95)


@dataclass
class Gaps:
    """How far apart the packets of prompts came: counts by whole milliseconds, up to a second."""

    counts: list[int] = field(default_factory=lambda: [0] * 1000)

    def add(self, seconds: float) -> None:
        self.counts[min(int(seconds * 1000), 999)] += 1

    def percentile(self, share: float) -> float:
        """Seconds; 0 where nothing came."""
        wanted, seen = share * sum(self.counts), 0
        for milliseconds, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return (milliseconds + 1) / 1000
        return 0.0

    @property
    def late(self) -> int:
        """How many were longer than 40 ms."""
        return sum(self.counts[round(LATE_PACKET_S * 1000) :])


@dataclass(frozen=True)
class Percentiles:
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Percentiles":
        ordered = sorted(values)
        return cls(*(percentile(ordered, share) for share in (0.50, 0.95, 0.99)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values; NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Run:
    """What one run of the load saw."""

    records: list[CallRecord]
    gaps: Gaps
    lateness: Percentiles
    """How late the load's own packets left, in seconds."""

    load_cpu_s: float
    wall_s: float

    @property
    def successes(self) -> list[CallRecord]:
        return [record for record in self.records if record.failure is None]

    @property
    def failures(self) -> Counter[str]:
        """Failed calls by reason."""
        return Counter(record.failure for record in self.records if record.failure is not None)

    @property
    def answer_to_prompt(self) -> list[float]:
        """In the order of the calls."""
        return [wait for record in self.records if (wait := record.answer_to_prompt_s) is not None]

    @property
    def hash_to_prompt(self) -> list[float]:
        """In the order of the calls."""
        return [wait for record in self.records if (wait := record.hash_to_prompt_s) is not None]

    @property
    def lost_packets(self) -> int:
        return sum(record.lost_packets for record in self.records)

    @property
    def load_share(self) -> float:
        """The part of one processor that the load itself took."""
        return self.load_cpu_s / self.wall_s


def troubles(run: Run) -> list[str]:
    """What went wrong in a run, readable; empty where every call was well served."""
    found = [f"{count} x {reason}" for reason, count in run.failures.most_common()]
    for name, waits in (("answer", run.answer_to_prompt), ("#", run.hash_to_prompt)):
        if lag := _lag(waits):
            found.append(f"{name} to prompt {lag}")
    if (gap := run.gaps.percentile(0.99)) > LATE_PACKET_S:
        found.append(f"packet clock slips, p99 {gap * 1000:.0f} ms")
    return found


def _lag(waits: Sequence[float]) -> str:
    whole = Percentiles.of(waits).p95
    if whole > LAG_S:
        return f"p95 {whole * 1000:.0f} ms"
    third = len(waits) // 3
    first, last = Percentiles.of(waits[:third]).p95, Percentiles.of(waits[-third:]).p95
    if third >= 10 and last > max(GROWTH * first, GROWTH_FLOOR_S):
        return f"grows from {first * 1000:.0f} to {last * 1000:.0f} ms"
    return ""


def generator_trouble(run: Run) -> str:
    """Why the load itself, not the switch, may have set the figures; empty where it kept time."""
    if run.lateness.p99 > GENERATOR_LATE_S:
        return f"the load was late itself, p99 {run.lateness.p99 * 1000:.0f} ms"
    if run.lost_packets:
        return f"the load lost {run.lost_packets} packets itself"
    if run.load_share > GENERATOR_SHARE:
        return f"the load took {run.load_share:.0%} of a processor"
    return ""


def cpu_seconds(pids: Mapping[str, int], proc: Path = Path("/proc")) -> dict[str, float]:
    """Processor time of each named process so far, with all its threads; 0 for one that is gone."""
    return {name: _cpu_of(proc / str(pid) / "stat") for name, pid in pids.items()}


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used in between. A process that was started anew in between shows as nothing."""
    return {name: max(0.0, at - before.get(name, 0.0)) for name, at in after.items()}


def _cpu_of(stat: Path) -> float:
    try:
        # The name in brackets may hold spaces and brackets.
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    utime, stime = int(fields[11]), int(fields[12])
    return (utime + stime) / CLOCK_TICKS
