"""What a phonebook entry is sorted and found by. Pure.

Order: by reading, as Japanese dictionaries do it: voicing marks, small signs and ー count only between
readings that are alike otherwise. Entries without a reading stand where their name falls. Finding: the
wide and narrow forms, キ and き, A and a are the same, and a number is found by any part of it, however
it is spelled.
"""

import re
import unicodedata
from collections.abc import Iterable

from store.e164 import E164, SEPARATORS, NotAPhoneNumber, national, parse_e164

SORT_KEY_BYTES = 600
WORDS_BYTES = 1500
"""PostgreSQL indexes no row of more than 2,700 bytes."""

SHORT_NUMBER = re.compile(r"[0-9]{2,5}|[*#][0-9*#]{1,9}")
VOICING = {"\u3099", "\u309a"}
SMALL = str.maketrans("ぁぃぅぇぉっゃゅょゎゕゖ", "あいうえおつやゆよわかけ")
VOWELS = {
    "あ": "あかさたなはまやらわ",
    "い": "いきしちにひみり",
    "う": "うくすつぬふむゆる",
    "え": "えけせてねへめれ",
    "お": "おこそとのほもよろを",
}
VOWEL_OF = {sign: vowel for vowel, signs in VOWELS.items() for sign in signs}
NUMBER_LIKE = re.compile(r"[0-9+*#]+")


def parse_dialled(text: str) -> str:
    """Read a number to keep: E.164, or as dialled where it has no such form (117, an extension, `#9910`).

    Raises NotAPhoneNumber.
    """
    try:
        return parse_e164(text)
    except NotAPhoneNumber:
        short = unicodedata.normalize("NFKC", text).strip()
        if not SHORT_NUMBER.fullmatch(short):
            raise
        return short


def folded(text: str) -> str:
    """`text` so that spellings of the same compare alike; spaces stay."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_hiragana(sign) for sign in plain)


def sort_key(name: str, reading: str) -> str:
    """What entries are sorted by, sign by sign."""
    written = "".join(folded(reading or name).split())
    return _cut(f"{_base(written)}\x01{written}", SORT_KEY_BYTES)


def words(name: str, reading: str, company: str, numbers: Iterable[str]) -> str:
    """All that an entry is found by, in lines; numbers first, as dialled within Japan and abroad."""
    spelled = [form for number in numbers for form in dict.fromkeys((national(E164(number)), number))]
    texts = ["".join(folded(text).split()) for text in (name, reading, company)]
    return _cut("\n".join((*spelled, *texts)), WORDS_BYTES)


def terms(search: str) -> list[tuple[str, ...]]:
    """What must be found, each in one of its spellings: words apart by spaces, numbers without hyphens."""
    # `03 1234 5678` is one number.
    whole = _without_separators(folded(search))
    if NUMBER_LIKE.fullmatch(whole):
        return [(whole,)]
    found: list[tuple[str, ...]] = []
    for term in folded(search).split():
        as_number = _without_separators(term)
        found.append((term, as_number) if NUMBER_LIKE.fullmatch(as_number) else (term,))
    return found


def _hiragana(sign: str) -> str:
    return chr(ord(sign) - 0x60) if "ァ" <= sign <= "ヶ" else sign


def _base(written: str) -> str:
    """Without voicing and smallness, with ー as the vowel it draws out."""
    signs: list[str] = []
    for sign in unicodedata.normalize("NFD", written):
        if sign in VOICING:
            continue
        plain = sign.translate(SMALL)
        signs.append(VOWEL_OF.get(signs[-1], plain) if plain == "ー" and signs else plain)
    return "".join(signs)


def _without_separators(text: str) -> str:
    return SEPARATORS.sub("", text)


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")
