"""Who may do what, as a table; how often; and from where."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from portal_api.access import Who, allows, area_of, exceed, known_scopes, roles_of, scope_of
from portal_api.addresses import address_of
from portal_api.limits import MOST_REMEMBERED, Rate
from portal_api.main import ROUTES
from store.models import Role

pytestmark = pytest.mark.unit

EVERYBODY = set(Role)
OPERATOR, ADMINISTRATOR, MEMBER, READ_ONLY = Role.OPERATOR, Role.ADMINISTRATOR, Role.MEMBER, Role.READ_ONLY


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/messages/{message_id}/audio", "messages:read"),
        ("HEAD", "/api/v1/messages", "messages:read"),
        ("POST", "/api/v1/messages:delete", "messages:write"),
        ("PUT", "/api/v1/numbers/{number_id}/rusurepo", "numbers:write"),
        ("POST", "/api/v1/phonebook/entries", "phonebook:write"),
        ("GET", "/api/v1/audit-log", "audit-log:read"),
    ],
)
def test_a_routes_scope_follows_from_its_path(method: str, path: str, scope: str) -> None:
    assert scope_of(method, path) == scope


@pytest.mark.parametrize(
    ("who", "method", "path", "roles"),
    [
        (Who.BY_RULE, "GET", "/api/v1/something-new", {OPERATOR, ADMINISTRATOR, READ_ONLY}),
        (Who.BY_RULE, "POST", "/api/v1/something-new", {OPERATOR, ADMINISTRATOR}),
        (Who.BY_RULE, "GET", "/api/v1/calls", EVERYBODY),
        (Who.BY_RULE, "PATCH", "/api/v1/messages/{message_id}", {OPERATOR, ADMINISTRATOR, MEMBER}),
        (Who.BY_RULE, "DELETE", "/api/v1/messages/{message_id}", {OPERATOR, ADMINISTRATOR}),
        (Who.ADMINISTRATORS, "GET", "/api/v1/audit-log", {OPERATOR, ADMINISTRATOR}),
        (Who.OPERATORS, "GET", "/api/v1/accounts", {OPERATOR}),
        (Who.SIGNED_IN, "POST", "/api/v1/user/password", EVERYBODY),
    ],
)
def test_who_may(who: Who, method: str, path: str, roles: set[Role]) -> None:
    assert roles_of(who, method, path) == roles


def test_what_members_may_write_is_there() -> None:
    """A route that was renamed must not leave its old name in the table."""
    from portal_api.access import MEMBERS_WRITE

    assert {(route.method, route.path) for route in ROUTES} >= MEMBERS_WRITE


@pytest.mark.parametrize(
    ("scopes", "scope", "allowed"),
    [
        (None, "messages:write", True),
        ({"read"}, "messages:read", True),
        ({"read"}, "messages:write", False),
        ({"messages:read"}, "messages:read", True),
        ({"messages:read"}, "calls:read", False),
        ({"messages:write"}, "messages:read", False),
        (set(), "messages:read", False),
        # Who makes users and tokens can become anybody of the account.
        ({"write"}, "users:write", False),
        ({"users:write"}, "users:write", False),
        ({"read", "write"}, "users:write", True),
        ({"users:read"}, "users:read", True),
    ],
)
def test_scopes(scopes: set[str] | None, scope: str, allowed: bool) -> None:
    assert allows(None if scopes is None else frozenset(scopes), scope) is allowed


@pytest.mark.parametrize(
    ("wanted", "own", "exceeds"),
    [
        (None, None, False),
        (["read"], None, False),
        (None, {"read"}, True),
        (["messages:read"], {"read"}, False),
        (["messages:write"], {"read"}, True),
        (["read"], {"messages:read"}, True),
        ([], {"read"}, False),
    ],
)
def test_nobody_gives_away_more(wanted: list[str] | None, own: set[str] | None, exceeds: bool) -> None:
    assert exceed(wanted, None if own is None else frozenset(own)) is exceeds


def test_known_scopes_are_those_of_the_routes() -> None:
    known = known_scopes((route.method, route.path) for route in ROUTES if not route.public)
    assert {"read", "write", "messages:read", "messages:write", "users:read"} <= set(known)
    assert not {"users:write", "tokens:write", ":read"} & set(known)


def test_every_route_below_the_api_has_an_area() -> None:
    assert [route.path for route in ROUTES if not route.public and not area_of(route.path)] == []


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def test_a_burst_then_a_steady_rate() -> None:
    clock = Clock()
    rate = Rate(2, clock)
    assert [rate.wait_s("a") for _ in range(10)] == [0.0] * 10
    assert rate.wait_s("a") == pytest.approx(0.5)
    assert rate.wait_s("b") == 0.0
    clock.at += 0.5
    assert rate.wait_s("a") == 0.0
    assert rate.wait_s("a") > 0
    clock.at += 100
    assert [rate.wait_s("a") for _ in range(11)][-1] == pytest.approx(0.5)


def test_no_limit() -> None:
    assert {Rate(0).wait_s("a") for _ in range(1000)} == {0.0}


def test_what_is_remembered_stays_small() -> None:
    clock = Clock()
    rate = Rate(10, clock)
    for number in range(3 * MOST_REMEMBERED):
        clock.at += 0.2
        rate.wait_s(str(number))
    assert len(rate._full_at) <= MOST_REMEMBERED + 1


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_only_our_proxies_are_believed(peer: str, forwarded: str | None, address: str) -> None:
    headers = CIMultiDict({"X-Forwarded-For": forwarded} if forwarded else {})
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=peer)
    assert address_of(request, ["10.0.0.0/8"]) == address
