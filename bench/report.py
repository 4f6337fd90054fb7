"""The figures as a person reads them. Pure: figures in, lines out."""

import math
from collections.abc import Iterable, Sequence

from bench.measure import Percentiles, Run

PARTS = ("asterisk", "controller")


class Measured:
    """Runs of one side taken together, with the processor time that the switch used in them."""

    def __init__(self) -> None:
        self.calls = 0
        self.cpu_s = dict.fromkeys(PARTS, 0.0)
        self.answer: list[float] = []
        self.hash: list[float] = []

    def add(self, run: Run, cpu_s: dict[str, float]) -> None:
        self.calls += len(run.records)
        self.answer += run.answer_to_prompt
        self.hash += run.hash_to_prompt
        for part in PARTS:
            self.cpu_s[part] += cpu_s.get(part, 0.0)

    def cpu_ms_per_call(self, part: str) -> float:
        return 1000 * self.cpu_s[part] / self.calls if self.calls else math.nan


def comparison(ours: Measured, plain: Measured) -> list[str]:
    """Processor time and waiting, each as ours, plain, ours / plain."""
    rows: list[tuple[str, float, float]] = [
        (f"CPU per call, {part}, ms", ours.cpu_ms_per_call(part), plain.cpu_ms_per_call(part))
        for part in PARTS
    ]
    both = [sum(map(side.cpu_ms_per_call, PARTS)) for side in (ours, plain)]
    rows.append(("CPU per call, both, ms", both[0], both[1]))
    for name, mine, theirs in (
        ("answer to first prompt packet, ms", ours.answer, plain.answer),
        ("# to first end-prompt packet, ms", ours.hash, plain.hash),
    ):
        us, them = Percentiles.of(mine), Percentiles.of(theirs)
        rows += [
            (f"{name}, p50", 1000 * us.p50, 1000 * them.p50),
            (f"{name}, p95", 1000 * us.p95, 1000 * them.p95),
            (f"{name}, p99", 1000 * us.p99, 1000 * them.p99),
        ]
    return table(
        ("", "ours", "plain", "ours / plain"),
        [
            # The plain side has no controller: what it shows there is the idle one's.
            (name, f"{us:.1f}", f"{them:.1f}", "-" if "controller" in name else ratio(us, them))
            for name, us, them in rows
        ],
    )


def ratio(ours: float, plain: float) -> str:
    """`1.25`, or a dash where there is nothing to divide by."""
    return f"{ours / plain:.2f}" if plain > 0 and not math.isnan(ours) else "-"


def run_line(name: str, rate: int, run: Run, troubles: Sequence[str]) -> str:
    """One run in one line."""
    answer, pressed = Percentiles.of(run.answer_to_prompt), Percentiles.of(run.hash_to_prompt)
    verdict = "; ".join(troubles) or "well"
    return (
        f"  {name:6} {rate:4d} calls/s  {len(run.successes):5d} of {len(run.records):5d}"
        f"  answer p95 {1000 * answer.p95:6.1f} ms  # p95 {1000 * pressed.p95:6.1f} ms"
        f"  gap p99 {1000 * run.gaps.percentile(0.99):3.0f} ms"
        f"  (load: {run.load_share:3.0%}, late p99 {1000 * run.lateness.p99:.1f} ms)  {verdict}"
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Columns as wide as what they hold; the first to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
