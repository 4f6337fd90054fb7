import pytest

from pbx.routing.caller import identify_caller
from store.arrivals import Caller
from store.models import CallerKind

pytestmark = pytest.mark.unit

ALLOWED, HIDDEN = "allowed_not_screened", "prohib_not_screened"
WITHHELD = Caller(None, CallerKind.WITHHELD)
PAYPHONE = Caller(None, CallerKind.PAYPHONE)
UNAVAILABLE = Caller(None, CallerKind.UNAVAILABLE)


def number(e164: str) -> Caller:
    return Caller(e164, CallerKind.NUMBER)


CASES = {
    "national": ("09012345678", "", ALLOWED, number("+819012345678")),
    "fixed": ("0312345678", "", ALLOWED, number("+81312345678")),
    "E.164": ("+819012345678", "", ALLOWED, number("+819012345678")),
    "from abroad": ("+442071838750", "", ALLOWED, number("+442071838750")),
    "a business's name beside it": ("0312345678", "Bitcoin Bank", ALLOWED, number("+81312345678")),
    "a name of the reasons' kind": ("0312345678", "Unavailable Records", ALLOWED, number("+81312345678")),
    "a short number": ("110", "", ALLOWED, number("110")),
    "Privacy: id with P-Asserted-Identity": ("+819012345678", "", HIDDEN, WITHHELD),
    "passed screen": ("09012345678", "", "allowed_passed_screen", number("+819012345678")),
    "anonymous URI": ("anonymous", "Anonymous", HIDDEN, WITHHELD),
    "anonymous URI, presentation not told": ("anonymous", "Anonymous", ALLOWED, WITHHELD),
    "anonymous by name only": ("09012345678", "Anonymous", ALLOWED, WITHHELD),
    "payphone": ("anonymous", "Coin line/payphone", HIDDEN, PAYPHONE),
    "payphone, as the dialplan's slip has it": ("", "payphone", "prohib", PAYPHONE),
    "out of area": ("anonymous", "Unavailable", HIDDEN, UNAVAILABLE),
    "clashing services": ("anonymous", "Interaction with other service", HIDDEN, UNAVAILABLE),
    "presentation unavailable": ("", "", "unavailable", UNAVAILABLE),
    "nothing at all": ("", "", "", WITHHELD),
    "letters": ("sales", "", ALLOWED, WITHHELD),
    "many plus signs": ("+" * 50 + "81", "", ALLOWED, WITHHELD),
    "too many digits": ("1" * 30, "", ALLOWED, WITHHELD),
    "digits of another script": ("１１０", "", ALLOWED, WITHHELD),
}  # fmt: skip


@pytest.mark.parametrize(("said", "name", "presentation", "caller"), CASES.values(), ids=CASES.keys())
def test_who_calls(said: str, name: str, presentation: str, caller: Caller) -> None:
    assert identify_caller(said, name, presentation) == caller


@pytest.mark.parametrize("name", ["ANONYMOUS", " anonymous ", "Coin Line/Payphone", "unavailable"])
def test_carriers_spell_reasons_as_they_like(name: str) -> None:
    assert identify_caller("anonymous", name, ALLOWED).number is None
