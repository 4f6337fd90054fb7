"""What lives as long as the switch takes no large library that it may never need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

DRAWING = {"PIL", "reportlab", "numpy", "pypdf", "pypdfium2", "vosk"}
TELL = "import json, sys; import {module}; print(json.dumps(list(sys.modules)))"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("launch.main", DRAWING | {"aiohttp", "sqlalchemy", "pydantic", "phonenumbers"}),
        ("launch.after_calls", DRAWING),
        ("portal_api.main", DRAWING),
        ("pbx.main", DRAWING),
    ],
)
def test_a_process_begins_without(module: str, unwanted: set[str]) -> None:
    """Together they were a hundred megabytes of an idle switch."""
    told = subprocess.run(
        [sys.executable, "-c", TELL.format(module=module)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert unwanted & set(json.loads(told.stdout)) == set()
