"""Strangers: how what they send comes to the ring, and what is known of them.

    admitted, signature checked ─▶ doorstep ─▶ is the proof known? ─ yes ─▶ policy ─▶ ring
             │                                        │ no                            ▲
             ▼                                        ▼                               │
       the answer, `held`                           lobby ─▶ the DNS is asked ────────┘

The answer is the same in any case and waits for nothing of this: what comes after it is done for
many at once, in slices, between which all other work goes on. So the time of an answer tells
nothing of a blocked sender, of an owner who is not there or of a full ring; and where the ring
has no slot, nothing is read of the store and nothing written. Doorstep and lobby are memory,
bounded; the lobby is fair over networks; what is lost with them is told again.
Spec: 06 §strangers.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import trio

from node import limits
from node.crypto import tokens
from node.encoding import address
from node.encoding import origin as origins
from node.errors import StoreFailed
from node.machines.bucket import Buckets
from node.machines.ring import Enter, Full, Ring, Slot
from node.machines.rows import Domain, Held
from node.objects import notification
from node.objects.notification import Notification
from node.policy import decide
from node.policy.decide import Decision
from node.policy.facts import Facts
from node.policy.iprev import TEMPERROR
from node.policy.proof import Proof, is_source
from node.ports import Tables
from node.services import ring
from node.services.core import Bell, Core
from node.services.evidence import Evidence, digest
from node.services.ring import Rings
from node.services.switch import OWN
from node.units import Instant, Key

BREATH = 0.25
"""Seconds for which what comes is gathered: strangers make the disk sync four times a second at
most, and a contact's mail seldom waits for a sync of theirs before its own."""
SLICE = 8
"""Visits that are placed in one go: up to three milliseconds, for which everything else waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a stranger said, signature checked: a notification or an introduction.

    Attributes:
        source: the address it came from.
        at: the origin that it names.
        item: the notification with its proof; or
        introduction: the block of an introduction, issued when it says.
        known: its capability verifies: a contact before.
        found: the proof of its domain, once the DNS was asked.
    """

    owner: Key
    sender: Key
    source: str
    at: str
    item: Notification | None = None
    proof: bytes = b""
    introduction: bytes | None = None
    issued: Instant = Instant(0)
    known: bool = False
    found: Proof | None = None

    @property
    def pair(self) -> Key:
        """Whose, and for whom: one thing of each waits."""
        return Key(digest(self.owner, self.sender))


class Strangers:
    """Takes visits, and tells what is known of them.

    Attributes:
        rings: who comes in next.
        due: rung when a slot was taken, whose origin is to be called back.
        doorstep: visits that nobody has looked at yet.
        waiting: visits that wait for the DNS.
    """

    def __init__(self, core: Core, evidence: Evidence) -> None:
        self._core, self.evidence = core, evidence
        self.rings, self._lobby, self._come = Rings(), Ring(limits.LOBBY), Bell()
        self.doorstep: deque[Visit] = deque()
        self.waiting: OrderedDict[Key, Visit] = OrderedDict()
        self.asking: set[Key] = set()
        self._domains = Buckets(limits.DOMAIN_BURST, limits.DOMAIN_EVERY, limits.SOURCES)
        self.due = Bell()

    @property
    def profile(self) -> str:
        """The policy that is in force."""
        return self._core.config.strangers.policy

    @property
    def reverse(self) -> bool:
        """Whether the policy asks for the reverse DNS of whoever comes."""
        return self.profile in decide.NEEDS_REVERSE

    def answered_for(self, slot: Held) -> bool:
        """Whether its origin may be called: the proof is there, and what the policy asks for."""
        unknown = self.reverse and slot.iprev == TEMPERROR
        refused = self.refuses(slot, self._core.now())
        return may_call(slot, self._core.config.origin) and not unknown and not refused

    def refuses(self, slot: Held, now: Instant) -> bool:
        """Whether the policy keeps nothing of it."""
        return decide.decide(self.profile, of_slot(slot), now).verdict == decide.REFUSE

    # --- coming in ------------------------------------------------------------------------

    def come(self, tx: Tables, visit: Visit) -> None:
        """A visit will take a slot, wait for the DNS, or come to nothing; nobody is told which."""
        if len(self.doorstep) >= limits.LOBBY:
            self._settle(tx, SLICE)
        self.doorstep.append(visit)
        self._come.ring()

    def settle(self, owner: Key, sender: Key) -> None:
        """If something of this key stands on the doorstep it is looked at now.

        Raises:
            StoreFailed: the disk failed.
        """
        if any(each.owner == owner and each.sender == sender for each in self.doorstep):
            self.look()

    def look(self) -> None:
        """Whoever stands on the doorstep is looked at now.

        Raises:
            StoreFailed: the disk failed.
        """
        if self.doorstep:
            self._core.db.apply(lambda tx: self._settle(tx, len(self.doorstep)))

    def _settle(self, tx: Tables, most: int) -> None:
        now = self._core.now()
        for _ in range(min(most, len(self.doorstep))):
            visit = self.doorstep.popleft()
            proof = visit.found or self._known(visit)
            if proof is not None:
                self._place(tx, visit, proof, now)
                continue
            for each in self._wait(tx, visit):
                domain = self.evidence.domain(each.at)
                self._place(tx, each, Proof(domain=domain, unsure=True), now)

    def _known(self, visit: Visit) -> Proof | None:
        return self.evidence.known(visit.at, visit.source, reverse=self.reverse)

    def _wait(self, tx: Tables, visit: Visit) -> Iterator[Visit]:
        """Puts the visit into the lobby; gives whoever there was no room for."""
        network = address.network(visit.source)
        slot = Slot(key=visit.pair, group=network, proven=False, since=self._core.now())
        if visit.pair not in self.waiting:
            secret = tx.node().capability
            verdict = self._lobby.judge(slot, lambda g: tokens.rank(secret, b"", g, 0), 0)
            if isinstance(verdict, Full):
                yield visit
                return
            if verdict.instead is not None:
                self._lobby.leave(verdict.instead)
                yield self.waiting.pop(verdict.instead)
            self._lobby.enter(slot)
        self.waiting[visit.pair] = visit

    def _place(self, tx: Tables, visit: Visit, proof: Proof, now: Instant) -> None:
        known = self.rings.has(tx, visit.owner, visit.sender)
        slot = tx.held.get(visit.owner, visit.sender) if known else None
        made = _said(slot or _new(visit, now), visit, now)
        if made is None:
            return
        made = _proven(made, proof, visit, now, self._core.config.origin)
        if self.refuses(made, now):
            return
        if made.by is not None and made.domain is not None:
            left = self._domains.take(made.domain.encode(), self._core.clock.steady())
            if not left:
                return
        # In a flood most end here, and nothing of the store was looked at for them.
        verdict = self.rings.judge(tx, made, now)
        if isinstance(verdict, Enter) and not self._barred(tx, made):
            self.rings.enter(tx, made, verdict)
            self._sight(tx, made, now)
            self.due.ring()

    def _barred(self, tx: Tables, slot: Held) -> bool:
        """Whether there is no such owner, or it wants nothing from there."""
        peer = tx.peers.get(slot.owner, slot.sender)
        words = [word for word in (slot.network, slot.domain, slot.reverse_domain) if word]
        barred = [tx.barred.get(slot.owner, digest(word)) is not None for word in words]
        blocked = peer is not None and peer.blocked
        return blocked or any(barred) or tx.owners.get(slot.owner) is None

    def _sight(self, tx: Tables, slot: Held, now: Instant) -> None:
        """A domain that was proven is remembered from then on."""
        if slot.by is None or slot.domain is None:
            return
        id, node = digest(slot.domain), tx.node()
        if tx.domains.get(id) is None and node.domains < limits.DOMAINS:
            tx.domains.put(Domain(id=id, name=slot.domain, seen=now))
            tx.put_node(node.but(domains=node.domains + 1))

    # --- the lobby ------------------------------------------------------------------------

    async def run(self) -> None:
        """Looks at whoever came, and asks the DNS about whoever waits, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._come.wait(3600)
                await trio.sleep(BREATH)
                await self._slices()
                while self.waiting and len(self.asking) < limits.LOOKUPS:
                    pair, visit = self.waiting.popitem(last=False)
                    self._lobby.leave(pair)
                    self.asking.add(pair)
                    nursery.start_soon(self._ask, pair, visit)

    async def _slices(self) -> None:
        while self.doorstep:
            try:
                self._core.db.apply(lambda tx: self._settle(tx, SLICE))
            except StoreFailed as error:
                self._core.warn("strangers-pause", why=error.text)
                return
            await trio.lowlevel.checkpoint()
            await self._core.calm.wait()

    async def _ask(self, pair: Key, visit: Visit) -> None:
        try:
            found = await self.evidence.prove(visit.at, visit.source, reverse=self.reverse)
            self.doorstep.append(replace(visit, found=found))
        finally:
            self.asking.discard(pair)
            self._come.ring()

    async def again(self, owner: Key, block: bytes, source: str, evidence: Evidence) -> Held:
        """The slot that a recorded notification would have today; nothing changes.

        Args:
            owner: whose ring is meant.
            block: its evidence; source: the address that it came from.
            evidence: with look-ups of its own, or it would use up those of who writes now.

        Raises:
            Malformed, Unverified: it would not have been heard.
        """
        signed = notification.decode_evidence(block)
        item = notification.decode(signed.verify().item)
        visit = Visit(
            owner=owner, sender=item.sender, source=source, at=item.origin, item=item, proof=block
        )
        found = await evidence.prove(item.origin, source, reverse=True)
        now = self._core.now()
        slot = _new(visit, now)
        return _proven(_said(slot, visit, now) or slot, found, visit, now, self._core.config.origin)

    # --- what is known --------------------------------------------------------------------

    def facts(self, tx: Tables, slot: Held) -> Facts:
        """All that is known of what is held."""
        known = None if slot.domain is None else tx.domains.get(digest(slot.domain))
        vouched = (tx.peers.get(slot.owner, each.by) for each in tx.vouches.scan(*_pair(slot)))
        names = tuple(
            sorted(peer.name for peer in vouched if peer and peer.name and not peer.blocked)
        )
        made = of_slot(slot)
        if known is not None and slot.by:
            made = replace(
                made,
                registered=known.registered,
                first_seen=known.seen,
                kept=known.kept,
                broken=known.broken,
            )
        return replace(made, introducers=names)

    def decision(self, facts: Facts, now: Instant, profile: str | None = None) -> Decision:
        """What a profile makes of it; the one in force, unless another is named."""
        return decide.decide(profile or self.profile, facts, now)


def may_call(slot: Held, own: str) -> bool:
    """Whether its origin may be called: the domain is proven, or it is the very source.

    All loopback addresses are one machine: whoever calls from one may be at any other.

    Args:
        own: this node's origin, where its owners are.
    """
    at = ring.place(slot)
    if at is None:
        return False
    if slot.source == OWN:
        return at == own
    return slot.by is not None or is_source(at, slot.source) or is_here(slot)


def aim(slot: Held) -> str | None:
    """The one address that may be connected to for it: what its proof is of; None: its names'."""
    at = ring.place(slot)
    by_source = slot.by == "address" or (at is not None and is_source(at, slot.source))
    return slot.source if by_source and slot.source != OWN else None


def is_here(slot: Held) -> bool:
    """Whether it came from this very machine or node: nobody has to wait for that to be on."""
    at, source = ring.place(slot), address.parse(slot.source)
    here = source is not None and source.is_loopback and at is not None
    return slot.source == OWN or (here and at is not None and origins.is_loopback(at))


def _pair(slot: Held) -> tuple[Key, Key]:
    return slot.owner, slot.sender


def _new(visit: Visit, now: Instant) -> Held:
    return Held(owner=visit.owner, sender=visit.sender, n=0, received=now, source=visit.source)


def _said(slot: Held, visit: Visit, now: Instant) -> Held | None:
    """The slot with what was said, if that is newer than what it holds."""
    if visit.item is not None:
        return ring.noted(slot, visit.item, visit.proof, now, known=visit.known)
    # What is held of a key is of one place: the proof is for that, and for no other.
    if visit.issued <= slot.introduced or slot.origin not in (None, visit.at):
        return None
    made: Held = slot.but(introduction=visit.introduction, introduced=visit.issued, home=visit.at)
    return made


def _proven(slot: Held, proof: Proof, visit: Visit, now: Instant, own: str) -> Held:
    """The slot with where it came from now; at another place its node has to answer anew."""
    found = proof.iprev
    made: Held = slot.but(
        source=visit.source,
        came=now,
        network=address.network(visit.source),
        domain=proof.domain,
        by=proof.by,
        iprev=None if found is None else found.state,
        reverse=None if found is None else found.name,
        reverse_domain=proof.reverse_domain,
    )
    hopeful = may_call(made, own) or proof.unsure
    if slot.n and ring.place(made) == ring.place(slot):
        waits = slot.call_at is not None or slot.shown > 0
        again: Held = made if waits or not hopeful else made.but(call_at=now, calls=0)
        return again
    fresh: Held = made.but(
        call_at=now if hopeful else None,
        calls=0,
        answered=Instant(0),
        shown=Instant(0),
        looked=False,
        named=None,
    )
    return fresh


def of_slot(slot: Held) -> Facts:
    """What the slot itself says: all that is known before anybody but the DNS was asked."""
    return Facts(
        source=slot.source,
        network=slot.network or address.network(slot.source),
        origin=ring.place(slot),
        domain=slot.domain,
        proof=slot.by,
        iprev=slot.iprev,
        reverse=slot.reverse,
        reverse_domain=slot.reverse_domain,
        named=slot.named,
        answered=slot.answered or None,
        shown=slot.shown or None,
        size=slot.size,
        before=slot.known,
    )
