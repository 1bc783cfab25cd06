"""Evidence about strangers: what the DNS and registries say; cached, and asked seldom.

Nothing here decides anything. What could not be found out is unknown. Every question that a
stranger can cause is counted for the registrable domain (or the network) that it concerns, so
that nobody's servers are flooded by way of this node; and no network takes more than its share of
what is asked about a domain, so that who only claims it keeps nobody out. Names that reverse DNS
gives are counted apart from names that are claimed: who has one is not kept out by any number of
those. What was not asked for that is not remembered. Spec: 06 §strangers.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from node import limits
from node.discovery import webfinger
from node.encoding import address, origin
from node.errors import WillcallError
from node.machines.bucket import Buckets
from node.objects.record import Endpoint
from node.policy import iprev, proof, rdap
from node.policy.iprev import Answers, Iprev
from node.policy.proof import Proof, Registrable
from node.policy.rdap import Registry
from node.ports import Request, Resolver
from node.services.calls import QUICK, Calls
from node.services.core import Core
from node.services.switch import OWN
from node.units import HOUR, MINUTE, Instant, Key, Millis

T = TypeVar("T")

UNKNOWN = Answers(state="temporary")
"""What was not asked, because enough was."""
SOON = Millis(1 * MINUTE)
"""How long it counts that somebody did not answer."""


class Cache(Generic[T]):
    """What was found out lately, by name; bounded."""

    def __init__(self, size: int = limits.SOURCES // 4) -> None:
        self._size = size
        self._found: OrderedDict[str, tuple[Millis, T]] = OrderedDict()

    def get(self, name: str, now: Millis) -> T | None:
        """What is known; None: nothing, or not any more."""
        until, found = self._found.get(name, (Millis(0), None))
        return found if now < until else None

    def put(self, name: str, found: T, until: Millis) -> None:
        """Remembers it."""
        self._found[name] = (until, found)
        self._found.move_to_end(name)
        if len(self._found) > self._size:
            self._found.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is asked beside peers.

    Attributes:
        resolver: the DNS; None: nobody is asked, nothing is proven.
        registrable: the registrable domain of a name, by the public suffix list.
        registries: suffix → registry.
        registry: one that is asked about every domain instead.
    """

    resolver: Resolver | None = None
    registrable: Registrable = lambda name: None
    registries: Mapping[str, Registry] = field(default_factory=dict)
    registry: Registry | None = None


class _Shares:
    """What may still be asked about domains this hour; of each, a share for every network."""

    def __init__(self) -> None:
        self._domains = _hourly(limits.LOOKUP_DOMAIN)
        self._shares = _hourly(limits.LOOKUP_SHARE)

    def take(self, domain: str, network: str, now: Millis) -> bool:
        """Whether a network may still ask about a domain; if so, it has."""
        whole, share = domain.encode(), digest(domain, network)
        if not self._shares.left(share, now) or not self._domains.take(whole, now):
            return False
        return self._shares.take(share, now) > 0


def _hourly(count: int) -> Buckets:
    return Buckets(count, Millis(HOUR // count), limits.SOURCES)


class Evidence:
    """Finds things out."""

    def __init__(self, core: Core, calls: Calls, world: World) -> None:
        self._core, self._calls, self.world = core, calls, world
        self._forward: Cache[Answers] = Cache()
        self._reverse: Cache[Iprev] = Cache()
        self._claimed, self._confirmed = _Shares(), _Shares()
        self._networks = _hourly(limits.LOOKUP_NETWORK)
        hourly = Millis(HOUR // limits.REGISTRIES_HOUR)
        self._registries = Buckets(limits.REGISTRIES_HOUR, hourly, 1)

    def domain(self, at: str | None) -> str | None:
        """The registrable domain of an origin."""
        return None if at is None else proof.domain_of(at, self.world.registrable)

    # --- proof of domain ------------------------------------------------------------------

    def known(self, at: str | None, source: str, *, reverse: bool) -> Proof | None:
        """The proof as far as it can be told at once; None: somebody has to be asked.

        Args:
            at: the origin.
            source: the address that something came from.
            reverse: whether its reverse DNS is wanted in any case.
        """
        now, domain = self._core.clock.steady(), self.domain(at)
        if self._silent(source) or (domain is None and not reverse):
            return Proof(domain=domain)
        forward = None
        if domain is not None and at is not None:
            forward = self._forward.get(origin.split(at)[0], now)
            if forward is None:
                return None
        found = None
        if reverse or forward is None or source not in forward.values:
            found = self._reverse.get(source, now)
            if found is None:
                return None
        return proof.judge(domain, source, forward, found, self.world.registrable)

    async def prove(self, at: str | None, source: str, *, reverse: bool) -> Proof:
        """The proof, asking whoever has to be asked."""
        domain = self.domain(at)
        if self._silent(source) or (domain is None and not reverse):
            return Proof(domain=domain)
        forward = found = None
        if domain is not None and at is not None:
            forward = await self.addresses(origin.split(at)[0], source)
        if reverse or forward is None or source not in forward.values:
            found = await self.iprev(source)
        return proof.judge(domain, source, forward, found, self.world.registrable)

    def _silent(self, source: str) -> bool:
        """Whether there is nobody to ask, or nothing to ask about: it never left this node."""
        return self.world.resolver is None or source == OWN

    async def addresses(self, host: str, source: str, *, fresh: bool = False) -> Answers:
        """The addresses of a name that an item from `source` claims.

        Args:
            host: the name.
            source: for whose network it counts.
            fresh: asked again, whatever is remembered.
        """
        known = self._forward.get(host, self._core.clock.steady())
        if known is not None and not fresh:
            return known
        return await self._forwards(host, source, self._claimed)

    async def iprev(self, source: str) -> Iprev:
        """Reverse DNS of an address, forward-confirmed."""
        known = self._reverse.get(source, self._core.clock.steady())
        if known is not None:
            return known
        resolver, network = self.world.resolver, address.network(source).encode()
        if resolver is None or not self._networks.take(network, self._core.clock.steady()):
            return Iprev(state=iprev.TEMPERROR)
        known = await iprev.check(source, resolver.names, partial(self._confirms, source))
        self._reverse.put(source, known, self._until(known.state))
        return known

    async def _confirms(self, source: str, host: str) -> Answers:
        known = self._forward.get(host, self._core.clock.steady())
        return known or await self._forwards(host, source, self._confirmed)

    async def _forwards(self, host: str, source: str, shares: "_Shares") -> Answers:
        resolver, now = self.world.resolver, self._core.clock.steady()
        domain = self.world.registrable(host) or host
        if resolver is None or not shares.take(domain, address.network(source), now):
            return UNKNOWN
        found = await resolver.addresses(host)
        self._forward.put(host, found, self._until(found.state))
        return found

    def _until(self, state: str) -> Millis:
        unsure = state in ("temporary", iprev.TEMPERROR)
        return Millis(self._core.clock.steady() + (SOON if unsure else limits.LOOKUP_KEPT))

    # --- age, and the domain's own word -----------------------------------------------------

    async def registered(self, domain: str) -> tuple[bool, Instant | None]:
        """Whether the registry answered, and when it says the domain was registered."""
        at = self.world.registry or rdap.find(self.world.registries, domain)
        if at is None:
            return True, None
        if not self._registries.take(b"", self._core.clock.steady()):
            return False, None
        request = Request(method="GET", path=at.path(domain))
        try:
            answer = await self._calls.exchange.exchange(
                Endpoint(origin=at.at), request, limit=rdap.ANSWER, deadline=QUICK
            )
        except WillcallError:
            return False, None
        if answer.status != 200:
            return True, None
        return True, rdap.registered(answer.body, domain, self._core.now())

    async def named(self, name: str, at: str, did: Key, only: str | None) -> bool | None:
        """Whether the domain of an origin names this key; None: it says nothing.

        `only`: the one address that may be connected to.
        """
        handle = f"{name}@{origin.split(at)[0]}"
        if not webfinger.is_handle(handle):
            return None
        try:
            return (await self._calls.webfinger(webfinger.parse(handle), only=only)).did == did
        except WillcallError:
            return None


def digest(*parts: bytes | str) -> bytes:
    """A key of 32 bytes for names of any length."""
    whole = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(whole).digest()
