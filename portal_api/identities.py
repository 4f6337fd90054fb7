"""Who a token stands for, remembered for a moment: most requests come with one that was just looked up.

What is changed through this process counts at once: it is forgotten before the change is answered. What
another process changes (the command line, a second API) counts after `KEPT_S` at the latest.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256

from aiohttp import web

from store.models import now
from store.tokens import Identity

KEPT_S = 1.0
MOST_KEPT = 10_000


@dataclass
class Identities:
    """Secrets that were found good, by their digests."""

    clock: Callable[[], float] = time.monotonic
    _found: dict[bytes, tuple[Identity, float]] = field(default_factory=dict)
    _changes: int = 0

    async def of(self, secret: str, look_up: Callable[[str], Awaitable[Identity | None]]) -> Identity | None:
        """Give whose token `secret` is, remembered or looked up; None where it is nobody's."""
        key = sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found, until = self._found.get(key, (None, 0.0))
        if found is not None and self.clock() < until and not _has_ended(found):
            return found
        changes = self._changes
        found = await look_up(secret)
        # What was read before a change and comes after it would be remembered for too long.
        if found is not None and changes == self._changes:
            if len(self._found) >= MOST_KEPT:
                self._found.clear()
            self._found[key] = (found, self.clock() + KEPT_S)
        return found

    def forget(self) -> None:
        """Something was changed, and it may have been who may do what."""
        self._changes += 1
        self._found.clear()


def _has_ended(identity: Identity) -> bool:
    return identity.expires_at is not None and identity.expires_at <= now()


IDENTITIES = web.AppKey("identities", Identities)
