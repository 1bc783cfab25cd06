"""Origins, `host:port`: where a node can be reached, in the one spelling records carry.

Decides the form only. Whether an address may be called is the client's guard; whether a name
belongs to whom it says is policy. One spelling matters: origins are compared as text, and a
second spelling of a loopback address (`127.1`, `0x7f000001`, `::ffff:127.0.0.1`) is the
classic way around such a guard.

Spec: design §5 and small print; RFC 1123 §2.1, RFC 5952, RFC 6598;
https://url.spec.whatwg.org/#ends-in-a-number-checker.
"""

import ipaddress
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from node import limits
from node.errors import Malformed

_PORT = re.compile("[1-9][0-9]{0,4}")
_LABEL = re.compile("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Resolvers read a name whose last label is a number as an address, in every old spelling.
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")
_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598, shared by carriers
        "169.254.0.0/16",  # RFC 3927, link-local
        "fc00::/7",  # RFC 4193
        "fe80::/10",  # RFC 4291 §2.5.6, link-local
    )
)


def check(origin: str) -> None:
    """Hold an origin against its form.

    Raises:
        Malformed: not `host:port` in its one spelling, or over 100 bytes.
    """
    split(origin)


@lru_cache(maxsize=1024)
def split(origin: str) -> tuple[str, int]:
    """Host, an IPv6 address without its brackets, and port of an origin.

    Raises:
        Malformed: as `check`.
    """
    if len(origin) > limits.ORIGIN or not origin.isascii():
        raise Malformed(f"an origin is host:port, at most {limits.ORIGIN} ASCII characters")
    host, colon, port = origin.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65_535:
        raise Malformed("an origin ends with its port, 1 to 65535")
    if host.startswith("["):
        return _bracketed(host), int(port)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        _check_ipv4(host)
    elif not all(map(_is_label, labels)):
        raise Malformed("the host of an origin is a lower-case DNS name (A-labels) or an address")
    return host, int(port)


def is_loopback(origin: str) -> bool:
    """Whether it names this very machine: 127.0.0.0/8, ::1, or `localhost`.

    Raises:
        Malformed: it is no origin.
    """
    host, _ = split(origin)
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def is_private(origin: str) -> bool:
    """Whether it is the literal address of a private network (a name never is).

    RFC 1918, fc00::/7, link-local and 100.64.0.0/10; loopback is not among them.

    Raises:
        Malformed: it is no origin.
    """
    address = _address(split(origin)[0])
    return address is not None and any(address in block for block in _PRIVATE)


def check_domain(domain: str) -> None:
    """Hold the domain of a name (`anna@example.org`) against its form.

    Raises:
        Malformed: an address, a single word but `localhost`, or letters beyond ASCII.
    """
    host, _ = split(f"{domain}:443")
    if _address(host) is not None:
        raise Malformed("a domain is a name, not an address")
    if "." not in host and host != "localhost":
        raise Malformed("a domain has a dot")


def is_domain(host: str) -> bool:
    """Whether `check_domain` lets it through."""
    try:
        check_domain(host)
    except Malformed:
        return False
    return True


def is_plain(origin: str) -> bool:
    """Whether one speaks plain HTTP there: a loopback or private address. Spec: 07 §7.1.

    Raises:
        Malformed: it is no origin.
    """
    return is_loopback(origin) or is_private(origin)


def reaches(here: str, there: str) -> bool:
    """Whether a node at `there` could call `here`, as far as both addresses tell.

    Nobody calls into a world that is smaller than its own: this machine, this network, all.

    Raises:
        Malformed: one of them is no origin.
    """
    return _width(here) >= _width(there)


def _width(at: str) -> int:
    if is_loopback(at):
        return 0
    return 1 if is_private(at) else 2


def is_unspecified(origin: str) -> bool:
    """Whether it is 0.0.0.0 or [::]: to listen on, not to call.

    Raises:
        Malformed: it is no origin.
    """
    address = _address(split(origin)[0])
    return address is not None and address.is_unspecified


def _is_label(label: str) -> bool:
    # "xn--" alone can't match: a label does not end in a hyphen.
    return _LABEL.fullmatch(label) is not None


def _check_ipv4(host: str) -> None:
    try:
        IPv4Address(host)  # refuses leading zeros, and all but four decimal numbers
    except ValueError:
        raise Malformed("an IPv4 address is four decimal numbers without leading zeros") from None


def _bracketed(host: str) -> str:
    inner = host[1:-1]
    try:
        address = IPv6Address(inner)
    except ValueError:
        raise Malformed("not an IPv6 address in brackets") from None
    # IPv4-mapped addresses are a second spelling of IPv4 ones; scopes mean nothing elsewhere.
    # RFC 5952 §4.2: what `compressed` prints.
    if host[-1] != "]" or address.scope_id or address.ipv4_mapped or str(address) != inner:
        raise Malformed("an IPv6 address is written as RFC 5952 says; an IPv4 one without brackets")
    return inner


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
