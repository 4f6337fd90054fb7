"""What the store refuses.

StoreError
├── NotFound      no such thing in this account
├── Unusable      what was given names something that cannot be used
├── Conflict      it clashes with what is there
│   └── InUse     something still needs it
├── BadCursor     not a cursor of ours
├── TooManyTries  somebody has tried too often
├── NotRemoved    a file that was to go cannot be removed
├── NotAudio      not an 8 kHz 16-bit mono WAV
└── SealBroken    a sealed text that this instance's key does not open
"""

from dataclasses import dataclass
from datetime import timedelta


class StoreError(Exception):
    """The store refuses."""


class NotFound(StoreError):
    """There is no such thing in this account."""


class Unusable(StoreError):
    """The value of `field` names something that cannot be used; `code` says why."""

    def __init__(self, field: str, code: str) -> None:
        super().__init__(f"{field}: {code}")
        self.field = field
        self.code = code


class Conflict(StoreError):
    """It clashes with what is there; `code` says how."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Use:
    """What needs something: `kind` as in the API's paths, without the plural."""

    kind: str
    id: str
    name: str


class InUse(Conflict):
    """Something still needs it."""

    def __init__(self, used_by: list[Use]) -> None:
        super().__init__("in_use")
        self.used_by = used_by


class TooManyTries(StoreError):
    """Somebody has tried too often; `wait` says how long until the next."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"wait {wait}")
        self.wait = wait


class BadCursor(StoreError):
    """Not a cursor of ours."""


class NotRemoved(StoreError):
    """A file that was to go cannot be removed; what it belongs to stays."""


class NotAudio(StoreError):
    """Not an 8 kHz 16-bit mono WAV."""


class SealBroken(StoreError):
    """A sealed text that this instance's key does not open."""
