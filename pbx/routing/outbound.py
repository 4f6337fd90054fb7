"""What to do with a call from a device. Pure: the device and what it dialled in, a decision out."""

from dataclasses import dataclass

from store.calling import CallingDevice, Colleague, OwnNumber
from store.models import UNCHARGED, DestinationClass
from store.number_plan import CannotBeDialled, Destination, Dialled, classify

CAUSE_INVALID = 28
"""Q.850 invalid number format, which a SIP caller gets as 484."""

CAUSE_NOT_ALLOWED = 21
"""Q.850 call rejected: 403."""


@dataclass(frozen=True)
class Refuse:
    """The caller hears why, and stays unconnected. `code` stands in the call's record."""

    code: str
    destination: Destination | None = None


@dataclass(frozen=True)
class RingColleague:
    colleague: Colleague


@dataclass(frozen=True)
class DialOut:
    """`own` is shown to the called, unless `hidden`; None: the account has no number."""

    destination: Destination
    own: OwnNumber | None
    hidden: bool

    @property
    def charged(self) -> bool:
        return self.destination.kind not in UNCHARGED


Decision = Refuse | RingColleague | DialOut

REFUSALS: dict[str, tuple[str, int]] = {
    "invalid_number": ("outbound-invalid", CAUSE_INVALID),
    "carrier_selection": ("outbound-not-allowed", CAUSE_NOT_ALLOWED),
    "not_a_person": ("outbound-not-allowed", CAUSE_NOT_ALLOWED),
    "class_not_allowed": ("outbound-not-allowed", CAUSE_NOT_ALLOWED),
    "unknown_line": ("outbound-no-number", CAUSE_NOT_ALLOWED),
    "no_caller_number": ("outbound-no-number", CAUSE_NOT_ALLOWED),
    # Nobody knows what such a call costs.
    "no_rate": ("outbound-not-allowed", CAUSE_NOT_ALLOWED),
    "no_tariff": ("outbound-not-allowed", CAUSE_NOT_ALLOWED),
    "unknown_device": ("outbound-try-again", CAUSE_NOT_ALLOWED),
}
NO_CREDIT = ("outbound-no-credit", CAUSE_NOT_ALLOWED)


def refusal(code: str) -> tuple[str, int]:
    """What the caller hears (a sound), and the cause of the hang-up; what is not ours is billing's."""
    return REFUSALS.get(code, NO_CREDIT)


def decide(device: CallingDevice, dialled: Dialled, colleague: Colleague | None) -> Decision:
    """What to do with a call from `device`; `colleague` is its account's device of that name, if any.

    An emergency call comes before everything else: no setting refuses it, and 184 does not hide it.
    """
    try:
        destination = classify(dialled.destination)
    except CannotBeDialled as reason:
        return RingColleague(colleague) if colleague else Refuse(reason.code)
    if destination.kind is DestinationClass.EMERGENCY:
        return DialOut(destination, _own(device, dialled) or device.default, hidden=False)
    if colleague is not None:
        return RingColleague(colleague)
    if destination.kind not in device.allowed:
        return Refuse("class_not_allowed", destination)
    own = _own(device, dialled)
    if own is None:
        return Refuse("unknown_line" if dialled.line else "no_caller_number", destination)
    hidden = device.hides_number if dialled.hidden is None else dialled.hidden
    return DialOut(destination, own, hidden)


def _own(device: CallingDevice, dialled: Dialled) -> OwnNumber | None:
    """The number to show: that of the line chosen by the caller, else the device's usual one."""
    if dialled.line is None:
        return device.default
    return next((one for one in device.numbers if one.line == int(dialled.line)), None)
