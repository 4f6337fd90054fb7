"""Card numbers are told however they are written, and other numbers are not taken for one."""

import pytest

from store.card_numbers import holds_card_number

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "given",
    [
        {"card_token": "4242424242424242"},
        {"note": "4242-4242-4242-4242"},
        {"x": [{"y": "my card is 4242 4242 4242 4242, thanks"}]},
        {"x": "カードは4242424242424242です"},
        {"n": 4242424242424242},
        {"n": 4242424242424242.0},
        {"４２４２４２４２４２４２４２４２": 1},
        {"x": "４２４２－４２４２－４２４２－４２４２"},
        {"x": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"},
        {"x": "4242\u200b4242\u200b4242\u200b4242"},
        {"x": "4242.4242.4242.4242"},
        {"x": "4242 / 4242 / 4242 / 4242"},
        {"x": "4242_4242\u30004242\t4242"},
        {"x": "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2"},
        {"x": "12/30 4242 4242 4242 4242 123"},
        {"amex": "3782 822463 10005"},
        {"mastercard": "2223003122003222"},
        {"jcb": "3530111333300000"},
        ["4242", "4242", "4242", "4242"],
        [4242, 4242, 4242, 4242],
        {"a": "4242", "b": "4242", "c": "4242", "d": "4242"},
        "4242424242424242",
    ],
)
def test_card_numbers_are_found_in_any_spelling(given: object) -> None:
    assert holds_card_number(given)


@pytest.mark.parametrize(
    "given",
    [
        {"card_token": "pm_1NxYZ2eZvKYlo2C0a1b2c3d4"},
        {"phone": "03-1234-5678"},
        {"reason": "2026年11月26日の請求書202611-000001の修正"},
        {"reason": "2026-11-26 12:34:56 から 2026-11-27 01:02:03 まで"},
        {"n": 4242424242424241},
        {"bank": "0001-001-1234567"},
        {"long": "42424242424242424242424242424242"},
        {"amount": -1001, "tax_percent": 10, "label": "返金"},
        {},
        [],
        None,
        True,
    ],
)
def test_other_numbers_are_let_through(given: object) -> None:
    assert not holds_card_number(given)
