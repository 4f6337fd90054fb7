"""What the manual asks of a start prompt's text: the 50 seconds, and the `#` at the end. Pure."""

import re
import unicodedata
from enum import StrEnum


class Advice(StrEnum):
    """What a text does not tell the caller."""

    LIMIT_NOT_MENTIONED = "limit_not_mentioned"
    HASH_NOT_MENTIONED = "hash_not_mentioned"


MENTIONS = {
    Advice.LIMIT_NOT_MENTIONED: re.compile(
        r"(?:(?<![0-9.])50|(?<![一二三四五六七八九百])五[十〇]|ごじゅう|ゴジュウ)\s*(?:秒|びょう|ビョウ)"
    ),
    Advice.HASH_NOT_MENTIONED: re.compile(r"[#♯]|シャープ|しゃーぷ|井桁|いげた|イゲタ|ハッシュ"),
}


def advice_on_start(text: str) -> list[Advice]:
    """What a start prompt that says `text` leaves out; empty where it says all."""
    folded = unicodedata.normalize("NFKC", text)
    return [advice for advice, mention in MENTIONS.items() if not mention.search(folded)]
