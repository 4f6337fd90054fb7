"""The benchmark's figures and verdicts, from made-up runs."""

import math
from pathlib import Path

import pytest

from bench.measure import (
    CallRecord,
    Gaps,
    Percentiles,
    Run,
    Script,
    cpu_between,
    cpu_seconds,
    generator_trouble,
    percentile,
    troubles,
)
from bench.report import Measured, comparison, ratio, run_line, table
from bench.search import Search

pytestmark = pytest.mark.unit

SCRIPT = Script("0312345678", start_prompt_s=2.0, end_prompt_s=1.0, speech_s=3.0)


def good_call(wait_s: float = 0.001) -> CallRecord:
    """A call in which everything came, each time after `wait_s`."""
    return CallRecord(
        "09010000001",
        SCRIPT,
        acked_at=10.0,
        first_prompt_at=10.0 + wait_s,
        hash_end_at=16.0,
        first_end_prompt_at=16.0 + wait_s,
        bye_at=18.0,
        status=200,
        start_packets=100,
        end_packets=50,
    )


def run_of(records: list[CallRecord], late_s: float = 0.0, cpu_s: float = 1.0) -> Run:
    gaps = Gaps()
    gaps.add(0.020)
    return Run(records, gaps, Percentiles.of([late_s]), load_cpu_s=cpu_s, wall_s=10.0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.95, 10), (0.99, 10), (0.1, 1)])
def test_percentiles_are_values_that_were_seen(share: float, expected: int) -> None:
    assert percentile(range(1, 11), share) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    assert math.isnan(Percentiles.of([]).p95)


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({}, None),
        ({"status": 0}, "no answer"),
        ({"status": 503}, "refused 503"),
        ({"start_packets": 0}, "no start prompt"),
        ({"start_packets": 80}, "start prompt cut"),
        ({"stray_packets": 1}, "hole in the start prompt"),
        ({"end_packets": 0}, "no end prompt"),
        ({"end_packets": 40}, "end prompt cut"),
        ({"bye_at": None}, "not hung up"),
    ],
)
def test_a_call_fails_for_what_did_not_come(change: dict[str, object], failure: str | None) -> None:
    record = good_call()
    for name, value in change.items():
        setattr(record, name, value)
    assert record.failure == failure


def test_a_good_run_has_no_troubles() -> None:
    run = run_of([good_call() for _ in range(60)])
    assert troubles(run) == []
    assert len(run.successes) == 60
    assert generator_trouble(run) == ""


def test_failures_are_counted_by_reason() -> None:
    lost = good_call()
    lost.status = 0
    assert troubles(run_of([good_call(), lost, lost])) == ["2 x no answer"]


def test_a_long_wait_is_lag() -> None:
    found = troubles(run_of([good_call(0.2) for _ in range(60)]))
    assert found == ["answer to prompt p95 200 ms", "# to prompt p95 200 ms"]


def test_a_growing_wait_is_lag() -> None:
    found = troubles(run_of([good_call(0.001 * number) for number in range(60)]))
    assert found == ["answer to prompt grows from 18 to 58 ms", "# to prompt grows from 18 to 58 ms"]


def test_a_slipping_packet_clock_is_trouble() -> None:
    run = run_of([good_call()])
    for _ in range(5):
        run.gaps.add(0.055)
    assert run.gaps.late == 5
    assert troubles(run) == ["packet clock slips, p99 56 ms"]


def test_a_late_or_overworked_load_says_so() -> None:
    assert generator_trouble(run_of([], late_s=0.05)) == "the load was late itself, p99 50 ms"
    deaf = good_call()
    deaf.lost_packets = 3
    assert generator_trouble(run_of([deaf])) == "the load lost 3 packets itself"
    assert generator_trouble(run_of([], cpu_s=9.0)) == "the load took 90% of a processor"


def test_processor_time_counts_all_threads(tmp_path: Path) -> None:
    stat = tmp_path / "7" / "stat"
    stat.parent.mkdir()
    stat.write_text("7 (a (b) c) S 1 7 7 0 -1 4194560 9 9 0 0 250 50 0 0 20 0 30 0 1 2 3")
    before = cpu_seconds({"asterisk": 7, "gone": 8}, tmp_path)
    assert before == {"asterisk": pytest.approx(3.0), "gone": 0.0}
    assert cpu_between(before, {"asterisk": 4.5, "gone": 0.0}) == {
        "asterisk": pytest.approx(1.5),
        "gone": 0.0,
    }


def tried(search: Search, good_below: int) -> list[int]:
    rates = []
    while (rate := search.next_rate()) is not None:
        rates.append(rate)
        search.take(rate, [] if rate < good_below else ["lag"])
    return rates


def test_the_search_climbs_to_the_top() -> None:
    search = Search((10, 20, 30))
    assert tried(search, good_below=99) == [10, 20, 30]
    assert (search.best, search.limit) == (30, None)


def test_the_search_asks_twice_and_looks_halfway() -> None:
    search = Search((20, 40, 60))
    assert tried(search, good_below=50) == [20, 40, 60, 60, 50, 50]
    assert (search.best, search.limit, search.troubles) == (40, 50, ["lag"])
    search = Search((20, 40, 60))
    assert tried(search, good_below=55) == [20, 40, 60, 60, 50]
    assert (search.best, search.limit) == (50, 60)


def test_one_bad_run_proves_nothing() -> None:
    search = Search((20, 40))
    search.take(20, ["noise"])
    assert search.next_rate() == 20
    search.take(20, [])
    assert search.next_rate() == 40


def test_the_search_ends_where_nothing_goes_well() -> None:
    search = Search((20, 40))
    assert tried(search, good_below=0) == [20, 20]
    assert (search.best, search.limit) == (0, 20)


def test_figures_are_shown_as_ratios() -> None:
    ours, plain = Measured(), Measured()
    ours.add(run_of([good_call(0.003)] * 10), {"asterisk": 0.3, "controller": 0.02})
    plain.add(run_of([good_call(0.002)] * 10), {"asterisk": 0.2, "controller": 0.0})
    lines = comparison(ours, plain)
    assert lines[1].split() == ["CPU", "per", "call,", "asterisk,", "ms", "30.0", "20.0", "1.50"]
    assert lines[2].split()[-1] == "-"
    assert lines[4].split()[-3:] == ["3.0", "2.0", "1.50"]


def test_there_is_no_ratio_to_nothing() -> None:
    assert ratio(1.0, 0.0) == "-"
    assert ratio(math.nan, 1.0) == "-"


def test_tables_are_aligned() -> None:
    assert table(("", "ours"), [("a", "1"), ("bcd", "100")]) == ["       ours", "  a       1", "  bcd   100"]


def test_a_run_fits_a_line() -> None:
    line = run_line("ours", 30, run_of([good_call()]), [])
    assert line.startswith("  ours     30 calls/s      1 of     1")
    assert line.endswith("well")
