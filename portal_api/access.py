"""Who may do what: one rule for every route, from its method and its path, and the few exceptions to it.

The area of a route is the first word of its path (`messages` of `/messages:delete`). GET reads, all else
writes. An administrator may do everything on the own account, read-only users may read, members may do what
stands in the tables below; operators may do everything. A token's scopes narrow that further. A new
route is guarded the same way without a word about it.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from store.models import Role

AREA = re.compile(r"/api/v1/([a-z-]+)")


class Who(StrEnum):
    """Whom a route is for."""

    PUBLIC = "public"
    """Nobody need say who they are."""

    SIGNED_IN = "signed_in"
    """Whoever has signed in, for what is their own."""

    BY_RULE = "by_rule"
    ADMINISTRATORS = "administrators"
    """Nobody else, not even to read."""

    OPERATORS = "operators"


MEMBERS_READ = frozenset({"calls", "devices", "messages", "numbers", "phonebook", "tokens"})
"""Of devices and calls those of their own devices (`store.reach`), of tokens their own."""

MEMBERS_WRITE = frozenset(
    {
        ("PATCH", "/api/v1/messages/{message_id}"),
        ("POST", "/api/v1/messages:mark"),
        ("POST", "/api/v1/tokens"),
        ("DELETE", "/api/v1/tokens/{token_id}"),
        ("POST", "/api/v1/tokens/{token_id}:rotate"),
    }
)

READ, WRITE = "read", "write"
GRANTING = frozenset({"users", "tokens", "accounts", "sessions", "user"})
"""Areas that say who may do what: only a token that may read and write everything writes there."""


def area_of(path: str) -> str:
    found = AREA.match(path)
    return found[1] if found else ""


def action_of(method: str) -> str:
    return READ if method in ("GET", "HEAD") else WRITE


def scope_of(method: str, path: str) -> str:
    """The scope that a token needs for this route, as `messages:read`."""
    return f"{area_of(path)}:{action_of(method)}"


def roles_of(who: Who, method: str, path: str) -> frozenset[Role]:
    """The roles that may use a route."""
    match who:
        case Who.OPERATORS:
            return frozenset({Role.OPERATOR})
        case Who.ADMINISTRATORS:
            return frozenset({Role.OPERATOR, Role.ADMINISTRATOR})
        case Who.PUBLIC | Who.SIGNED_IN:
            return frozenset(Role)
    roles = {Role.OPERATOR, Role.ADMINISTRATOR}
    if action_of(method) == READ:
        roles.add(Role.READ_ONLY)
        if area_of(path) in MEMBERS_READ:
            roles.add(Role.MEMBER)
    elif (method, path) in MEMBERS_WRITE:
        roles.add(Role.MEMBER)
    return frozenset(roles)


def allows(scopes: frozenset[str] | None, scope: str) -> bool:
    """Whether `scopes` (None: all) contain what a route needs."""
    if scopes is None:
        return True
    area, _, action = scope.partition(":")
    if area in GRANTING and action == WRITE:
        return scopes >= {READ, WRITE}
    return action in scopes or scope in scopes


def exceed(wanted: Iterable[str] | None, scopes: frozenset[str] | None) -> bool:
    """Whether somebody with `scopes` would give away more than that."""
    if scopes is None:
        return False
    return wanted is None or not all(one in scopes or one.rpartition(":")[2] in scopes for one in wanted)


def known_scopes(routes: Iterable[tuple[str, str]]) -> list[str]:
    """Every scope that a token may have; `routes` are methods and paths."""
    of_areas = {scope_of(method, path) for method, path in routes}
    grantable = {one for one in of_areas if allows(frozenset({one}), one)}
    return [READ, WRITE, *sorted(grantable)]
