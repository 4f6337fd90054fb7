"""From an engine's words to the text that people read. Pure."""

import unicodedata
from collections.abc import Sequence

DIGITS = {"零": 0, "〇": 0, "ゼロ": 0} | {sign: value for value, sign in enumerate("一二三四五六七八九", 1)}
TENS = {"十": 10, "百": 100, "千": 1000}
COUNTERS = {"時", "分", "秒", "年", "月", "日", "時間", "分間", "円", "番", "件", "号", "階", "名", "人"}
FEWEST_DIGITS = 3
"""So many digits one by one are a number that is spelt out, as a telephone number."""


def sentence(words: Sequence[str]) -> str:
    """Join `words`: Japanese without spaces, Latin words with; numbers in Arabic digits where that is sure.

    Only whole words count as numerals, so that 一緒 and 十分 (enough) stay what they are.
    """
    plain = _with_digits([unicodedata.normalize("NFKC", word) for word in words if word])
    text = ""
    for word in plain:
        text += f" {word}" if text and _is_latin(text[-1]) and _is_latin(word[0]) else word
    return text


def _is_latin(sign: str) -> bool:
    return sign.isascii() and sign.isalpha()


def _with_digits(words: list[str]) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and (words[end] in DIGITS or words[end] in TENS):
            end += 1
        counter = words[end] if end < len(words) else ""
        out += _number(words[at:end], counter)
        out += words[end : end + 1]
        at = end + 1
    return out


def _number(numerals: list[str], counter: str) -> list[str]:
    """Numerals as one Arabic number, or as they are where that would be a guess."""
    if not any(word in TENS for word in numerals):
        if len(numerals) >= FEWEST_DIGITS or (len(numerals) == 1 and counter in COUNTERS):
            return ["".join(str(DIGITS[word]) for word in numerals)]
        return numerals
    value = _value(numerals)
    return [str(value)] if value is not None and counter in COUNTERS else numerals


def _value(numerals: list[str]) -> int | None:
    """What 二十五 is worth; None for what is not written so (二三十, 十百)."""
    total, digit, least = 0, None, 10_000
    for word in numerals:
        if word in TENS and TENS[word] < least:
            least = TENS[word]
            total += least * (1 if digit is None else digit)
            digit = None
        elif word in DIGITS and digit is None and DIGITS[word]:
            digit = DIGITS[word]
        else:
            return None
    return total + (digit or 0)
