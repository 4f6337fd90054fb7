"""What was dialled, in every spelling: by properties, and by the cases that are known to go wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.dialplan.names import call_out_extension
from store.e164 import E164
from store.models import DestinationClass
from store.number_plan import (
    EMERGENCY,
    CannotBeDialled,
    Dialled,
    classify,
    in_japan,
    is_emergency,
    take_apart,
)

pytestmark = pytest.mark.unit

NATIONAL = {
    DestinationClass.FREE: r"0120[0-9]{6}|0800[0-9]{7}",
    DestinationClass.NAVI: r"0570[0-9]{6}",
    DestinationClass.PREMIUM: r"(0180|0990)[0-9]{6}",
    DestinationClass.MOBILE: r"0[6-9]0[1-9][0-9]{7}",
    DestinationClass.IP: r"050[1-9][0-9]{7}",
    DestinationClass.FIXED: r"0(3|6|45|52|422|1267)[2-9][0-9]{8}",
}


def numbers(kind: DestinationClass) -> st.SearchStrategy[str]:
    """National spellings of numbers of one kind, of the right length."""
    pattern = NATIONAL[kind]
    found = st.from_regex(re.compile(pattern), fullmatch=True)
    return found.map(lambda number: number[:10]) if kind is DestinationClass.FIXED else found


any_number = st.sampled_from(list(NATIONAL)).flatmap(
    lambda kind: st.tuples(st.just(kind), numbers(kind).filter(lambda one: not one.startswith("0800")))
)


@given(any_number, st.data())
def test_every_spelling_of_a_number_is_the_same_line(
    number: tuple[DestinationClass, str], data: st.DataObject
) -> None:
    kind, national = number
    spelling = data.draw(
        st.sampled_from([national, f"+81{national[1:]}", f"0081{national[1:]}", f"01081{national[1:]}"])
    )
    hyphens = data.draw(st.sets(st.integers(4, len(spelling) - 1), max_size=3))
    written = "".join(f"-{sign}" if place in hyphens else sign for place, sign in enumerate(spelling))
    found = classify(take_apart(written).destination)
    assert (found.kind, found.number) == (kind, f"+81{national[1:]}")
    assert (found.national, in_japan(found.number)) == (national, national)


@given(
    any_number,
    st.sampled_from(["", "184", "186"]),
    st.one_of(st.none(), st.integers(0, 99).map("{:02d}".format)),
    st.booleans(),
)
def test_what_stands_before_is_taken_off_in_any_order(
    number: tuple[DestinationClass, str], presentation: str, line: str | None, line_first: bool
) -> None:
    before = [f"*{line}" if line else "", presentation]
    text = "".join(before if line_first else before[::-1]) + number[1]
    hidden = {"": None, "184": True, "186": False}[presentation]
    assert take_apart(text) == Dialled(number[1], line, hidden)


@given(
    st.sampled_from(sorted(EMERGENCY)),
    st.lists(st.sampled_from(["184", "186", "*01"]), max_size=2, unique=True),
)
def test_nothing_hides_an_emergency_call(number: str, before: list[str]) -> None:
    if {"184", "186"} <= set(before):
        # Both together are a slip of the finger; no telephone network takes them.
        return
    text = "".join(before) + number
    assert is_emergency(text)
    assert classify(take_apart(text).destination).kind is DestinationClass.EMERGENCY


@given(st.text(alphabet="0123456789+*#", max_size=24))
def test_whatever_is_dialled_is_classified_or_refused(text: str) -> None:
    """And what goes to the dialplan can be taken apart there."""
    try:
        found = classify(take_apart(text).destination)
    except CannotBeDialled as reason:
        assert reason.code in {"invalid_number", "carrier_selection", "not_a_person"}
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}|1[0-9]{2}|#[0-9]{4}", found.number)
    assert (found.kind is DestinationClass.EMERGENCY) == (found.number in EMERGENCY)
    extension = call_out_extension(found.number, "+81312345678", found.kind.value, False, None)
    assert extension.count("-") == 4
    assert len(extension) < 80


@given(st.integers(1, 999_999_999_999).map(str))
def test_only_japan_is_at_home(digits: str) -> None:
    try:
        found = classify(f"010{digits}")
    except CannotBeDialled:
        return
    abroad = {DestinationClass.OVERSEAS, DestinationClass.PREMIUM}
    assert (found.kind in abroad) or digits.startswith("81")
    assert not digits.startswith("81") or found.number == E164(f"+{digits}") or found.kind in abroad


@pytest.mark.parametrize(
    ("dialled", "kind", "number"),
    [
        ("117", DestinationClass.SPECIAL, "117"),
        ("#7119", DestinationClass.SPECIAL, "#7119"),
        ("188", DestinationClass.SPECIAL, "188"),
        ("0600-111-2222"[:11], None, ""),
        ("06001112222", DestinationClass.MOBILE, "+816001112222"),
        ("01012125550100", DestinationClass.OVERSEAS, "+12125550100"),
        ("+12125550100", DestinationClass.OVERSEAS, "+12125550100"),
        ("010881612345678", DestinationClass.PREMIUM, "+881612345678"),
        ("02012345678", None, "not_a_person"),
        ("0033010442071234567", None, "carrier_selection"),
        ("00330312345678", None, "carrier_selection"),
        ("177", None, "invalid_number"),
        ("104", None, "invalid_number"),
        ("12345678", None, "invalid_number"),
        ("81312345678", None, "invalid_number"),
        ("0312345", None, "invalid_number"),
        ("", None, "invalid_number"),
    ],
)
def test_single_numbers(dialled: str, kind: DestinationClass | None, number: str) -> None:
    destination = take_apart(dialled).destination
    if kind is None:
        with pytest.raises(CannotBeDialled) as refused:
            classify(destination)
        assert refused.value.code == (number or "invalid_number")
    else:
        found = classify(destination)
        assert (found.kind, found.number) == (kind, number)


def test_a_short_number_that_begins_like_184_stays_whole() -> None:
    assert take_apart("1841").destination == "1841"
    assert take_apart("1841001") == Dialled("1001", None, True)
