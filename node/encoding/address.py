"""Addresses of clients, and the network one counts for.

What one client may take or store is counted per network: a single address costs nothing to
whoever has a range of them.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

V4_PREFIX = 24
"""One customer's usual range: a flooder has a /24 sooner than many."""
V6_PREFIX = 48
"""What one site is given in IPv6; single addresses cost nothing there."""


KNOWN = 1_024
"""Texts whose meaning is remembered: one request asks for the same address a dozen times."""
LONGEST = 64
"""Longer texts are no addresses, and not worth remembering: an IPv6 address has 39 characters,
and a zone that is not read."""


def parse(text: str) -> Address | None:
    """The address in its own family; None when it is none.

    An IPv4 address in IPv6 clothes (a dual-stack socket's) is the IPv4 address, or one
    client would count as two networks.
    """
    return _parsed(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=KNOWN)
def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def network(text: str) -> str:
    """The network an address counts for: its /24 or /48; a loopback address for itself alone.

    What is no address counts as one network of its own.
    """
    return _network(text) if len(text) <= LONGEST else text


@lru_cache(maxsize=KNOWN)
def _network(text: str) -> str:
    address = parse(text)
    if address is None:
        return text
    if address.is_loopback:
        return str(address)
    prefix = V4_PREFIX if address.version == 4 else V6_PREFIX
    shift = address.max_prefixlen - prefix
    return f"{type(address)(int(address) >> shift << shift)}/{prefix}"
