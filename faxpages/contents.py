"""What stands on pages of our own. `faxpages.paper` draws them; reportlab, which it takes, is large."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Cover:
    """What stands on a cover page."""

    sender: str
    """Our number."""
    to: tuple[str, ...]
    """The destinations' numbers."""
    at: datetime
    addressee: str = ""
    """Whom it is for, in words."""
    company: str = ""
    subject: str = ""
    message: str = ""


@dataclass(frozen=True)
class Tried:
    """One call, as the report shows it."""

    at: datetime
    result: str
    code: str
    pages: str
    transport: str
