"""Which process the processors serve first."""

import asyncio
import sys
from pathlib import Path

import pytest

from launch.child import AUTOGROUP, Child
from tests.running_switch import eventually

SAY = "import os, pathlib; print(os.nice(0), pathlib.Path('/proc/self/autogroup').read_text())"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group sessions")
async def test_a_child_gives_way_among_sessions_too(tmp_path: Path) -> None:
    """Linux groups processes by session: alone, a process's own niceness counts only within its session."""
    output = tmp_path / "child.out"
    child = Child("child", [sys.executable, "-c", SAY], {}, output, lambda: None, niceness=7)

    async def said() -> str:
        return output.read_text() if output.exists() else ""

    life = asyncio.create_task(child.run())
    own, _, group = (await eventually(said, 20, "what the child says")).splitlines()[0].partition(" ")
    await child.stop(5)
    await life
    assert (own, group.rpartition(" ")[2]) == ("7", "7")
