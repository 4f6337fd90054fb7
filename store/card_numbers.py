"""Telling a payment card's number, however it is written: such a number must never come to rest with us.

Pure. A card's number has 13 to 19 digits, begins as card brands begin, and its last digit is its check
(ISO/IEC 7812-1).
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

LENGTHS = range(13, 20)
RUN = re.compile(r"[0-9](?:[\W_]{0,3}[0-9])+")
"""Digits with up to three signs between two of them that are neither letters nor digits."""

BRANDS = re.compile(r"3|4|5|6|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)")


def holds_card_number(value: Any) -> bool:
    """Whether there is one anywhere in this JSON, names of fields included: in full-width or other digits,
    in groups, with any signs between them, one group in each field or element."""
    return any(
        _is_card_number(digits)
        for text in _texts(value)
        for run in RUN.finditer(_plain(text))
        for digits in _windows(re.findall("[0-9]+", run.group()))
    )


def _plain(text: str) -> str:
    """Every decimal digit of whatever script as ASCII's, without signs that cannot be seen."""
    visible = (sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in visible)


def _windows(groups: list[str]) -> Iterator[str]:
    """Whole groups that follow each other and have as many digits as a card's number."""
    ends = [0]
    for group in groups:
        ends.append(ends[-1] + len(group))
    digits = "".join(groups)
    for place, start in enumerate(ends):
        yield from (digits[start:end] for end in ends[place + 1 :] if end - start in LENGTHS)


def _is_card_number(digits: str) -> bool:
    doubled = (int(sign) * (2 if place % 2 else 1) for place, sign in enumerate(reversed(digits)))
    return bool(BRANDS.match(digits)) and sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _texts(value: Any) -> Iterator[str]:
    match value:
        case bool() | None:
            return
        case dict():
            yield from (str(name) for name in value)
            yield from _texts(list(value.values()))
        case list():
            for part in value:
                yield from _texts(part)
            # One group of digits per field or element is a number all the same.
            yield " ".join(str(part) for part in value if isinstance(part, str | int))
        case float():
            yield f"{value:.0f}"
        case _:
            yield str(value)
