"""The index of a ZIP of messages, and the names in it."""

import pytest

from portal_api.archives import harmless
from portal_api.zip_stream import unique_name

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+81312345678",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\n=1",
        "\r=1",
        " =1",
        "＝1",
        "－1",
        "＋1",
        "＠a",
        "|x",
    ],
)
def test_what_a_spreadsheet_would_run_becomes_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", " ", "03-1234-5678", "山田=太郎", "'=1", "<b>", "2.0", "ー", "株)山田"])
def test_other_cells_stay(cell: str) -> None:
    assert harmless(cell) == cell


def test_names_are_unique_whatever_their_case() -> None:
    taken = {"index.csv"}
    wanted = ["a.wav", "A.wav", "a.wav", "a_2.wav", "INDEX.csv"]
    assert [unique_name(name, taken) for name in wanted] == [
        "a.wav",
        "A_2.wav",
        "a_3.wav",
        "a_2_2.wav",
        "INDEX_2.csv",
    ]
