"""Where this node may connect to: the guard against being aimed at inner networks (I11).

A record, an invite or a message from a stranger names hosts, and our node connects to them
from inside its own network: to a router, a database, a cloud's metadata service. So a name
is resolved once, *all* its addresses are judged, and the connection goes to the judged
addresses and nowhere else: a second look-up could answer differently (DNS rebinding).

`judge` decides without I/O; `GuardedBackend` is the only way from the HTTP client to the
network. Names inside TLS and in `Host` stay what was asked for.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import trio

from node.errors import Unreachable

PORTS = frozenset({443, 4625, 8443})
"""Outbound ports: HTTPS, ours, and the usual second HTTPS. Others are named in the
configuration, or a stranger could make us knock at any service of a third party."""
ANSWERS = 64
"""Addresses of one name that are looked at; more is no host but an attack."""
TRIED = 4
"""Addresses tried one after the other: two of each family, and a spare."""
ATTEMPT = 5.0
"""Seconds for one of several addresses, so that a dead one leaves time for the next."""

_SPECIAL = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "100.100.100.200/32",  # metadata (Alibaba), in shared space
        "168.63.129.16/32",  # metadata (Azure), in public space
        "192.0.0.0/24",  # protocol assignments, and metadata (Oracle)
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "fd00:ec2::/32",  # metadata (Amazon), in unique local space
        "fd20:ce::/32",  # metadata (Google), in unique local space
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address in IPv6 clothes
        "3fff::/20",  # documentation
    )
)
_PRIVATE = tuple(
    ip_network(block)
    for block in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598: carriers, and overlay networks
        "fc00::/7",  # RFC 4193
    )
)
# All that was ever given out. Outside of it lie mapped, NAT64 (64:ff9b::/96, 64:ff9b:1::/48),
# site-local and multicast addresses: forms that hide an IPv4 address or name no one host.
_UNICAST = IPv6Network("2000::/3")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name, as text. Raises OSError when there are none."""


class Kind(Enum):
    """What an address is good for."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Where a node may connect to.

    Args:
        loopback: its own origin is a loopback address: loopback, any port.
        private: its configuration allows private networks.
        ports: the ports allowed outside of loopback.
    """

    loopback: bool = False
    private: bool = False
    ports: frozenset[int] = PORTS


def kind(text: str) -> Kind:
    """What the address is good for. What is no address in its usual form is SPECIAL."""
    try:
        address = ip_address(text)
    except ValueError:
        return Kind.SPECIAL
    # A scope (fe80::1%eth0) picks an interface of ours: no peer has a say in that.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return Kind.SPECIAL
    if address.is_loopback and getattr(address, "ipv4_mapped", None) is None:
        return Kind.LOOPBACK
    if any(address in block for block in _SPECIAL):
        return Kind.SPECIAL
    if any(address in block for block in _PRIVATE):
        return Kind.PRIVATE
    public = isinstance(address, IPv4Address) or address in _UNICAST
    return Kind.PUBLIC if public else Kind.SPECIAL


def judge(host: str, port: int, answers: Iterable[str], allowed: Allowed) -> tuple[str, ...]:
    """The addresses to connect to, in the resolver's order.

    Args:
        answers: everything the name resolved to.

    Raises:
        Unreachable: any of it may not be called ("guarded"), or there is none ("dns").
    """
    found = tuple(dict.fromkeys(answers))
    if not found:
        raise Unreachable(f"The name {host} has no address.", reason="dns")
    kinds = {kind(each) for each in found[:ANSWERS]}
    # An honest name lies in one world. One with a public and an inner address waits for the
    # moment when only the inner one answers.
    if len(found) > ANSWERS or len(kinds) > 1:
        raise _guarded(f"{host} has addresses of different kinds")
    (only,) = kinds
    if only is Kind.SPECIAL:
        raise _guarded(f"{host} leads to an address no mail node has")
    if only is Kind.LOOPBACK and not allowed.loopback:
        raise _guarded(f"{host} is this machine, and this node is not a local one")
    if only is Kind.PRIVATE and not allowed.private:
        raise _guarded(f"{host} is in a private network, which the configuration does not allow")
    if only is not Kind.LOOPBACK and port not in allowed.ports:
        raise _guarded(f"port {port} is none this node connects to")
    return found


def _guarded(text: str) -> Unreachable:
    return Unreachable(f"Not connected: {text}.", reason="guarded")


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's resolver. Numbers in old spellings (0x7f.1, 0177.1, 2130706433) come out
    as the addresses they mean, and are judged as these.
    """  # noqa: D205
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """The network as the HTTP client sees it: checked addresses only.

    Attributes:
        allowed: where connections may go to from now on.

    Raises Unreachable from `connect_tcp`; httpcore and httpx let it through as it is.
    """

    def __init__(self, allowed: Allowed, resolver: Resolve = resolve) -> None:
        self.allowed = allowed
        self._resolve = resolver
        self._trio = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to one of the host's addresses, after all of them were judged.

        Raises:
            Unreachable: guarded, dns, no-connection or timeout.
        """
        try:
            answers = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"The name {host} was not found.", reason="dns") from error
        addresses = judge(host, port, answers, self.allowed)[:TRIED]
        for address in addresses[:-1]:
            try:
                return await self._trio.connect_tcp(address, port, ATTEMPT)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._last(host, addresses[-1], port)

    async def _last(self, host: str, address: str, port: int) -> httpcore.AsyncNetworkStream:
        where = f"{host}:{port}"
        try:
            return await self._trio.connect_tcp(address, port, ATTEMPT)
        except httpcore.ConnectTimeout as error:
            raise Unreachable(f"{where} did not answer in time.", reason="timeout") from error
        except httpcore.ConnectError as error:
            text = f"{where} takes no connections."
            raise Unreachable(text, reason="no-connection") from error

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """No peer lives behind a path of this machine."""
        raise _guarded("a Unix socket is no peer")

    async def sleep(self, seconds: float) -> None:
        """Waits, as httpcore asks for between its own retries (we use none)."""
        await trio.sleep(seconds)


class AimedBackend(GuardedBackend):
    """The same, for one call that may go to one address and nowhere else.

    Whoever announced something is called back: the name it gave led to its address when that was
    looked at, and may lead to somebody else's by now.

    Args:
        guarded: whose rules hold.
        address: the only one.
    """

    def __init__(self, guarded: GuardedBackend, address: str) -> None:
        async def only(host: str, port: int) -> Sequence[str]:
            if _is_address(host) and ip_address(host) != ip_address(address):
                raise _guarded(f"{host} is not where this came from")
            return [address]

        super().__init__(guarded.allowed, only)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
