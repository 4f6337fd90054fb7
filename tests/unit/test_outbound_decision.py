"""Who may call whom, and in whose name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.routing.outbound import REFUSALS, DialOut, Refuse, RingColleague, decide, refusal
from store.calling import CallingDevice, Colleague, OwnNumber, allowed_classes, usual_number
from store.models import ON_AT_FIRST, SWITCHABLE, UNCHARGED, DestinationClass, NumberUse
from store.number_plan import Dialled, take_apart

pytestmark = pytest.mark.unit

MAIN, SECOND = OwnNumber("n1", "+81312345678", 1), OwnNumber("n2", "+81312345679", 2)
DEVICE = CallingDevice("d", "a", "1001", "21", (MAIN, SECOND), MAIN, False, ON_AT_FIRST)
COLLEAGUE = Colleague("d2", "1002", "22")

some_classes = st.one_of(st.none(), st.sets(st.sampled_from(SWITCHABLE)).map(sorted))


def decided(dialled: str, device: CallingDevice = DEVICE, colleague: Colleague | None = None) -> object:
    return decide(device, take_apart(dialled), colleague)


def dialled_out(dialled: str, device: CallingDevice = DEVICE) -> DialOut:
    decision = decided(dialled, device)
    assert isinstance(decision, DialOut)
    return decision


@given(
    st.sampled_from(["110", "118", "119", "184110", "186119", "*02118", "*99110"]),
    st.frozensets(st.sampled_from(list(DestinationClass))),
    st.booleans(),
    st.sampled_from([(MAIN, SECOND), ()]),
    st.sampled_from([None, COLLEAGUE]),
)
def test_no_setting_stands_in_the_way_of_an_emergency_call(
    dialled: str,
    allowed: frozenset[DestinationClass],
    hides: bool,
    numbers: tuple[OwnNumber, ...],
    colleague: Colleague | None,
) -> None:
    device = replace(
        DEVICE, allowed=allowed, hides_number=hides, numbers=numbers, default=numbers[0] if numbers else None
    )
    decision = decide(device, take_apart(dialled), colleague)
    assert isinstance(decision, DialOut)
    assert decision.destination.kind is DestinationClass.EMERGENCY
    assert (decision.hidden, decision.charged) == (False, False)
    assert (decision.own is None) == (not numbers)


@given(some_classes, some_classes)
def test_a_device_may_call_no_more_than_its_account(
    account: list[DestinationClass] | None, device: list[DestinationClass] | None
) -> None:
    allowed = allowed_classes(account, device)
    assert allowed <= (ON_AT_FIRST if account is None else set(account))
    assert device is None or allowed <= set(device)


@pytest.mark.parametrize("kind", ["overseas", "premium"])
def test_what_is_dear_is_off_at_first(kind: str) -> None:
    dialled = {"overseas": "01012125550100", "premium": "0990123456"}[kind]
    assert decided(dialled) == Refuse("class_not_allowed", dialled_out(dialled, _everything()).destination)


def _everything() -> CallingDevice:
    return replace(DEVICE, allowed=frozenset(SWITCHABLE))


def test_the_number_shown() -> None:
    """The device's own, unless a line is dialled; hidden by setting or by 184, shown by 186."""
    hiding = replace(DEVICE, hides_number=True)
    assert (dialled_out("0311112222").own, dialled_out("*020311112222").own) == (MAIN, SECOND)
    assert decided("*070311112222") == Refuse("unknown_line", dialled_out("0311112222").destination)
    shown = [dialled_out(one).hidden for one in ("0311112222", "1840311112222", "1860311112222")]
    assert shown == [False, True, False]
    shown = [dialled_out(one, hiding).hidden for one in ("0311112222", "1840311112222", "1860311112222")]
    assert shown == [True, True, False]


def test_an_account_without_a_number_calls_nobody_outside() -> None:
    device = replace(DEVICE, numbers=(), default=None)
    decision = decided("0311112222", device)
    assert isinstance(decision, Refuse)
    assert decision.code == "no_caller_number"
    assert decided("22", device, COLLEAGUE) == RingColleague(COLLEAGUE)


def test_a_colleague_is_called_by_whatever_is_no_number() -> None:
    assert decide(DEVICE, Dialled("22"), COLLEAGUE) == RingColleague(COLLEAGUE)
    assert decide(DEVICE, Dialled("abc"), COLLEAGUE) == RingColleague(COLLEAGUE)
    assert decide(DEVICE, Dialled("22"), None) == Refuse("invalid_number")


def test_what_costs_nothing_is_not_charged() -> None:
    dialled = ["0120123456", "0311112222", "09011112222", "0570123456", "117"]
    assert [dialled_out(one).charged for one in dialled] == [False, True, True, True, True]
    assert DestinationClass.INTERNAL in UNCHARGED


def test_every_refusal_is_spoken() -> None:
    for code in (*REFUSALS, "credit_exhausted"):
        sound, cause = refusal(code)
        assert sound.startswith("outbound-")
        assert 1 <= cause <= 127


@pytest.mark.parametrize(
    ("uses", "chosen", "usual"),
    [
        ((NumberUse.FAX, NumberUse.VOICE), None, SECOND),
        ((NumberUse.FAX, NumberUse.FAX), None, MAIN),
        ((NumberUse.VOICE, NumberUse.VOICE), "n2", SECOND),
        ((NumberUse.VOICE, NumberUse.VOICE), "gone", MAIN),
    ],
)
def test_the_usual_number(uses: tuple[NumberUse, ...], chosen: str | None, usual: OwnNumber) -> None:
    assert usual_number((MAIN, SECOND), uses, chosen) == usual
    assert usual_number((), (), chosen) is None
