"""Where a request comes from."""

import ipaddress
from collections.abc import Sequence

from aiohttp import web


def address_of(request: web.Request, trusted_proxies: Sequence[str]) -> str | None:
    """The client's address: the peer's or, where that is a proxy of ours, the last it names that is none."""
    hops = [hop.strip() for hop in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")]
    peer = request.remote
    while peer is not None and hops and _within(peer, trusted_proxies):
        said = hops.pop()
        if not _is_address(said):
            break
        peer = said
    return peer


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: Sequence[str]) -> bool:
    return _is_address(address) and any(
        ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks
    )
