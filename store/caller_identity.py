"""Who calls: a number, or why there is none (非通知, 公衆電話, 表示圏外)."""

from store.arrivals import Caller
from store.e164 import NotAPhoneNumber, parse_e164
from store.models import CallerKind

REASONS = {
    "anonymous": CallerKind.WITHHELD,
    "coin line/payphone": CallerKind.PAYPHONE,
    "coin line": CallerKind.PAYPHONE,
    "payphone": CallerKind.PAYPHONE,
    "unavailable": CallerKind.UNAVAILABLE,
    "interaction with other service": CallerKind.UNAVAILABLE,
}
"""Display names that tell why there is no number. The whole name: a company may be called Coin Corp."""


def identify_caller(number: str, name: str, presentation: str) -> Caller:
    """What the trunk says of its caller.

    `number` and `name` as Asterisk gives them (P-Asserted-Identity before From), `presentation` its
    CALLERID(num-pres). A number the caller wished to hide (`Privacy: id`, RFC 3323/3325) is not kept,
    though the trunk tells it. Display names tell why there is none, as carriers in Japan send them.
    """
    reason = REASONS.get(name.strip().casefold())
    if reason is not None:
        return Caller(None, reason)
    if presentation.startswith("unavailable"):
        return Caller(None, CallerKind.UNAVAILABLE)
    if presentation.startswith("prohib") or not number:
        return Caller(None, CallerKind.WITHHELD)
    try:
        return Caller(parse_e164(number), CallerKind.NUMBER)
    except NotAPhoneNumber:
        plain = number.removeprefix("+")
        if plain.isdecimal() and plain.isascii() and len(plain) <= 20:
            # A short or private number: shown as it came.
            return Caller(number, CallerKind.NUMBER)
        return Caller(None, CallerKind.WITHHELD)
