"""One instance for all tests of this tier, and the check that none of them leaks."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.running_switch import RunningSwitch, running_switch, until

SPARE_FILES = 8
"""Connections kept for the next request may come and go."""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSwitch]:
    with running_switch(tmp_path_factory.mktemp("switch") / "var") as switch:
        yield switch


@pytest.fixture
def switch(running: RunningSwitch) -> Iterator[RunningSwitch]:
    """The instance, ready; after the test no channel, call, task or file may be left."""
    running.wait_ready()
    before = {part: running.open_files(part) for part in ("asterisk", "controller")}
    pids = {part: running.pid(part) for part in before}
    yield running
    running.wait_ready()
    until(lambda: running.channels() == 0, 20, "no channel is left")
    until(lambda: _controller(running)["calls"] == 0, 20, "no call is left")
    until(lambda: _controller(running)["notes_waiting"] == 0, 20, "every note is written")
    until(lambda: _controller(running)["tasks"] < 20, 20, "no task is left")
    for part, count in before.items():
        if running.pid(part) == pids[part]:
            until(
                lambda part=part, count=count: running.open_files(part) <= count + SPARE_FILES,  # type: ignore[misc]
                20,
                f"no file is left open in {part}",
            )


def _controller(running: RunningSwitch) -> dict[str, int]:
    """The figures the control plane reports of itself every second."""
    with closing(sqlite3.connect(running.var / "denwaban.db")) as database:
        (details,) = database.execute("SELECT details FROM part_reports WHERE part LIKE '%.pbx'").fetchone()
    figures: dict[str, int] = json.loads(details)
    return figures
