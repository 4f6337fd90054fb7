"""What the HTTP API is to others' pages and programs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiSettings:
    """The defaults let no other site's page in, and demand nothing of who edits."""

    cors_origins: tuple[str, ...] = ()
    """Origins (`https://example.jp`) whose pages may use the API from a browser; `*` is any."""

    require_if_match: bool = False
    """Every edit must say which state of the thing it changes."""
