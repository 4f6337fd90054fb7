"""What can go wrong in the control plane.

PbxError
 ├─ HungUp            the caller is gone
 ├─ AsteriskAway      Asterisk does not answer or the connection is lost; it may come back
 ├─ AsteriskRefused   Asterisk answered no
 └─ StoreAway         the database does not answer in time
"""


class PbxError(Exception):
    """Something went wrong in the control plane."""


class HungUp(PbxError):
    """The caller hung up, or the channel left us. Raised by the verbs of a call and by nothing else."""


class AsteriskAway(PbxError):
    """Asterisk cannot be reached; what was asked may or may not have been done."""


class AsteriskRefused(PbxError):
    """Asterisk refused a request that should have been right."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"Asterisk answered {status}: {reason}")


class StoreAway(PbxError):
    """The database does not answer in time."""
