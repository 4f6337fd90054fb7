"""A notice as text: cleaned, without any service's markup, and cut so that it surely fits. Pure."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace

from notify.service import Notice

MOST_FACTS = 8
LONGEST_TITLE = 100
LONGEST_LABEL = 20
LONGEST_VALUE = 100
LONGEST_LINK = 500
"""In UTF-16 units. All of these together stay below 2,000, the smallest limit of any service."""

LONGEST_BODY = 200_000
"""More than any service takes."""

OMITTED = "…(長いため省略しました。全文はお客様ページで確認できます)"
LINK = re.compile(r"https?://[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]+")
UNFIT = {"Cc", "Cs", "Co", "Cn"}
TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that turn the direction of writing: they can make text look like another."""

TO_FULL_WIDTH = {ord(sign): ord(sign) + 0xFEE0 for sign in map(chr, range(0x21, 0x7F))}

Escape = Callable[[str], str]


def widened(signs: str) -> dict[int, int]:
    """A table for str.translate that puts full-width signs for `signs`, which no service takes for markup."""
    return {ord(sign): TO_FULL_WIDTH[ord(sign)] for sign in signs}


def fitted(notice: Notice, fits: Callable[[Notice], bool]) -> Notice:
    """Clean `notice`, and cut its body to the longest that `fits`, saying so where something is cut off."""
    tidied = tidy(notice)
    if fits(tidied):
        return tidied
    # The longest beginning that fits, by halving: `shortest` always does.
    shortest, too_long = 0, len(tidied.body)
    while too_long - shortest > 1:
        middle = (shortest + too_long) // 2
        if fits(_cut(tidied, middle)):
            shortest = middle
        else:
            too_long = middle
    return _cut(tidied, shortest)


def tidy(notice: Notice) -> Notice:
    """Without control characters, and with nothing but the body of any length."""
    link = notice.link or ""
    return Notice(
        title=_line(notice.title, LONGEST_TITLE),
        facts=tuple(
            (_line(label, LONGEST_LABEL), _line(value, LONGEST_VALUE))
            for label, value in notice.facts[:MOST_FACTS]
        ),
        body=_clean(notice.body[:LONGEST_BODY]).strip(),
        link=link if len(link) <= LONGEST_LINK and LINK.fullmatch(link) else None,
        attachment=notice.attachment,
    )


def as_text(notice: Notice, escape: Escape = str, escape_link: Escape = str) -> str:
    """Title, a line for each fact, the body and the link."""
    head = [escape(notice.title), *(f"{escape(label)}: {escape(value)}" for label, value in notice.facts)]
    link = [escape_link(notice.link)] if notice.link else []
    return "\n\n".join(part for part in ("\n".join(head), escape(notice.body), *link) if part)


def utf16_units(text: str) -> int:
    return len(text) + sum(1 for sign in text if ord(sign) > 0xFFFF)


def ascii_file_name(name: str) -> str:
    """A name that no service garbles and that no folder is hidden in."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".")
    return plain or "audio.wav"


def _cut(notice: Notice, length: int) -> Notice:
    # A sign and what belongs to it (accents, variants) are not parted.
    while length and unicodedata.category(notice.body[length]) in {"Mn", "Me", "Cf"}:
        length -= 1
    return replace(notice, body=f"{notice.body[:length].rstrip()}\n{OMITTED}".lstrip())


def _line(text: str, longest: int) -> str:
    # A value of any length is cut before it is looked at sign by sign.
    line = " ".join(_clean(text[:LONGEST_BODY]).split())
    if utf16_units(line) <= longest:
        return line
    cut = line[: longest - 1]
    while utf16_units(cut) >= longest:
        cut = cut[:-1]
    return f"{cut}…"


def _clean(text: str) -> str:
    lines = "\n".join(text.splitlines())
    return "".join(
        sign
        for sign in lines.replace("\t", " ")
        if sign == "\n" or (sign not in TURNING and unicodedata.category(sign) not in UNFIT)
    )
