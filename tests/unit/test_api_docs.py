"""The table of errors in docs/api.md: every code, once, with its status, in the order of these."""

import re
from pathlib import Path

import pytest

from portal_api.problems import TITLES

pytestmark = pytest.mark.unit

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
ROWS = re.findall(r"^\| (`[a-z0-9_`, ]+`) \| (\d{3}) \|", TEXT, re.MULTILINE)


def test_every_error_code_is_documented_once() -> None:
    told = [(code, int(status)) for codes, status in ROWS for code in re.findall(r"`(\w+)`", codes)]
    assert sorted(told) == sorted((code, status) for code, (status, _) in TITLES.items())


def test_errors_are_ordered_by_status() -> None:
    statuses = [int(status) for _, status in ROWS]
    assert statuses == sorted(statuses)
