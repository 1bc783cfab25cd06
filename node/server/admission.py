"""Who may connect, and from where a request really comes.

What one client may take of a server, caps on connections per source network and in all,
and the client's address behind proxies. Pure bookkeeping: the caller opens, closes and
answers. What a source may send (buckets, lanes) is decided in `node.policy`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from node.asgi import Scope
from node.encoding.address import network, parse
from node.units import KIB, MINUTE, SECOND, ByteCount, Millis

Network = IPv4Network | IPv6Network

HOPS = 16
"""Hops read from the proxies' header: more is no path but an attack."""

KNOWN = 64
"""Proxies of which it is known which field they write: one node seldom stands behind two."""

_PLAIN, _STANDARD = b"x-forwarded-for", b"forwarded"

# Without blanks inside, and nothing is tried twice: a client writes part of what is searched,
# and 16 KB of blanks once took five seconds.
_FORWARDED_FOR = re.compile(r'(?:^|;)[ \t]*+for=("?)([^";, \t]++)\1[ \t]*+(?:;|$)', re.IGNORECASE)

FOREVER = Millis(2**53)
"""No deadline: for the owner's own programs on the local socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What one client may take of the server. Each listener can have its own."""

    handshake: Millis = Millis(10 * SECOND)
    """The whole TLS handshake: three packets, on the worst line."""
    head: Millis = Millis(10 * SECOND)
    """From the first byte of a head to its last: one packet, on the worst line."""
    idle: Millis = Millis(60 * SECOND)
    """An open connection without a request: longer than our client keeps one, so that the
    client closes first and seldom writes into a closed connection."""
    request: Millis = Millis(1 * MINUTE)
    """A whole request, without the time its bytes may take at the floor rate."""
    slack: Millis = Millis(10 * SECOND)
    """Time waited for a body or an answer to move, beyond the floor rate."""
    rate: ByteCount = ByteCount(16 * KIB)
    """The floor, bytes per second: slower than any broadband line's upload. A body dripped at
    1 byte/s, or an answer read so, is over after `slack`."""
    fields: int = 64
    """Header fields: browsers behind two proxies send 30."""
    section: ByteCount = ByteCount(16 * KIB)
    """A header section with its request line: what common servers take."""
    target: ByteCount = ByteCount(8 * KIB)
    """A request target: what RFC 9112 §3 recommends to support."""
    unread: ByteCount = ByteCount(64 * KIB)
    """An unread body up to this size is read away so that the connection can be used again."""
    connections: int = 1024
    """Open connections in all: each may cost 100 KiB and a descriptor."""
    per_network: int = 64
    """Open connections of one /24 or /48: many nodes behind one address translation."""
    proxies: Iterable[Network] = ()
    """Proxies before this node: `per_network` does not hold for them."""
    grace: Millis = Millis(7 * SECOND)
    """After a stop, running requests may finish: SIGTERM has to end within 10 s in all."""
    linger: Millis = Millis(2 * SECOND)
    """How long a refused client may go on sending: closing at once would reset the
    connection and take our answer with it."""


class Proxies:
    """Networks whose word on a client's address is believed; they may change while in use.

    A proxy writes one of two fields, in every request, and may pass the other on as the client sent
    it. Where one came alone it is the proxy's own: from then on the other is not read.

    Attributes:
        networks: those that count from now on.
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self.networks = tuple(networks)
        self._own: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Network]:
        return iter(self.networks)

    def wrote(self, proxy: str, field: bytes) -> None:
        """This field came alone from there."""
        if proxy in self._own or len(self._own) < KNOWN:
            self._own[proxy] = field

    def own(self, proxy: str) -> bytes | None:
        """The field that this proxy writes; None: not known."""
        return self._own.get(proxy)


class ConnectionCaps:
    """Counts open connections per network and in all.

    Args:
        total: how many may be open at once.
        per_network: how many of them from one network.
        proxies: addresses that carry many clients; only `total` holds for them.
    """

    def __init__(self, total: int, per_network: int, proxies: Iterable[Network] = ()) -> None:
        self._total = total
        self._per_network = per_network
        self._proxies = proxies
        self._counts: Counter[str] = Counter()
        self.open = 0

    def full(self) -> bool:
        """Whether no further connection fits, whoever asks."""
        return self.open >= self._total

    def crowded(self, address: str) -> bool:
        """Whether the network of `address` has all it may have."""
        return self._counts[network(address)] >= self._per_network and not self._exempt(address)

    def enter(self, address: str) -> bool:
        """Counts one more connection; False, and nothing counted, when a cap is met."""
        if self.full() or self.crowded(address):
            return False
        self._counts[network(address)] += 1
        self.open += 1
        return True

    def leave(self, address: str) -> None:
        """Counts one connection less; only for one that `enter` let in."""
        key = network(address)
        self._counts[key] -= 1
        self.open -= 1
        # Or the table would grow by one entry for every network that ever called.
        if self._counts[key] <= 0:
            del self._counts[key]

    def _exempt(self, address: str) -> bool:
        # The empty address is a Unix socket: the owner's own programs, kept out by file mode.
        return address == "" or is_within(address, self._proxies)


def is_within(text: str, networks: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks."""
    address = parse(text)
    return address is not None and any(address in each for each in networks)


def source(scope: Scope, trusted_proxies: Iterable[Network]) -> str:
    """The address a request comes from; "" over a Unix socket.

    Behind a trusted proxy it is the rightmost hop that is not a trusted proxy itself: what
    stands further left was written by the client and may be anything.
    """
    client = scope.get("client")
    address = _plain(client[0]) if client else ""
    if not is_within(address, trusted_proxies):
        return address
    for hop in reversed(_hops(scope, address, trusted_proxies)):
        written = parse(hop)
        # A hop that is no address can't be judged, nor can what stands left of it.
        if written is None:
            break
        address = str(written)
        if not is_within(address, trusted_proxies):
            break
    return address


def _plain(text: str) -> str:
    address = parse(text)
    return text if address is None else str(address)


def _hops(scope: Scope, proxy: str, trusted: Iterable[Network]) -> list[str]:
    """The hops written by the proxies, the nearest last."""
    there = [name for name in (_PLAIN, _STANDARD) if _joined(scope, name)]
    field = there[0] if len(there) == 1 else None
    if isinstance(trusted, Proxies):
        if field is not None:
            trusted.wrote(proxy, field)
        elif there:
            field = trusted.own(proxy)
    # Both are there, and one of them may be the client's: neither is believed.
    if field is None:
        return []
    parts = _joined(scope, field).split(",")[-HOPS:]
    return [_hop(part, field) for part in parts]


def _hop(part: str, field: bytes) -> str:
    if field == _PLAIN:
        return _without_port(part)
    match = _FORWARDED_FOR.search(part)
    return _without_port(match.group(2)) if match else ""


def _joined(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _without_port(hop: str) -> str:
    hop = hop.strip().strip('"')
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
