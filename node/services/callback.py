"""Call-backs: what strangers say is shown only when the node they name is there, twice.

    slot taken ─▶ GET /v1/owners/{did} at its origin ─ answered ─▶ an hour later again ─▶ shown
                         │ no answer
                         ▼
                  again after 1, 2, 4 hours, then the slot is emptied

A node can't be aimed at a third party: it calls only where the domain of the origin is proven, or
the very address that something came from, and connects to that address alone. One origin is
called once an hour at most, one registrable domain twelve times; what is due waits its turn.
Spec: 06 §strangers.
"""

from itertools import islice

import trio

from node import limits
from node.encoding import origin as origins
from node.errors import Malformed, StoreFailed, WillcallError
from node.machines.bucket import Buckets
from node.machines.rows import Domain, Held, Standing
from node.objects.record import Endpoint
from node.policy import proof
from node.policy.iprev import Answers
from node.ports import Tables
from node.services import ring, strangers
from node.services.calls import Calls
from node.services.core import Core, short
from node.services.evidence import digest
from node.services.strangers import Strangers
from node.services.switch import OWN
from node.units import HOUR, Instant, Key, Millis

AT_ONCE = 8
"""Calls under way: bounds sockets."""
LOOKED_AT = 64
"""Slots that are looked at in one go; what is due longest comes first."""
BREATH = 0.1
"""Seconds between looks: in a flood slots change hands all the time."""
AGAIN = 5.0
"""Seconds until the next look after the disk failed."""


class CallBacks:
    """Calls whoever is due, until cancelled."""

    def __init__(self, core: Core, calls: Calls, who: Strangers) -> None:
        self._core, self._calls, self._strangers = core, calls, who
        self._pause = Millis(min(limits.CALLBACK_ORIGIN, core.config.again))
        domain = Millis(HOUR // limits.CALLBACK_DOMAIN)
        self._origins = Buckets(1, self._pause, limits.SOURCES)
        self._domains = Buckets(limits.CALLBACK_DOMAIN, domain, limits.SOURCES)
        self._every = Millis(HOUR // limits.CALLBACK_HOUR)
        self._all = Buckets(limits.CALLBACK_BURST, self._every, 1)
        self._busy: set[tuple[Key, Key]] = set()

    async def run(self) -> None:
        """Calls back whoever is due until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._strangers.due.wait(self._begin(nursery))
                await trio.sleep(BREATH)

    def busy(self, owner: Key) -> bool:
        """Whether something that this owner may be shown soon is being found out."""
        who = self._strangers
        waiting = any(each.owner == owner for each in (*who.doorstep, *who.waiting.values()))
        if waiting or who.asking or any(pair[0] == owner for pair in self._busy):
            return True
        now = self._core.now()
        rows = self._core.db.read(lambda tx: list(tx.held.scan(owner)))
        return any(row.call_at is not None and row.call_at <= now for row in rows)

    def _begin(self, nursery: trio.Nursery) -> float:
        """Starts the calls that are due; seconds until the next look."""
        now = self._core.now()
        try:
            due, pause = self._core.db.apply(lambda tx: self._look(tx, now))
        except StoreFailed as error:
            self._core.warn("strangers-pause", why=error.text)
            return AGAIN
        for row in due:
            self._busy.add((row.owner, row.sender))
            nursery.start_soon(self._one, row)
        return pause

    def _look(self, tx: Tables, now: Instant) -> tuple[list[Held], float]:
        due: list[Held] = []
        if not self._all.left(b"", self._core.clock.steady()):
            # In a flood slots change all the time: nobody is looked at for whom there is no call.
            return due, self._every / 1000
        soon = 3600.0
        first = list(islice(tx.held.by("call"), LOOKED_AT))
        for row in first:
            assert row.call_at is not None
            if row.call_at > now:
                return due, (row.call_at - now) / 1000
            if (row.owner, row.sender) in self._busy:
                continue
            if len(self._busy) + len(due) >= AT_ONCE:
                return due, 60.0
            if not self._strangers.answered_for(row):
                due.append(row)  # first the DNS, which costs no call
                continue
            after = self._remembered(tx, row, now)
            if after is None and not self._all.left(b"", self._core.clock.steady()):
                soon = min(soon, self._every / 1000)
                continue
            after = after or self._queued(row, now)
            if after is None:
                due.append(row)
            else:
                tx.held.put(after)
                soon = min(soon, ((after.call_at or Instant(now + HOUR)) - now) / 1000)
        return due, min(soon, 1.0) if len(first) == LOOKED_AT else soon  # a call that ends rings

    def _remembered(self, tx: Tables, row: Held, now: Instant) -> Held | None:
        """The slot, where its node answered before, for another slot; None: it has to be asked."""
        known = tx.standings.get(standing_of(row))
        if known is None or known.until <= now:
            return None
        return self._stood(row, known, now) if known.shown or not row.answered else None

    def _queued(self, row: Held, now: Instant) -> Held | None:
        """The slot, put off until there is room for this call; None: there is, and it counts."""
        at, steady = ring.place(row) or "", self._core.clock.steady()
        domain = (row.domain or origins.split(at)[0]).encode()
        buckets = (
            (self._domains, domain, Millis(HOUR // limits.CALLBACK_DOMAIN)),
            (self._origins, at.encode(), self._pause),
        )
        for bucket, key, pause in buckets:
            if not bucket.left(key, steady):
                put_off: Held = row.but(call_at=Instant(now + pause))
                return put_off
        self._all.take(b"", steady)
        for bucket, key, _ in buckets:
            bucket.take(key, steady)
        return None

    # --- one call -------------------------------------------------------------------------

    async def _one(self, row: Held) -> None:
        try:
            await (self._call if self._strangers.answered_for(row) else self._prove)(row)
        except StoreFailed as error:
            self._core.warn("strangers-pause", why=error.text)
            await trio.sleep(AGAIN)
        finally:
            self._busy.discard((row.owner, row.sender))
            self._strangers.due.ring()

    async def _call(self, row: Held) -> None:
        at = ring.place(row)
        now, row = self._core.now(), await self._proved(row)
        if at is None or not self._strangers.answered_for(row):
            self._core.db.apply(lambda tx: self._change(tx, row, self._unproven(row, now)))
            return
        try:
            only = strangers.aim(row)
            signed = await self._calls.owner(Endpoint(origin=at), row.sender, only=only)
        except (WillcallError, Malformed) as error:
            if isinstance(error, StoreFailed):
                raise
            self._core.note("stranger-silent", peer=short(row.sender), why=error.text)
            self._core.db.apply(lambda tx: self._change(tx, row, self._silent(row, now)))
            return
        await self._answered(row, signed.claim.name, now)

    async def _prove(self, row: Held) -> None:
        """Asks the DNS once more about whom nobody answers for yet; then it is called, or waits."""
        now, row = self._core.now(), await self._proved(row)
        found = row.but(call_at=now, calls=0)
        after = found if self._strangers.answered_for(row) else self._unproven(row, now)
        self._core.db.apply(lambda tx: self._change(tx, row, after))

    async def _proved(self, row: Held) -> Held:
        """The slot with the proof as it is today: a name may lead elsewhere by now."""
        at, evidence, strict = ring.place(row), self._strangers.evidence, self._strangers.reverse
        if at is None or row.source == OWN or (row.domain is None and not strict):
            return row
        forward = Answers(state="nothing")
        if row.domain is not None:
            forward = await evidence.addresses(origins.split(at)[0], row.source, fresh=True)
        known = row.source in forward.values and not strict
        iprev = None if known else await evidence.iprev(row.source)
        found = proof.judge(row.domain, row.source, forward, iprev, evidence.world.registrable)
        made: Held = row.but(by=found.by)
        if iprev is not None:
            made = made.but(
                iprev=iprev.state, reverse=iprev.name, reverse_domain=found.reverse_domain
            )
        return made

    async def _answered(self, row: Held, name: str | None, now: Instant) -> None:
        again = self._core.config.again

        def stand(tx: Tables) -> Held:
            id, until = standing_of(row), Instant(now + limits.STANDING)
            known = tx.standings.get(id)
            if known is None or known.until <= now:
                known = Standing(id=id, answered=now, until=until)
            shown = known.shown or strangers.is_here(row) or now >= known.answered + again
            known = known.but(until=until, shown=(known.shown or now) if shown else Instant(0))
            tx.standings.put(known)
            return self._change(tx, row, self._stood(row, known, now))

        stored = self._core.db.apply(stand)
        if not stored.looked:
            await self._look_up(stored, name, now)

    def _stood(self, row: Held, known: Standing, now: Instant) -> Held:
        """The slot, now that its node is known to have answered."""
        later = max(now, Instant(known.answered + self._core.config.again))
        made: Held = row.but(
            answered=known.answered,
            shown=known.shown,
            calls=0,
            call_at=None if known.shown else later,
        )
        return made

    def _silent(self, row: Held, now: Instant) -> Held | None:
        """The slot after a call that had no answer; None: it is emptied."""
        if row.calls + 1 >= limits.CALLBACK_TRIES:
            return None
        made: Held = row.but(calls=row.calls + 1, call_at=Instant(now + (self._pause << row.calls)))
        return made

    def _unproven(self, row: Held, now: Instant) -> Held | None:
        """The slot of whom nobody answers for: not called, and looked at again a few times."""
        strict = self._strangers.reverse
        if self._strangers.refuses(row, now):
            return None
        after = self._silent(row, now) if strict or row.domain is not None else None
        # Of whom the policy's question stays open goes; a stranger without proof stays, unseen.
        return row.but(call_at=None) if after is None and not strict else after

    def _change(self, tx: Tables, before: Held, after: Held | None) -> Held:
        """Writes the slot, unless it holds something from elsewhere by now."""
        stored = tx.held.get(before.owner, before.sender)
        if stored is None or ring.place(stored) != ring.place(before):
            return before
        if after is None:
            ring.drop(tx, stored.owner, stored.sender)
            return before
        words = ("answered", "shown", "calls", "call_at", "by", "iprev", "reverse")
        made: Held = stored.but(
            reverse_domain=after.reverse_domain, **{word: getattr(after, word) for word in words}
        )
        tx.held.put(made)
        if made.by != stored.by:
            self._strangers.rings.forget(made.owner)
        return made

    # --- what else can be found out ---------------------------------------------------------

    async def _look_up(self, row: Held, name: str | None, now: Instant) -> None:
        """Age and the domain's own word, once for each slot whose node has answered."""
        evidence, domain, at = self._strangers.evidence, row.domain, ring.place(row)
        named = None
        if row.by is not None and domain is not None and at is not None:
            await self._register(domain, now)
            if name is not None:
                named = await evidence.named(name, at, row.sender, strangers.aim(row))

        def work(tx: Tables) -> None:
            stored = tx.held.get(row.owner, row.sender)
            if stored is not None and ring.place(stored) == at:
                tx.held.put(stored.but(looked=True, named=named))

        self._core.db.apply(work)

    async def _register(self, domain: str, now: Instant) -> None:
        known = self._core.db.read(lambda tx: tx.domains.get(digest(domain)))
        if known is None or known.asked + limits.REGISTRATION_KEPT > now:
            return
        answered, at = await self._strangers.evidence.registered(domain)
        if not answered:
            return

        def work(tx: Tables) -> None:
            row: Domain | None = tx.domains.get(digest(domain))
            if row is not None:
                tx.domains.put(row.but(registered=at, asked=now))

        self._core.db.apply(work)


def standing_of(row: Held) -> bytes:
    """Under which name it is noted that this key's node is there."""
    return digest(row.sender, ring.place(row) or "")


def forget(tx: Tables, now: Instant, most: int) -> int:
    """What was noted about nodes that did not come by lately goes; how much."""
    gone = list(islice(tx.standings.by("until", until=now), most))
    for row in gone:
        tx.standings.delete(row)
    return len(gone)
