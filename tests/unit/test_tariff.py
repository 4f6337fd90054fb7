"""The tariff file: what is refused, and how it is said."""

import pytest

from store.tariff import Tariff, TariffRefused, parse_tariffs
from store.tariffs import digest_of
from tests.tariffs import EXAMPLE, example_tariff

pytestmark = pytest.mark.unit

TEXT = EXAMPLE.read_text()
SMALL = 'valid_from = 2026-01-01\nname = "x"\n[tariff.calls.fixed]\nlabel = "x"\nunit_s = 60\nyen = 1\n'


def problems(text: str) -> list[str]:
    with pytest.raises(TariffRefused) as refused:
        parse_tariffs(text)
    return refused.value.problems


def test_the_example_is_whole() -> None:
    tariff = example_tariff()
    assert set(tariff.calls) == {"fixed", "mobile", "ip", "navi", "premium", "special"}
    assert tariff.usage["rusurepo_message"].included == 100


def test_versions_come_oldest_first() -> None:
    later = SMALL.replace("2026-01-01", "2025-01-01")
    read = parse_tariffs(f"[[tariff]]\n{SMALL}[[tariff]]\n{later}")
    assert [version.valid_from.year for version in read] == [2025, 2026]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[tariff", "no TOML"),
        ("", "tariff: Field required"),
        (TEXT.replace("unit_s = 180", "unit_s = 0", 1), "tariff.0.calls.fixed.unit_s"),
        (TEXT.replace("yen = 8\n", "yen = -8\n", 1), "tariff.0.calls.fixed.yen"),
        (TEXT.replace("yen = 8.5", 'yen = "much"'), "tariff.0.calls.special.yen"),
        (TEXT.replace("yen = 8.5", "yne = 8.5"), "yne"),
        (TEXT.replace('"ip"]', '"pager"]'), "there is no calls.pager"),
        (TEXT.replace("[tariff.calls.ip]", "[tariff.calls.emergency]"), "never costs anything"),
        (TEXT.replace('prefix = "+1808"', 'prefix = "+1"'), "+1 stands twice"),
        (TEXT.replace('prefix = "+1808"', 'prefix = "1808"'), "prefix"),
        (TEXT.replace("2024-01-26", '"soon"'), "valid_from"),
        (f"[[tariff]]\n{SMALL}[[tariff]]\n{SMALL}", "two versions are valid from 2026-01-01"),
        (TEXT.replace("tax_percent = 10", "tax_percent = 10.5"), "tax_percent"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, says: str) -> None:
    assert any(says in problem for problem in problems(text)), problems(text)


def test_all_problems_are_told_at_once() -> None:
    text = TEXT.replace("unit_s = 180", "unit_s = 0").replace("yen = 16", "yen = -1")
    assert len(problems(text)) == 3


def test_what_is_stored_is_read_again_the_same() -> None:
    tariff = example_tariff()
    again = Tariff.model_validate(tariff.as_json())
    assert again == tariff
    assert digest_of(again) == digest_of(tariff)
