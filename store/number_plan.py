"""Japan's number plan: what a caller dialled, and what kind of line it is. Pure.

Sources: the numbering tables of the Ministry of Internal Affairs and Communications (soumu.go.jp,
tel_number); services with three digits as they are today.
"""

import re
from dataclasses import dataclass, replace

from store.e164 import E164, NotAPhoneNumber, is_japanese, national, parse_e164
from store.models import DestinationClass

LONGEST_DIALLED = 40
EMERGENCY = frozenset({"110", "118", "119"})
SPECIAL = frozenset({"113", "114", "115", "116", "117", "171", "188", "189"})
SHORT_SERVICE = re.compile(r"#[0-9]{4}")
"""#7119, #8000, #9110 and their like."""

BEFORE = re.compile(r"(?:\*(?P<line>[0-9]{2})|(?P<presentation>18[46])(?=[^0-9]|[0-9]{3}))")
"""What may stand before a destination: whose number to show (`*` and two digits), 184, 186."""

CARRIER_SELECTION = re.compile(r"00(?!81)[0-9]+")
PREMIUM_ABROAD = ("+870", "+878", "+881", "+882", "+883", "+979")
"""Satellites, international networks and premium services."""

CLASSES: tuple[tuple[str, DestinationClass], ...] = (
    (r"0120|0800", DestinationClass.FREE),
    (r"0570", DestinationClass.NAVI),
    (r"0170|0180|0990", DestinationClass.PREMIUM),
    # 0600 reaches a person wherever they are, and costs as mobile telephones do.
    (r"0600|0[6789]0", DestinationClass.MOBILE),
    (r"050", DestinationClass.IP),
    (r"0", DestinationClass.FIXED),
)
MACHINES = re.compile(r"020")
UNSHOWN_SEPARATORS = re.compile(r"[\s().\-]")


class CannotBeDialled(ValueError):
    """No call can be made of what was dialled; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Dialled:
    """What was dialled, taken apart: whose number to show and whether to show it, and the destination.

    `line` is the two digits after `*`; `hidden` is True for 184, False for 186, None for neither.
    """

    destination: str
    line: str | None = None
    hidden: bool | None = None


@dataclass(frozen=True)
class Destination:
    """`number` is E.164, or a service's digits (117, #7119)."""

    number: str
    kind: DestinationClass

    @property
    def national(self) -> str:
        """As it is dialled on a Japanese line."""
        return f"010{self.number[1:]}" if foreign(self.number) else in_japan(self.number)


def foreign(number: str) -> bool:
    return number.startswith("+") and not is_japanese(E164(number))


def in_japan(number: str) -> str:
    """`+81312345678` as `0312345678`; services' digits as they are."""
    return national(E164(number))


def take_apart(text: str) -> Dialled:
    """Take what stands before the destination off, in whichever order it was dialled."""
    rest, found = UNSHOWN_SEPARATORS.sub("", text), Dialled("")
    while before := BEFORE.match(rest):
        if before["line"] and found.line is None:
            found = replace(found, line=before["line"])
        elif before["presentation"] and found.hidden is None:
            found = replace(found, hidden=before["presentation"] == "184")
        else:
            break
        rest = rest[before.end() :]
    return replace(found, destination=rest)


def is_emergency(text: str) -> bool:
    """Police, coast guard, fire and ambulance, whatever stands before."""
    return take_apart(text).destination in EMERGENCY


def classify(destination: str) -> Destination:
    """The line that `destination` (without anything before it) reaches. Raises CannotBeDialled.

    Codes: `invalid_number`, `carrier_selection` (0033 and its like), `not_a_person` (020).
    """
    if destination in EMERGENCY:
        return Destination(destination, DestinationClass.EMERGENCY)
    if destination in SPECIAL or SHORT_SERVICE.fullmatch(destination):
        return Destination(destination, DestinationClass.SPECIAL)
    if CARRIER_SELECTION.fullmatch(destination):
        raise CannotBeDialled("carrier_selection")
    if not destination.startswith(("0", "+")):
        # Without its area code it is nobody's number; 81… would be read as a country code.
        raise CannotBeDialled("invalid_number")
    try:
        number = parse_e164(destination)
    except NotAPhoneNumber:
        raise CannotBeDialled("invalid_number") from None
    return Destination(number, _class_of(number))


def _class_of(number: E164) -> DestinationClass:
    if not is_japanese(number):
        premium = number.startswith(PREMIUM_ABROAD)
        return DestinationClass.PREMIUM if premium else DestinationClass.OVERSEAS
    digits = national(number)
    if MACHINES.match(digits):
        raise CannotBeDialled("not_a_person")
    return next(kind for beginning, kind in CLASSES if re.match(beginning, digits))
