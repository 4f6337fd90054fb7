"""The phonebook as CSV, as spreadsheets write and read it."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_api.phonebook_csv import (
    DETAILS,
    NotReadable,
    Table,
    csv_header,
    csv_lines,
    entry_cells,
    read_number,
    read_table,
)
from store.phonebook import NewEntry, NewNumber

pytestmark = pytest.mark.unit

HEADER = "名前,ふりがな,会社名,メモ,電話番号1,種別1,電話番号2,種別2\r\n"
LINE = "田中 太郎,たなか たろう,株式会社あさひ,午前中のみ,03-1234-5678,会社,090-1234-5678,携帯\r\n"
TANAKA = NewEntry(
    "田中 太郎",
    "たなか たろう",
    "株式会社あさひ",
    "午前中のみ",
    (NewNumber("+81312345678", "会社"), NewNumber("+819012345678", "携帯")),
)


def read(text: str) -> Table:
    return read_table(text.encode())


def codes(table: Table) -> list[tuple[int, str, str]]:
    return [(one.line, one.column, one.code) for line in table.lines for one in line.errors]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ((HEADER + LINE).encode(), "utf-8"),
        ((HEADER + LINE).encode("utf-8-sig"), "utf-8"),
        ((HEADER + LINE).encode("cp932"), "shift_jis"),
        ((HEADER + LINE).encode("utf-16"), "utf-16"),
        ((HEADER + LINE).replace("\r\n", "\n").encode(), "utf-8"),
        ((HEADER + LINE).replace("\r\n", "\r").encode(), "utf-8"),
        ((HEADER + LINE).replace(",", "\t").encode("utf-16"), "utf-16"),
    ],
)
def test_every_encoding_of_spreadsheets_is_read(content: bytes, encoding: str) -> None:
    table = read_table(content)
    assert table.encoding == encoding
    assert [line.entry for line in table.lines] == [TANAKA]


def test_a_chosen_encoding_is_used() -> None:
    # Bytes that are right in both.
    content = "名前,電話番号\nﾃｽﾄ,117\n".encode("cp932")
    (line,) = read_table(content, "shift_jis").lines
    assert line.entry == NewEntry("ﾃｽﾄ", numbers=(NewNumber("117"),))
    with pytest.raises(NotReadable, match="encoding"):
        read_table(content, "utf-8")


@pytest.mark.parametrize(
    ("cell", "number", "note"),
    [
        ("312345678", "+81312345678", "leading_zero"),
        ("9012345678", "+819012345678", "leading_zero"),
        ("5012345678", "+815012345678", "leading_zero"),
        ("120123456", "+81120123456", "leading_zero"),
        ("8001234567", "+818001234567", "leading_zero"),
        ("312345678.0", "+81312345678", "leading_zero"),
        ("'0312345678", "+81312345678", "cleaned"),
        ("０３－１２３４－５６７８", "+81312345678", ""),
        ("(03)1234-5678", "+81312345678", ""),
        ("819012345678", "+819012345678", ""),
        ("117", "117", ""),
    ],
)
def test_what_excel_does_to_numbers_is_mended(cell: str, number: str, note: str) -> None:
    assert read_number(cell) == (number, note)


@pytest.mark.parametrize("cell", ['="0312345678"', "=“0312345678”", "＝”0312345678”", '="312345678"'])
def test_formulas_that_hold_a_number(cell: str) -> None:
    quoted = io.StringIO()
    csv.writer(quoted).writerow(["田中", cell])
    (line,) = read("名前,電話番号\n" + quoted.getvalue()).lines
    assert line.entry == NewEntry("田中", numbers=(NewNumber("+81312345678"),))


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("8.19E+11", "exponent"),
        ("9.01234E+09", "exponent"),
        ("12345678", "phone_number"),
        ("なし", "phone_number"),
    ],
)
def test_what_cannot_be_mended_is_an_error(cell: str, code: str) -> None:
    assert read_number(cell) == (None, code)


def test_errors_name_line_and_column() -> None:
    table = read(
        "氏名,電話番号1,種別1,部署コード\n"
        "田中,03-1234-5678,会社,1\n"
        ",03-1234-5678,,2\n"
        '"鈴木\n一郎",090-1234-5678,,3\n'
        "佐藤,でたらめ,,4\n"
        "\n"
        "高橋,,,5\n"
        f"伊藤,117,{'長' * 21},6\n"
        "渡辺,117,,7,余り\n"
    )
    assert codes(table) == [
        (3, "名前", "required"),
        (4, "名前", "text"),
        (6, "電話番号1", "phone_number"),
        (8, "電話番号1", "no_number"),
        (9, "種別1", "text"),
        (10, "", "too_many_cells"),
    ]
    assert (table.columns, table.ignored) == (
        {"氏名": "名前", "電話番号1": "電話番号1", "種別1": "種別1"},
        ["部署コード"],
    )
    assert [line.entry is not None for line in table.lines] == [True, *[False] * 6]


def test_a_number_twice_in_a_line() -> None:
    assert codes(read("名前,電話番号1,電話番号2\n田中,0312345678,03-1234-5678\n")) == [
        (2, "電話番号2", "repeated_number")
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"\r\n\r\n", "empty"),
        ("田中,0312345678\n".encode(), "no_header"),
        ("名前,会社名\n田中,x\n".encode(), "no_header"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "encoding"),
        (b"PK\x03\x04\x14\x00\x06\x00", "encoding"),
        ('名前,電話番号\n"田中,0312345678\n'.encode(), "broken_csv"),
        ("名前,電話番号\n".encode() + b"a,117\n" * 50_001, "too_many_lines"),
    ],
)
def test_what_is_no_phonebook(content: bytes, code: str) -> None:
    with pytest.raises(NotReadable) as refused:
        read_table(content)
    assert refused.value.code == code
    assert code in DETAILS


@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis"])
def test_what_is_written_is_read_again(encoding: str) -> None:
    foreign = NewEntry(
        "=1+1", "", "+会社", "@x\n二行目", (NewNumber("+16502530000", "-"), NewNumber("#9910"))
    )
    written = csv_header(encoding) + csv_lines(map(entry_cells, [TANAKA, foreign]), encoding)
    table = read_table(written)
    assert table.encoding == encoding
    assert [line.entry for line in table.lines] == [TANAKA, foreign]


def test_no_cell_is_a_formula() -> None:
    evil = NewEntry("=cmd|' /C calc'!A0", "@x", "+x", "-x", (NewNumber("+16502530000", "＝x"),))
    (cells,) = csv.reader(io.StringIO(csv_lines([entry_cells(evil)], "utf-8").decode(), newline=""))
    assert all(cell[0] == "'" for cell in cells)


def test_signs_that_shift_jis_has_not() -> None:
    # 髙 and ① are Windows' own; 𠮷 and 😀 are in no Shift_JIS.
    assert csv_lines([["髙①𠮷😀"]], "shift_jis") == "髙①〓〓\r\n".encode("cp932")


@given(st.binary(max_size=300))
def test_whatever_is_sent_is_read_or_refused(content: bytes) -> None:
    for sent in (content, HEADER.encode() + content):
        try:
            table = read_table(sent)
        except NotReadable as refused:
            assert refused.code in DETAILS
        else:
            assert all((line.entry is None) == bool(line.errors) for line in table.lines)
