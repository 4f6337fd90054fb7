"""What a person and an operator meet at the terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_switch import CHECKOUT, running_switch, settings_for, until

pytestmark = pytest.mark.acceptance


def start(var: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Start an instance that is expected to give up by itself."""
    return subprocess.run(
        [sys.executable, "-m", "launch"],
        cwd=CHECKOUT,
        env={**os.environ, **settings_for(var, **settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_two_instances_side_by_side(tmp_path: Path) -> None:
    with running_switch(tmp_path / "one") as one, running_switch(tmp_path / "two") as two:
        one.wait_ready()
        two.wait_ready()
        assert one.ready["token"] != two.ready["token"]
        refused = start(tmp_path / "one")
        assert refused.returncode == 1
        assert "another instance runs" in refused.stderr
        busy = start(tmp_path / "three", DENWABAN_API_PORT=one.environment["DENWABAN_API_PORT"])
        assert busy.returncode == 1
        assert "DENWABAN_API_PORT" in busy.stderr


def test_ready_json_and_a_clean_stop(tmp_path: Path) -> None:
    var = tmp_path / "var"
    with running_switch(var) as switch:
        told = switch.ready
        assert {
            "api",
            "openapi",
            "token",
            "operator_token",
            "sip",
            "numbers",
            "devices",
            "trunk",
            "pids",
        } <= set(told)
        assert told["trunk"]["accepts_from"] == "127.0.0.0/8"
        assert {number["use"] for number in told["numbers"]} == {"voice", "fax"}
        assert (var / "ready.json").stat().st_mode & 0o077 == 0
        pids = list(told["pids"].values())
        switch.stop()
        assert switch.process.returncode == 0
    assert not (var / "ready.json").exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    # A second start finds everything as it was.
    with running_switch(var) as again:
        assert again.ready["token"] == told["token"]
        assert again.ready["devices"] == told["devices"]


def test_whoever_kills_the_launcher_leaves_nothing_running(tmp_path: Path) -> None:
    with running_switch(tmp_path / "var") as switch:
        pids = [int(pid) for pid in switch.ready["pids"].values()]
        switch.process.kill()
        switch.process.wait(10)
        until(lambda: not [pid for pid in pids if _runs(pid)], 20, "every process has ended")
        with running_switch(tmp_path / "var") as again:
            again.wait_ready()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_settings_that_cannot_be_used_are_all_told_at_once(tmp_path: Path) -> None:
    refused = start(
        tmp_path / "var", DENWABAN_RTP_PORTS="many", DENWABAN_BIND="0.0.0.0", DENWABAN_TRUNK_URI="call me"
    )
    assert refused.returncode == 1
    for name in ("DENWABAN_RTP_PORTS", "DENWABAN_BIND", "DENWABAN_TRUNK_URI"):
        assert name in refused.stderr
    assert "Traceback" not in refused.stderr


def test_production_takes_no_default_secret(tmp_path: Path) -> None:
    refused = start(tmp_path / "var", DENWABAN_MODE="production")
    assert refused.returncode == 1
    for name in ("DENWABAN_ARI_PASSWORD", "DENWABAN_AMI_PASSWORD", "DENWABAN_SECRET_KEY"):
        assert name in refused.stderr


def test_production_starts_without_the_demo(tmp_path: Path) -> None:
    secrets = {f"DENWABAN_{name}": "k" * 40 for name in ("ARI_PASSWORD", "AMI_PASSWORD", "SECRET_KEY")}
    with running_switch(tmp_path / "var", DENWABAN_MODE="production", **secrets) as switch:
        told = json.loads((tmp_path / "var" / "ready.json").read_text())
        assert "token" not in told
        assert "numbers" not in told
        until(lambda: all(part["ready"] for part in switch.parts().values()), 10, "it is ready")
