"""Phone numbers as people write them, and as we keep them."""

import re
import unicodedata
from typing import NewType

import phonenumbers

E164 = NewType("E164", str)
"""`+`, country code, subscriber; at most 15 digits. Made by `parse_e164` only."""

LONGEST_SPELLING = 64
# NFKC folds full-width signs, but not the many strokes that stand in for a hyphen.
SEPARATORS = re.compile(r"[\s().\-/‐‑‒–—―−ー─~〜]")
# The library allows Japanese numbers of any length. 020, 050, 060, 070, 080 and 090 have 11 digits with their
# 0 (0200: 14), all others 10.
JAPANESE = re.compile(r"\+81(?:200[0-9]{10}|[256789]0[0-9]{8}|(?![256789]0)[1-9][0-9]{8})")
NATIONAL = re.compile(r"0[1-9][0-9]{8,9}")
BEGINNING = re.compile(r"\+(?!810)[1-9][0-9]{0,14}")
ANY_COUNTRY = re.compile(r"\+[1-9][0-9]{6,14}")
INTERNATIONAL_PREFIXES = re.compile(r"^(?:00(?=81)|010|81(?=\d))")


class NotAPhoneNumber(ValueError):
    """The text is no phone number in any usual spelling."""


def parse_e164(text: str) -> E164:
    """Read a number as written in Japan: `03-1234-5678`, full-width, `+81 3…`, `00813…`, `813…`, `010-1…`.

    Dial prefixes such as 184 and the short numbers (110, 117…) are no part of a phone number: they are
    refused, as is all else, with NotAPhoneNumber.
    """
    international = _international(text)
    if NATIONAL.fullmatch(international) and JAPANESE.fullmatch(japanese := f"+81{international[1:]}"):
        # Nearly every caller: what the library would say, at a tenth of its price.
        return E164(japanese)
    if not re.fullmatch(r"(?:\+|0)[0-9]+", international):
        raise NotAPhoneNumber("not a number with its area code or country code")
    try:
        number = phonenumbers.parse(international, "JP")
    except phonenumbers.NumberParseException as wrong:
        raise NotAPhoneNumber(str(wrong)) from None
    # "Possible" and not "valid": the library's list of allocated ranges is always a little behind.
    if not phonenumbers.is_possible_number(number):
        raise NotAPhoneNumber("wrong number of digits")
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    shape = JAPANESE if e164.startswith("+81") else ANY_COUNTRY
    if not shape.fullmatch(e164):
        raise NotAPhoneNumber("wrong number of digits")
    return E164(e164)


def parse_prefix(text: str) -> str:
    """Read how numbers begin, in any spelling that numbers have: `0120`, `+81 90`, `050*` and `050…`.

    The same beginning of E.164 numbers comes out: `+81120`, `+8190`, `+8150`. Raises NotAPhoneNumber.
    """
    international = re.sub(r"^0", "+81", _international(text).rstrip("*"))
    if not BEGINNING.fullmatch(international):
        raise NotAPhoneNumber("not the beginning of a number with its area code or country code")
    return international


def _international(text: str) -> str:
    """Digits alone, with the + of an international number in front."""
    if len(text) > LONGEST_SPELLING:
        raise NotAPhoneNumber("too long")
    digits = SEPARATORS.sub("", unicodedata.normalize("NFKC", text))
    return INTERNATIONAL_PREFIXES.sub(lambda found: "+81" if found[0] == "81" else "+", digits)


def is_japanese(number: E164) -> bool:
    return number.startswith("+81")


def national(number: E164) -> str:
    """As dialled within Japan: `+81312345678` is `0312345678`; foreign numbers stay as they are."""
    return f"0{number[3:]}" if is_japanese(number) else number
