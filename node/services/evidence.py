"""Evidence about strangers: what the DNS and registries say; cached, and asked seldom.

Nothing here decides anything. What could not be found out is unknown. Every question that a
stranger can cause is counted for the registrable domain (or the network) that it concerns, so
that nobody's servers are flooded by way of this node. Spec: 06 §strangers.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
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


class Evidence:
    """Finds things out."""

    def __init__(self, core: Core, calls: Calls, world: World) -> None:
        self._core, self._calls, self.world = core, calls, world
        self._forward: Cache[Answers] = Cache()
        self._reverse: Cache[Iprev] = Cache()
        every = Millis(HOUR // limits.LOOKUP_DOMAIN)
        self._asked = Buckets(limits.LOOKUP_DOMAIN, every, limits.SOURCES)
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
            forward = await self.addresses(origin.split(at)[0])
        if reverse or forward is None or source not in forward.values:
            found = await self.iprev(source)
        return proof.judge(domain, source, forward, found, self.world.registrable)

    def _silent(self, source: str) -> bool:
        """Whether there is nobody to ask, or nothing to ask about: it never left this node."""
        return self.world.resolver is None or source == OWN

    async def addresses(self, host: str, *, fresh: bool = False) -> Answers:
        """The addresses of a name; `fresh`: asked again, whatever is remembered."""
        known = self._forward.get(host, self._core.clock.steady())
        if known is not None and not fresh:
            return known
        found = await self._ask(host, self.world.registrable(host) or host, "addresses")
        self._forward.put(host, found, self._until(found.state))
        return found

    async def iprev(self, source: str) -> Iprev:
        """Reverse DNS of an address, forward-confirmed."""
        known = self._reverse.get(source, self._core.clock.steady())
        if known is None:
            known = await iprev.check(source, self._names, self.addresses)
            self._reverse.put(source, known, self._until(known.state))
        return known

    async def _names(self, source: str) -> Answers:
        return await self._ask(source, address.network(source), "names")

    async def _ask(self, what: str, concerns: str, kind: str) -> Answers:
        resolver, now = self.world.resolver, self._core.clock.steady()
        if resolver is None or not self._asked.take(concerns.encode(), now):
            return UNKNOWN
        return await (resolver.names(what) if kind == "names" else resolver.addresses(what))

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
        return True, rdap.registered(answer.body, domain) if answer.status == 200 else None

    async def named(self, name: str, at: str, did: Key) -> bool | None:
        """Whether the domain of an origin names this key; None: it says nothing."""
        handle = f"{name}@{origin.split(at)[0]}"
        if not webfinger.is_handle(handle):
            return None
        try:
            return (await self._calls.webfinger(webfinger.parse(handle))).did == did
        except WillcallError:
            return None


def digest(*parts: bytes | str) -> bytes:
    """A key of 32 bytes for names of any length."""
    whole = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(whole).digest()
