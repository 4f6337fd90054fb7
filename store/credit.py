"""Whether an account may make a chargeable call, and for how long.

This version knows no prices and no balances: it allows every call, without a limit, and reserves nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from store.models import DestinationClass


@dataclass(frozen=True)
class Allowance:
    """What a call may cost in time: None means no limit. `code` says why it is not allowed."""

    allowed: bool
    limit_s: int | None
    code: str = ""


def reserve(
    connection: Connection,
    *,
    account_id: str,
    call_id: str,
    destination_class: DestinationClass,
    e164: str,
    device_id: str,
    at: datetime,
) -> Allowance:
    """Set aside what the call may cost, in the transaction of whoever asks. Twice for a call is as once."""
    return Allowance(True, None)


def release(connection: Connection, call_id: str) -> None:
    """Give back what was set aside for a call that is over, or was never made."""
