"""From what a customer writes to what the synthesiser reads well. Pure.

The synthesiser knows kanji, numbers with counters and telephone numbers with hyphens. It drops `#`, runs
on over `っっ`, reads `14:05` as two numbers and `はいっ` as ワイッ: that is put right here.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from store.e164 import NotAPhoneNumber, is_japanese, national, parse_e164

PAUSE_S = 1.0
"""What `っっ` at a sentence's end is worth."""

LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Part:
    """What is spoken without a break of ours, and the silence in seconds that follows it."""

    text: str
    pause_s: float


def parts_of(text: str) -> list[Part]:
    """Cut `text` at the pauses that its writer asked for, each part ready for the synthesiser.

    No part is empty; no part at all means that there is nothing to read.
    """
    pieces = PAUSE.split(unicodedata.normalize("NFKC", text))
    parts: list[Part] = []
    for said, sign in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        pause_s = min(len(sign) // 2 * PAUSE_S, LONGEST_PAUSE_S)
        spoken = readable(said)
        if spoken:
            parts.append(Part(spoken, pause_s))
        elif parts:
            longer = min(parts[-1].pause_s + pause_s, LONGEST_PAUSE_S)
            parts[-1] = Part(parts[-1].text, longer)
    return parts


# At a sentence's end: before or after its sign, at a line's or the text's end, or after a polite ending,
# where the manual's users leave the sign out. すっっごい is none.
PAUSE = re.compile(
    r"(?:(?<=[。.!?、,\s])|(?<=ます)|(?<=です)|(?<=した)|(?<=せん)|(?<=さい)|(?<=しょう)"
    r"|(?=[っッ]+(?:[。.!?、,\s]|\Z)))"
    r"((?:[っッ]{2})+)[っッ]?"
)


def readable(text: str) -> str:
    """Spell out what the synthesiser would misread; `text` is NFKC. Empty where nothing can be read."""
    for found, reading in RULES:
        text = found.sub(reading, text)
    text = "".join(sign for sign in text if unicodedata.category(sign) not in UNSPOKEN).strip(" 、。!")
    return text if any(unicodedata.category(sign)[0] in "LN" for sign in text) else ""


UNSPOKEN = {"So", "Sk", "Sm", "Sc", "Mn", "Me", "Cc", "Cf", "Cs", "Co", "Cn"}
"""Unicode categories that are dropped: emoji and their modifiers, ornaments, control signs."""

DAY = "月火水木金土日"


def _address(found: re.Match[str]) -> str:
    bare = re.sub(r"^[a-z]+://|^mailto:|/+$", "", found[0], flags=re.IGNORECASE)
    for sign, reading in ADDRESS_SIGNS.items():
        bare = bare.replace(sign, f" {reading} ")
    return f"、{bare} "


ADDRESS_SIGNS = {
    "@": "アットマーク",
    ".": "ドット",
    "/": "スラッシュ",
    "-": "ハイフン",
    "_": "アンダーバー",
    ":": "コロン",
    "#": "シャープ",
    "?": "クエスチョンマーク",
    "=": "イコール",
    "&": "アンド",
    "%": "パーセント",
    "~": "チルダ",
    "+": "プラス",
}


def _telephone(found: re.Match[str]) -> str:
    try:
        number = parse_e164(found[0])
    except NotAPhoneNumber:
        return found[0]
    if not is_japanese(number):
        return found[0]
    digits = national(number)
    # As it was grouped by its writer; without groups, as such numbers are usually told.
    written = re.findall(r"\d+", re.sub(r"^\+81\D*", "0", found[0]))
    groups = written if len(written) > 1 else _usual_groups(digits)
    return "、".join(_one_by_one(group) for group in groups)


def _usual_groups(digits: str) -> list[str]:
    first = 4 if digits.startswith(("0120", "0570", "0800")) else 3 if len(digits) == 11 else 2
    rest = digits[first:]
    return [digits[:first], rest[:-4], rest[-4:]] if len(rest) > 6 else [digits[:first], rest[:3], rest[3:]]


def _one_by_one(digits: str) -> str:
    return "".join(DIGITS[int(digit)] for digit in digits)


DIGITS = ("ゼロ", "イチ", "ニー", "サン", "ヨン", "ゴー", "ロク", "ナナ", "ハチ", "キュー")


def _postcode(found: re.Match[str]) -> str:
    return f"郵便番号{_one_by_one(found[1])}の{_one_by_one(found[2])}、"


def _clock(found: re.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    return f"{hour}時{minute}分" if minute else f"{hour}時"


def _date(found: re.Match[str]) -> str:
    year = f"{found[1]}年" if found[1] else ""
    return f"{year}{int(found[2])}月{int(found[3])}日"


def _weekdays(found: re.Match[str]) -> str:
    days = re.sub("曜日?$", "", found[0])
    return re.sub(f"([{DAY}])", r"\1曜", days)


ADDRESS = r"(?:[a-z]+://|mailto:|www\.)[!-~]*[a-z0-9/]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
ENDINGS = "jp|com|net|org|info|biz|tokyo"
DOMAIN = rf"(?<![\w.@-])[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:{ENDINGS})(?:/[!-~]*[a-z0-9/])?(?![\w.-])"
STROKES = "‐‑‒–—―−ー"
UNIT = "[0-9時分秒日月年階曜円歳番)]"

Reading = str | Callable[[re.Match[str]], str]
RULES: list[tuple[re.Pattern[str], Reading]] = [
    (re.compile(pattern, re.IGNORECASE | re.ASCII), reading)
    for pattern, reading in (
        (r"\.{2,}|・{2,}|[‥…]+", "、"),
        (r"\(株\)", "株式会社"),
        (r"\(有\)", "有限会社"),
        (r"\(合\)", "合同会社"),
        (r"\(医\)", "医療法人"),
        (r"\(代\)", "代表"),
        (r"°C", "度"),
        (f"{ADDRESS}|{DOMAIN}", _address),
        (f"(?<=[0-9])[{STROKES}](?=[0-9])", "-"),
        (r"〒\s*(\d{3})-?(\d{4})(?!\d)", _postcode),
        ("〒", "郵便番号"),
        (r"(?<![\d-])(?:\+81[- ]?(?:\(0\))?|0)(?:[-()]{0,2}\d){8,13}(?!\d)", _telephone),
        (r"(?<!\d)([01]?\d|2[0-4]):([0-5]\d)(?!\d)", _clock),
        (r"(?<=時)00分|(?<=時)0(?=\d分)", ""),
        (r"(?<![\d/])(?:(\d{4})/)?(1[0-2]|0?[1-9])/(3[01]|[12]\d|0?[1-9])(?![\d/])", _date),
        (f"(?<![一-龥0-9])[{DAY}](?:[~〜・/-][{DAY}])+(?:曜日?|(?![一-龥]))", _weekdays),
        (rf"(?<={UNIT})\s*[~〜]\s*(?=[0-9{DAY}午翌])", "から"),
        (r"(?<!\d)(\d{1,2})-(?=\d{1,2}[時日月階])", r"\1から"),
        ("[~〜]", "、"),
        ("[#♯]", "シャープ"),
        (r"\*", "こめじるし"),
        (r"[¥\\]([\d,]+)", r"\1円"),
        (r"(?<![a-z])B(\d+)F(?![a-z])", r"地下\1階"),
        (r"(?<!\w)(\d+)F(?![a-z])", r"\1階"),
        ("&", "アンド"),
        (r"[っッ]+(?=[。.!?、,\s」』)]|\Z)", ""),
        (r"\s*\n\s*", "。"),
        (r"([。、!?])[。、]+", r"\1"),
    )
]
