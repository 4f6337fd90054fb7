import re
import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.e164 import E164, JAPANESE, NotAPhoneNumber, national, parse_e164

pytestmark = pytest.mark.unit

FULL_WIDTH = str.maketrans("0123456789-+() ", "０１２３４５６７８９－＋（）\u3000")
AREA_AND_LENGTH = {"3": 8, "6": 8, "11": 7, "422": 6, "50": 8, "90": 8, "80": 8, "70": 8, "120": 6, "570": 6}


@pytest.mark.parametrize(
    "written",
    [
        "03-1234-5678",
        "0312345678",
        "(03) 1234-5678",
        "03(1234)5678",
        "０３－１２３４－５６７８",
        "03ー1234ー5678",
        "03−1234‐5678",
        "+81 3 1234 5678",
        "＋81-3-1234-5678",
        "+81 (0)3-1234-5678",
        "0081-3-1234-5678",
        "00813 1234 5678",
        "010-81-3-1234-5678",
        "81312345678",
        "813-1234-5678",
        " 03 1234 5678\n",
    ],
)
def test_usual_spellings_are_one_number(written: str) -> None:
    assert parse_e164(written) == "+81312345678"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("090-1234-5678", "+819012345678"),
        ("060-1234-5678", "+816012345678"),
        ("050-1234-5678", "+815012345678"),
        ("0120-123-456", "+81120123456"),
        ("0570-012-345", "+81570012345"),
        ("0422-12-3456", "+81422123456"),
        ("010-1-212-555-0100", "+12125550100"),
        ("+1 212 555 0100", "+12125550100"),
        ("+44 20 7946 0958", "+442079460958"),
    ],
)
def test_other_kinds_of_number(written: str, read: str) -> None:
    assert parse_e164(written) == read


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "-",
        "+",
        "anonymous",
        "110",
        "118",
        "119",
        "117",
        "184",
        "184 03-1234-5678",
        "186-0312345678",
        "12345678",
        "312345678",
        "03-1234-567",
        "03-1234-56789012",
        "+81",
        "0033-03-1234-5678",
        "03-1234-5678 内線12",
        "03-1234-5678;ext=1",
        "0312345678\x00",
        "tel:0312345678",
        "sip:0312345678@example.jp",
        "+" * 20,
        "0" * 65,
        "٠٣١٢٣٤٥٦٧٨",
        "\ud800",
    ],
)
def test_what_is_no_phone_number_is_refused(written: str) -> None:
    with pytest.raises(NotAPhoneNumber):
        parse_e164(written)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A Japanese number as E.164, and one way to write it."""
    area = draw(st.sampled_from(sorted(AREA_AND_LENGTH)))
    length = AREA_AND_LENGTH[area]
    rest = draw(st.sampled_from("123456789")) + draw(
        st.text("0123456789", min_size=length - 1, max_size=length - 1)
    )
    prefix = draw(st.sampled_from(["0", "+81", "81", "0081", "01081", "+81(0)"]))
    separator = draw(st.sampled_from(["", "-", " ", "ー", "‐", "−", "."]))
    written = f"{prefix}{area}{separator}{rest[:-4]}{separator}{rest[-4:]}"
    return f"+81{area}{rest}", written.translate(FULL_WIDTH) if draw(st.booleans()) else written


@given(spellings())
def test_every_spelling_of_a_number_is_that_number(spelling: tuple[str, str]) -> None:
    number, written = spelling
    assert parse_e164(written) == number


@given(spellings())
def test_reading_again_changes_nothing(spelling: tuple[str, str]) -> None:
    number = parse_e164(spelling[1])
    assert parse_e164(number) == number
    assert parse_e164(national(number)) == number


@given(st.text(max_size=80) | st.text("0123456789+-() ０１８＋", max_size=30))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = parse_e164(text)
    except NotAPhoneNumber:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
    assert unicodedata.is_normalized("NFKC", number)


def test_foreign_numbers_have_no_national_form() -> None:
    assert national(E164("+12125550100")) == "+12125550100"


# 00 and 010 begin an international number.
@given(st.from_regex(r"\A0[1-9][0-9]{8,9}\Z").filter(lambda digits: not digits.startswith("010")))
def test_the_short_way_says_what_the_library_says(digits: str) -> None:
    number = phonenumbers.parse(digits, "JP")
    said = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    try:
        assert parse_e164(digits) == said
    except NotAPhoneNumber:
        assert not JAPANESE.fullmatch(said)
