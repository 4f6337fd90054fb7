from pathlib import Path

import pytest

from portal_api.problems import TITLES

pytestmark = pytest.mark.unit


def test_every_error_code_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert [code for code in TITLES if f"`{code}`" not in text] == []
