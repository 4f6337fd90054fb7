"""What can go wrong in the control plane.

PbxError
 ├─ HungUp       the caller is gone
 └─ StoreAway    the database does not answer in time
AsteriskAway     Asterisk does not answer or the connection is lost; it may come back
AsteriskRefused  Asterisk answered no
"""

from ami.errors import AsteriskAway, AsteriskRefused

__all__ = ["AsteriskAway", "AsteriskRefused", "HungUp", "PbxError", "StoreAway"]


class PbxError(Exception):
    """Something went wrong in the control plane."""


class HungUp(PbxError):
    """The caller hung up, or the channel left us. Raised by the verbs of a call and by nothing else."""


class StoreAway(PbxError):
    """The database does not answer in time."""
