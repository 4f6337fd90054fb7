"""Which network addresses a customer may have us connect to: those of the public Internet."""

import ipaddress
from collections.abc import Iterable

NAT64 = ipaddress.ip_network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def reachable(text: str, permitted: Iterable[str] = ()) -> bool:
    """Whether `text` is a public address, or one in a network of `permitted`; False for no address at all.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) is as reachable as that one.
    """
    try:
        address = _carried(ipaddress.ip_address(text))
    except ValueError:
        return False
    if any(address in ipaddress.ip_network(network) for network in permitted):
        return True
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: Address) -> Address:
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address
