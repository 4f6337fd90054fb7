import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.public_addresses import reachable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2001:0:0:0:0:0:80ff:fffe",
        "2001:db8::1",
        "100::1",
        "",
        "localhost",
        "2130706433",
        "127.1",
        "127.0.0.1:80",
        "[::1]",
    ],
)
def test_what_a_customer_may_not_have_us_reach(address: str) -> None:
    assert not reachable(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "203.104.209.7", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_public_addresses(address: str) -> None:
    assert reachable(address)


def test_a_network_that_the_operator_permits() -> None:
    assert reachable("10.1.2.3", ("10.1.0.0/16",))
    assert reachable("::ffff:10.1.2.3", ("10.1.0.0/16",))
    assert not reachable("10.2.2.3", ("10.1.0.0/16", "fd00::/8"))


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_an_address_within_an_address_is_as_reachable(address: object) -> None:
    assert reachable(f"::ffff:{address}") == reachable(str(address))
    assert reachable(f"64:ff9b::{address}") == reachable(str(address))
