"""What the line says of a call, as people understand it, and what follows."""

from datetime import UTC, datetime

import pytest

from faxgw.outcomes import T30, died, outcome_of
from faxgw.retries import LADDER, Tried, Values, next_try
from store.fax_line import FaxSlip, parse_fax_slip
from store.models import FaxResultClass as Class
from store.models import FaxTransport

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 24, tzinfo=UTC)
T38, G711 = FaxTransport.T38, FaxTransport.G711


@pytest.mark.parametrize(
    ("tech", "cause", "dialstatus", "result", "code"),
    [
        (486, 17, "BUSY", Class.BUSY, "sip_486"),
        (600, 17, "BUSY", Class.BUSY, "sip_600"),
        (404, 1, "CONGESTION", Class.BAD_NUMBER, "sip_404"),
        (484, 28, "CONGESTION", Class.BAD_NUMBER, "sip_484"),
        (403, 21, "CONGESTION", Class.REFUSED, "sip_403"),
        (480, 19, "NOANSWER", Class.NO_ANSWER, "sip_480"),
        (None, 16, "NOANSWER", Class.NO_ANSWER, "q850_16"),
        (503, 34, "CONGESTION", Class.NETWORK, "sip_503"),
        (None, None, "CHANUNAVAIL", Class.NETWORK, "dial_chanunavail"),
        (None, None, "", Class.NETWORK, "dial_failed"),
        (488, 58, "CONGESTION", Class.NOT_CAPABLE, "sip_488"),
    ],
)
def test_calls_that_nobody_answered(
    tech: int | None, cause: int | None, dialstatus: str, result: Class, code: str
) -> None:
    outcome = outcome_of(FaxSlip(tech_cause=tech, cause=cause, dialstatus=dialstatus), 3)
    assert (outcome.result, outcome.code, outcome.pages) == (result, code, 0)
    assert outcome.text


def answered(**words: object) -> FaxSlip:
    return FaxSlip(answered_at=AT, status="FAILED", **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", T30)
def test_every_word_of_spandsp_has_a_class_and_a_code(words: str) -> None:
    # The dialplan drops all signs but these.
    filtered = "".join(sign for sign in words if sign.isalnum() or sign in " ./_")
    outcome = outcome_of(answered(statusstr=filtered, remote="0311112222"), 3)
    assert outcome.code == f"t30_{T30[words][0]}"
    assert outcome.result is T30[words][1]


def test_success_is_what_the_line_calls_so() -> None:
    sent = outcome_of(FaxSlip(answered_at=AT, status="SUCCESS", error="HANGUP", pages=3), 3)
    assert (sent.result, sent.pages) == (Class.OK, 3)


def test_every_page_confirmed_and_no_good_bye_is_sent() -> None:
    words = "The HDLC carrier did not stop in a timely manner"
    sent = outcome_of(answered(statusstr=words, pages=3), 3)
    assert (sent.result, sent.code) == (Class.OK, "t30_hdlc_carrier")


def test_a_cut_says_how_many_pages_arrived() -> None:
    cut = outcome_of(answered(statusstr="The call dropped prematurely", pages=2, remote="0311112222"), 5)
    assert (cut.result, cut.pages) == (Class.CUT_OFF, 2)
    assert "2ページ" in cut.text


def test_a_person_who_hangs_up_is_no_fax() -> None:
    person = outcome_of(answered(statusstr="The call dropped prematurely"), 5)
    assert person.result is Class.NOT_A_FAX


def test_trouble_on_the_line_after_pages_is_a_cut() -> None:
    cut = outcome_of(answered(statusstr="No response after sending a page", pages=1), 5)
    assert (cut.result, cut.code) == (Class.CUT_OFF, "t30_tx_phddead")


def test_unknown_words_are_a_bad_line_and_kept_as_a_code() -> None:
    odd = outcome_of(answered(statusstr="Something New / unheard of"), 1)
    assert (odd.result, odd.code) == (Class.BAD_LINE, "t30_something_new_unheard_of")


def test_our_own_faults() -> None:
    assert outcome_of(answered(error="FILE_ERROR"), 1).result is Class.OUR_FAULT


def test_asterisk_died() -> None:
    assert died(FaxSlip(), 0, watched=False).result is Class.NETWORK
    seen = died(answered(), 2, watched=True)
    assert (seen.result, seen.pages) == (Class.CUT_OFF, 2)
    assert died(answered(), 0, watched=False).result is Class.UNKNOWN


def tried(result: Class, code: str = "", *values: Values) -> list[Tried]:
    return [Tried(one, result, code) for one in values or (Values(),)]


@pytest.mark.parametrize("result", [Class.BAD_NUMBER, Class.REFUSED, Class.UNKNOWN, Class.OK])
def test_what_is_final(result: Class) -> None:
    assert next_try(tried(result), 60) is None


def test_busy_numbers_are_called_five_times_more() -> None:
    waits = []
    history = tried(Class.BUSY)
    while (again := next_try(history, 60)) is not None:
        waits.append(again.after_s)
        history += tried(Class.BUSY, "", again.values)
    assert waits == [60, 120, 180, 300, 300]


def test_a_bad_line_gets_other_values_each_time() -> None:
    history = tried(Class.BAD_LINE)
    values = [history[0].values]
    while (again := next_try(history, 1)) is not None:
        values.append(again.values)
        history += tried(Class.BAD_LINE, "", again.values)
    assert values == list(LADDER)


@pytest.mark.parametrize("result", [Class.CUT_OFF, Class.NETWORK])
def test_what_our_own_restart_cut_is_tried_with_the_same_values(result: Class) -> None:
    """It says nothing of the far machine."""
    values = Values(T38, max_rate=9600)
    again = next_try([Tried(values, result, "line_restarted")], 1)
    assert again is not None
    assert again.values == values


def test_after_t38_failed_to_begin_no_t38_is_tried() -> None:
    history = tried(Class.BAD_LINE, "t30_t38_neg_error")
    again = next_try(history, 1)
    assert again is not None
    assert again.values.transport is G711
    history += tried(Class.BAD_LINE, "t30_t38_neg_error", again.values)
    further = next_try(history, 1)
    assert further is not None
    assert further.values.transport is G711


def test_what_a_destination_is_remembered_for_comes_first_and_is_not_tried_twice() -> None:
    history = tried(Class.CUT_OFF, "", Values(G711))
    again = next_try(history, 1)
    assert again is not None
    assert again.values == Values(T38)


def test_a_simple_machine_gets_standard_resolution() -> None:
    again = next_try(tried(Class.NOT_CAPABLE, "t30_noressupport"), 1)
    assert again is not None
    assert again.values == Values(fine=False)
    assert next_try(tried(Class.NOT_CAPABLE, "t30_nosizesupport"), 1) is None


def test_nobody_is_called_for_ever() -> None:
    results = [Class.BUSY, Class.BAD_LINE, Class.NETWORK, Class.CUT_OFF] * 2
    history = [Tried(Values(), result, "") for result in results]
    assert next_try(history, 1) is None


def test_a_slip_may_end_anywhere_and_hold_anything() -> None:
    whole = (
        "direction=in\nnumber=+81312345679\ncaller=0355556666\nstarted_at=1763900000\nanswered_at=1763900001\n"
        "status=SUCCESS\npages=3\nrate=14400\nresolution=8031x7700\nremote= 03\x00\x1b[31m5555 \necm=yes\n"
        "mode=t38\nended_at=1763900060\n"
    )
    slip = parse_fax_slip(whole)
    assert (slip.number, slip.pages, slip.rate, slip.ecm, slip.mode) == (
        "+81312345679",
        3,
        14400,
        True,
        "t38",
    )
    assert slip.remote == "03[31m5555"
    for end in range(len(whole)):
        parse_fax_slip(whole[:end])
    # Half a number would be another one.
    assert parse_fax_slip(whole[: whole.index("3900060\n") + 3]).ended_at is None
    assert parse_fax_slip("pages=-1\nrate=x\nended_at=inf\ncause=999999999999\n") == FaxSlip()
