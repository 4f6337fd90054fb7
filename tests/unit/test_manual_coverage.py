"""docs/manual-coverage.md: what it names is there."""

import re
from pathlib import Path

import pytest

from portal_api.main import ROUTES
from portal_api.openapi import document
from portal_api.routing import API

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PATHS = {re.sub(r"{\w+}", "{}", path): ways for path, ways in document(ROUTES)["paths"].items()}
LINES = (ROOT / "docs" / "manual-coverage.md").read_text().splitlines()
ROWS = [line.strip("| ").split(" | ") for line in LINES if line.startswith("| ")]
"""What the manual says, what does it, what proves it."""

ENDPOINT = re.compile(r"`([A-Z]+(?:, [A-Z]+)*) (/[^`?]*)[^`]*`")
FILE = re.compile(r"`([\w/]+\.py)`([^`;]*)")


def test_every_row_has_three_cells() -> None:
    assert len(ROWS) > 40
    assert {len(row) for row in ROWS} == {3}


def test_every_endpoint_is_there() -> None:
    asked = [(row[0], *found) for row in ROWS for found in ENDPOINT.findall(row[1])]
    assert len(asked) > 40
    for said, methods, path in asked:
        whole = path if path.startswith("/softphone/") else API + path
        ways = PATHS.get(re.sub(r"{\w+}", "{}", whole), {})
        assert {method.lower() for method in methods.split(", ")} <= set(ways), f"{said}: {methods} {path}"


def test_whatever_looks_like_a_path_is_an_endpoint() -> None:
    """Or the test above would pass it by."""
    for row in ROWS:
        assert "/" not in re.sub(r"`[^`]*`", "", ENDPOINT.sub("", row[1])).replace("/ ", ""), row[1]
        assert not re.search(r"`[^`]*/", ENDPOINT.sub("", row[1])), row[1]


def test_every_test_is_there() -> None:
    for said, _, proof in ROWS:
        folder = ROOT
        for path, names in FILE.findall(proof):
            file = ROOT / path if "/" in path else folder / path
            folder = file.parent
            text = file.read_text()
            for name in re.sub(r"\([^)]*\)", "", names).replace(",", " ").split():
                assert f"def test_{name}(" in text, f"{said}: {path} {name}"


def test_every_row_is_proved() -> None:
    headings = {"the manual says"}
    assert [row[0] for row in ROWS if row[0] not in headings and not FILE.search(row[2])] == []
