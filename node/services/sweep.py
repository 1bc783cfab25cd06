"""What time does by itself: expiry, the end of the grace, forgotten rows.

Nothing expires while the clock is not believed. Each pass looks at what is due only, so it
costs nothing that grows with the mailbox. Spec: 06 §clocks, §retention.
"""

from itertools import islice

import trio

from node import limits
from node.errors import StoreFailed
from node.machines import clock, outbox, retention
from node.machines.rows import Peer
from node.ports import Tables
from node.services import arrive, callback, directory, ledger, ring
from node.services.core import Core
from node.services.redate import Redating
from node.services.space import Space
from node.units import HOUR, Instant

EVERY = 60.0
"""Seconds between looks at the clock."""
AT_ONCE = 500
"""Rows changed in one transaction: a node with much to expire stays answering."""


class Sweeper:
    """Runs all that is due by the clock alone, every so many seconds.

    Attributes:
        space: what gives room back to the disk.
    """

    def __init__(self, core: Core, every: float = EVERY) -> None:
        self._core, self._every = core, every
        node = core.db.read(lambda tx: tx.node())
        self._guard = clock.on_start(core.now(), core.clock.steady(), node.last_clock)
        self._redating = Redating(core.db)
        self.space = Space(core)

    @property
    def believes(self) -> bool:
        """Whether the clock is believed: else nothing expires."""
        return clock.believed(self._guard)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            try:
                await self.once()
            except StoreFailed as error:
                self._core.warn("sweeping-pauses", why=error.text)
            await trio.sleep(self._every)

    async def once(self) -> None:
        """One look at the clocks, and all that is due."""
        now = self._core.now()
        self._look(now)
        if clock.believed(self._guard):
            while self._core.db.apply(lambda tx: self._due(tx, now)):
                await trio.lowlevel.checkpoint()
        self._core.history.flush(self._core.db)
        await self.space.once()

    def _look(self, now: Instant) -> None:
        before, steady = self._guard, self._core.clock.steady()
        self._guard = clock.on_look(before, now, steady)
        self._redating.on_look(now, clock.stepped(before, now, steady), believed=self.believes)
        node = self._core.db.read(lambda tx: tx.node())
        # It may have been ahead between two looks: whatever was put off then went by `latest`.
        if now < max(node.seen_clock, self._core.latest) - limits.CLOCK_STEP:
            self._core.db.apply(lambda tx: rewind(tx, now))
            self._core.latest = now
            self._core.outgoing.ring()
            self._core.incoming.ring()
        believed = now if clock.believed(self._guard) else node.last_clock
        if max(abs(now - node.seen_clock), abs(believed - node.last_clock)) >= HOUR:
            self._core.db.apply(lambda tx: _note_clock(tx, now, believed))

    def _due(self, tx: Tables, now: Instant) -> bool:
        """One bounded round; whether there may be more."""
        rounds = (
            self._expire,
            self._end_grace,
            self._forget,
            self._make_room,
            self._abandon,
            self._drop_keys,
        )
        return max(work(tx, now) for work in rounds) >= AT_ONCE

    def _expire(self, tx: Tables, now: Instant) -> int:
        rows = list(islice(tx.deliveries.by("until", until=now), AT_ONCE))
        for before in rows:
            after = outbox.on_clock(before, now)
            ledger.change(tx, before, after, now, keep_sent=self._core.config.keep_sent)
        return len(rows)

    def _drop_keys(self, tx: Tables, now: Instant) -> int:
        """Sealing keys that nothing can be sealed to any more."""
        for owner in list(tx.owners.scan()):
            kept = retention.kept_keys(owner.sealing, now)
            if kept != owner.sealing:
                tx.owners.put(owner.but(sealing=kept))
        return 0

    def _end_grace(self, tx: Tables, now: Instant) -> int:
        rows = list(islice(tx.sent.by("grace", until=now), AT_ONCE))
        for row in rows:
            ledger.settle(tx, row, now, keep_sent=self._core.config.keep_sent)
        return len(rows)

    def _forget(self, tx: Tables, now: Instant) -> int:
        """Retractions, invites, pickups, strangers' and others' records whose time is over."""
        gone = list(islice(tx.withdrawn.by("until", until=now), AT_ONCE))
        for row in gone:
            tx.withdrawn.delete(row)
        invites = list(islice(tx.invites.by("until", until=now - limits.KEEP_DEFAULT), AT_ONCE))
        for invite in invites:
            tx.invites.delete(invite)
        listed = directory.forget(tx, now, AT_ONCE)
        listed = max(listed, callback.forget(tx, now, AT_ONCE))
        promises = list(islice(tx.promises.by("until", until=now), AT_ONCE))
        for promise in promises:
            tx.promises.delete(promise)
        pickups = list(islice(tx.pickups.by("until", until=now), AT_ONCE))
        for pickup in pickups:
            arrive.fail(tx, pickup)
        ring.forget(tx, now)
        return max(len(gone), len(invites), len(pickups), listed, len(promises))

    def _make_room(self, tx: Tables, now: Instant) -> int:
        """What waits only for room is picked up, however the room was made."""
        if sum(arrive.make_room(tx, row.owner, now) for row in list(tx.owners.scan())):
            self._core.incoming.ring()
        return 0

    def _abandon(self, tx: Tables, _now: Instant) -> int:
        """Drafts whose task is gone: the disk failed it, and then its cleaning up."""
        left = [draft for draft in tx.drafts.scan() if draft.key not in self._core.drafting]
        for draft in left:
            arrive.abandon(tx, draft)
        return 0


def _note_clock(tx: Tables, now: Instant, believed: Instant) -> None:
    # Not synced for its own sake: losing it only makes the next start less careful.
    tx.put_node(tx.node().but(last_clock=believed, seen_clock=now))


def rewind(tx: Tables, now: Instant) -> None:
    """The clock went back: what was put off into a future that is gone is due again."""
    for peer in list(tx.peers.scan()):
        tx.peers.put(_sooner(peer, now))
    for row in list(tx.deliveries.by("until")):
        if row.next_at is not None and row.next_at > now:
            tx.deliveries.put(row.but(next_at=now))
    for errand in list(tx.errands.scan()):
        if errand.next_at > now:
            tx.errands.put(errand.but(next_at=now))
    for pickup in list(tx.pickups.scan()):
        if pickup.next_at is not None and pickup.next_at > now:
            tx.pickups.put(pickup.but(next_at=now))
    for slot in list(tx.held.scan()):
        if slot.call_at is not None and slot.call_at > now:
            tx.held.put(slot.but(call_at=now))
    for known in list(tx.standings.scan()):
        if known.answered > now:  # "an hour later" would be after that
            tx.standings.delete(known)
    for archive in list(tx.archives.scan()):
        if archive.poll_at is not None and archive.poll_at > now:
            tx.archives.put(archive.but(poll_at=now))


def _sooner(row: Peer, now: Instant) -> Peer:
    made: Peer = row.but(
        wake_at=None if row.wake_at is None else min(row.wake_at, now),
        silent=0,
        silent_since=None,
        pickup_at=None if row.pickup_at is None else min(row.pickup_at, now),
        pickup_silent=0,
        poll_at=None if row.poll_at is None else min(row.poll_at, now),
        introduce_at=min(row.introduce_at, now),
        nudged_at=min(row.nudged_at, now),
        asked=min(row.asked, now),
    )
    return made
