"""The phonebook as CSV: read as spreadsheets write it, written so that they read it. Pure.

The first line names the columns; `docs/phonebook.md` lists them and what is mended on the way.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import phonenumbers
from pydantic import TypeAdapter, ValidationError

from portal_api.archives import harmless
from portal_api.phonebook_fields import Memo, NumberLabel
from portal_api.schemas import Label, Name
from store.e164 import E164, NotAPhoneNumber, is_japanese, national
from store.phonebook import MOST_ENTRIES, MOST_NUMBERS, NewEntry, NewNumber
from store.phonebook_words import parse_dialled

MOST_LINES = MOST_ENTRIES
ENCODINGS = ("utf-8", "shift_jis")
PLAIN_COLUMNS = {
    "name": ("名前", "氏名", "登録名", "表示名", "name"),
    "reading": ("ふりがな", "フリガナ", "よみ", "読み", "よみがな", "reading"),
    "company": ("会社名", "会社", "所属", "company"),
    "memo": ("メモ", "備考", "memo", "note"),
}
NUMBER_COLUMNS = {
    "number": ("電話番号", "電話", "番号", "phone", "number", "tel"),
    "label": ("種別", "ラベル", "label", "type"),
}
SHOWN = {
    "name": "名前",
    "reading": "ふりがな",
    "company": "会社名",
    "memo": "メモ",
    "number": "電話番号",
    "label": "種別",
}
KINDS: dict[str, TypeAdapter[str]] = {
    "name": TypeAdapter(Name),
    "reading": TypeAdapter(Label),
    "company": TypeAdapter(Label),
    "memo": TypeAdapter(Memo),
    "label": TypeAdapter(NumberLabel),
}
AS_FORMULA = re.compile(r"""[=＝]\s*["“”＂](.*)["“”＂]""", re.DOTALL)
EXPONENT = re.compile(r"[0-9]+(?:\.[0-9]+)?E\+?[0-9]+", re.IGNORECASE)
DECIMAL = re.compile(r"([0-9]+)\.0+")
LOST_ZERO = re.compile(r"[1-9][0-9]{8}|[5789]0[0-9]{8}|(?:120|800|570|990)[0-9]{6,7}")
"""What Excel leaves of a number that began with 0: nine digits, ten of a mobile, IP or toll-free one."""

DETAILS = {
    "encoding": "文字コードを読み取れません。UTF-8かShift_JIS(Excelの標準)で保存してください。",
    "empty": "ファイルに行がありません。",
    "no_header": "1行目に列の名前がありません。「名前」と「電話番号1」の列が必要です。",
    "too_many_lines": f"一度に取り込めるのは{MOST_LINES:,}行までです。",
    "broken_csv": 'CSVとして読み取れません。引用符(")の対応を確かめてください。',
    "required": "必須です。",
    "no_number": "電話番号が1つも入力されていません。",
    "phone_number": "電話番号として読み取れません(例: 03-1234-5678)。",
    "exponent": "表計算ソフトで数値に変わり、桁が失われています。列を文字列にして入力し直してください。",
    "text": "制御文字など使えない文字が含まれているか、長すぎます。",
    "too_many_cells": "列の数が1行目より多くなっています。",
    "repeated_number": "同じ電話番号が2回入力されています。",
}
NOTES = {
    "leading_zero": "先頭の0が失われていたため補いました。",
    "cleaned": "表計算ソフトの書き方を電話番号に直しました。",
}


class NotReadable(Exception):
    """The file as a whole cannot be read; `code` is one of DETAILS."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Remark:
    """What is wrong with a cell, or what was mended in it. `line` counts the file's lines from 1."""

    line: int
    column: str
    code: str
    detail: str


@dataclass
class Line:
    """A line of the table. `entry` is None where there are `errors`."""

    line: int
    entry: NewEntry | None = None
    errors: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """A file that was read. `columns` are what its columns mean, by their headings."""

    encoding: str
    columns: dict[str, str]
    ignored: list[str]
    lines: list[Line]


# ---- reading -----------------------------------------------------------------------------------------


def read_table(content: bytes, encoding: str | None = None) -> Table:
    """Read a file. `encoding` None: found out. Raises NotReadable."""
    text, used = _decoded(content, encoding)
    rows = list(_rows(text))
    if not rows:
        raise NotReadable("empty")
    (_, header), *body = rows
    meanings, ignored = _meanings(header)
    if "name" not in meanings.values() or not any(one.startswith("number") for one in meanings.values()):
        raise NotReadable("no_header")
    if len(body) > MOST_LINES:
        raise NotReadable("too_many_lines")
    lines = [_line(number, cells, meanings, len(header)) for number, cells in body]
    shown = {header[place]: _shown(meaning) for place, meaning in meanings.items()}
    return Table(used, shown, ignored, lines)


def _decoded(content: bytes, encoding: str | None) -> tuple[str, str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        tried = ["utf-16"]
    elif content.startswith(b"\xef\xbb\xbf"):
        tried = ["utf-8-sig"]
    else:
        tried = [encoding] if encoding else list(ENCODINGS)
    for one in tried:
        try:
            # What Windows calls Shift_JIS has more signs than the standard.
            text = content.decode("cp932" if one == "shift_jis" else one)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, one.removesuffix("-sig")
    raise NotReadable("encoding")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it begins on; empty ones are passed over."""
    first = text.partition("\n")[0]
    # Excel's "Unicode text" has tabs.
    delimiter = "\t" if first.count("\t") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error:
        raise NotReadable("broken_csv") from None


def _meanings(header: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    """Place of a column -> what it means (`name`, `number.0`); and the headings that mean nothing to us."""
    found: dict[int, str] = {}
    ignored = []
    for place, heading in enumerate(header):
        meaning = _meaning(heading)
        if meaning is None or meaning in found.values():
            if heading.strip():
                ignored.append(heading.strip()[:100])
        else:
            found[place] = meaning
    return found, ignored


def _meaning(heading: str) -> str | None:
    plain = unicodedata.normalize("NFKC", heading).strip().casefold()
    for meaning, names in PLAIN_COLUMNS.items():
        if plain in names:
            return meaning
    word, digits = re.fullmatch(r"(.*?)\s*([0-9]{0,2})", plain, re.DOTALL).groups()  # type: ignore[union-attr]
    place = int(digits or 1) - 1
    for meaning, names in NUMBER_COLUMNS.items():
        if word in names and 0 <= place < MOST_NUMBERS:
            return f"{meaning}.{place}"
    return None


def _shown(meaning: str) -> str:
    kind, _, place = meaning.partition(".")
    return f"{SHOWN[kind]}{int(place) + 1}" if place else SHOWN[kind]


def _line(number: int, cells: list[str], meanings: dict[int, str], width: int) -> Line:
    line = Line(number)
    if any(cell.strip() for cell in cells[width:]):
        line.errors.append(Remark(number, "", "too_many_cells", DETAILS["too_many_cells"]))
    given = {meaning: _unquoted(cells[place]) for place, meaning in meanings.items() if place < len(cells)}
    texts = {name: _text(line, name, given.get(name, "")) for name in PLAIN_COLUMNS}
    if not texts["name"] and not any(remark.column == SHOWN["name"] for remark in line.errors):
        line.errors.append(Remark(number, SHOWN["name"], "required", DETAILS["required"]))
    numbers = list(_numbers(line, given))
    if not line.errors:
        line.entry = NewEntry(**texts, numbers=tuple(numbers))
    return line


def _unquoted(cell: str) -> str:
    """Without what keeps a spreadsheet from calculating: `="…"`, and the `'` that we write ourselves."""
    cell = cell.strip()
    if found := AS_FORMULA.fullmatch(cell):
        return found[1].strip()
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) != cell[1:] else cell


def _text(line: Line, name: str, cell: str) -> str:
    if not cell:
        return ""
    try:
        return KINDS[name.partition(".")[0]].validate_python(cell)
    except ValidationError:
        line.errors.append(Remark(line.line, _shown(name), "text", DETAILS["text"]))
        return ""


def _numbers(line: Line, given: dict[str, str]) -> Iterator[NewNumber]:
    seen: set[str] = set()
    wrong = False
    for place in range(MOST_NUMBERS):
        cell, column = given.get(f"number.{place}", ""), _shown(f"number.{place}")
        label = _text(line, f"label.{place}", given.get(f"label.{place}", ""))
        if not cell:
            continue
        number, code = read_number(cell)
        if number is None or number in seen:
            code, wrong = code if number is None else "repeated_number", True
            line.errors.append(Remark(line.line, column, code, DETAILS[code]))
            continue
        if code:
            line.notes.append(
                Remark(line.line, column, code, f"{NOTES[code]} {cell} → {shown_number(number)}")
            )
        seen.add(number)
        yield NewNumber(number, label)
    if not seen and not wrong:
        line.errors.append(Remark(line.line, SHOWN["number"] + "1", "no_number", DETAILS["no_number"]))


def read_number(cell: str) -> tuple[str | None, str]:
    """The number that a cell holds, and what was mended; or None and what is wrong with it."""
    plain = unicodedata.normalize("NFKC", cell).strip()
    cleaned = plain.lstrip("'")
    if EXPONENT.fullmatch(cleaned):
        return None, "exponent"
    if found := DECIMAL.fullmatch(cleaned):
        cleaned = found[1]
    if LOST_ZERO.fullmatch(cleaned):
        try:
            return parse_dialled(f"0{cleaned}"), "leading_zero"
        except NotAPhoneNumber:
            pass
    try:
        return parse_dialled(cleaned), "" if cleaned == plain else "cleaned"
    except NotAPhoneNumber:
        return None, "phone_number"


# ---- writing -----------------------------------------------------------------------------------------


def shown_number(number: str) -> str:
    """As people write it, with hyphens: a spreadsheet takes bare digits for a quantity and drops the 0."""
    if not number.startswith("+"):
        return number
    style = phonenumbers.PhoneNumberFormat
    how = style.NATIONAL if is_japanese(E164(number)) else style.INTERNATIONAL
    written = phonenumbers.format_number(phonenumbers.parse(number), how)
    return written if "-" in written or " " in written else national(E164(number))


HEADER = (
    *(SHOWN[name] for name in PLAIN_COLUMNS),
    *(f"{SHOWN[kind]}{place + 1}" for place in range(MOST_NUMBERS) for kind in ("number", "label")),
)


def csv_header(encoding: str) -> bytes:
    return (b"\xef\xbb\xbf" if encoding == "utf-8" else b"") + csv_lines([HEADER], encoding)


def entry_cells(entry: NewEntry) -> list[str]:
    """The entry's cells in the order of HEADER, without those that are empty at its end."""
    numbers = [cell for one in entry.numbers for cell in (shown_number(one.number), one.label)]
    return [entry.name, entry.reading, entry.company, entry.memo, *numbers]


def csv_lines(rows: Iterable[Sequence[str]], encoding: str) -> bytes:
    """Rows as CSV, none a formula; a sign that Shift_JIS has not becomes 〓, as printers do it."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([harmless(cell) for cell in row] for row in rows)
    if encoding == "utf-8":
        return out.getvalue().encode()
    return "".join(sign if _in_cp932(sign) else "〓" for sign in out.getvalue()).encode("cp932")


def _in_cp932(sign: str) -> bool:
    try:
        return bool(sign.isascii() or sign.encode("cp932"))
    except UnicodeEncodeError:
        return False
