"""How the API is guarded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AccessSettings:
    """`session_hours` is how long somebody stays signed in, `requests_per_s` each token's (0: any number)."""

    session_hours: int = 12
    requests_per_s: int = 200
    trusted_proxies: tuple[str, ...] = ()
    """Networks of the proxies whose `X-Forwarded-For` is believed."""

    audit_days: int = 730
    """How long the audit log is kept; 0: for good."""
