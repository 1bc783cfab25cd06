"""What time does by itself: expiry, the end of the grace, freed blocks, forgotten rows.

Nothing expires while the clock is not believed. Each pass looks at what is due only, so it
costs nothing that grows with the mailbox. Spec: 06 §clocks, §retention.
"""

from itertools import islice

import trio

from node import limits
from node.machines import clock, outbox
from node.machines import peer as peers
from node.machines.rows import Trash
from node.ports import Tables
from node.services import arrive, ledger
from node.services.core import Core
from node.units import Instant

EVERY = 60.0
"""Seconds between looks at the clock."""
FANOUT = 256
"""Folders of files; one is looked through at each look."""
AT_ONCE = 500
"""Rows changed in one transaction: a node with much to expire stays answering."""


class Sweeper:
    """Runs all that is due by the clock alone, every so many seconds."""

    def __init__(self, core: Core, every: float = EVERY) -> None:
        self._core, self._every = core, every
        last = core.db.read(lambda tx: tx.node().last_clock)
        self._guard = clock.on_start(core.now(), core.clock.steady(), last)
        self._folder = 0

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await self.once()
            await trio.sleep(self._every)

    async def once(self) -> None:
        """One look at the clocks, and all that is due."""
        now = self._core.now()
        self._look(now)
        if clock.believed(self._guard):
            while self._core.db.apply(lambda tx: self._due(tx, now)):
                await trio.lowlevel.checkpoint()
        await self._find_orphans()
        await self._empty_trash()

    def _look(self, now: Instant) -> None:
        before = self._guard
        self._guard = clock.on_look(before, now, self._core.clock.steady())
        if now < before.wall - limits.CLOCK_STEP:
            self._core.db.apply(lambda tx: rewind(tx, now))
            self._core.outgoing.ring()
        # Not synced for its own sake: losing it only makes the next start less careful.
        self._core.db.apply(lambda tx: tx.put_node(tx.node().but(last_clock=now)))

    def _due(self, tx: Tables, now: Instant) -> bool:
        """One bounded round; whether there may be more."""
        rounds = (self._expire, self._end_grace, self._forget, self._make_room)
        return max(work(tx, now) for work in rounds) >= AT_ONCE

    def _expire(self, tx: Tables, now: Instant) -> int:
        rows = list(islice(tx.deliveries.by("until", until=now), AT_ONCE))
        for before in rows:
            after = outbox.on_clock(before, now)
            ledger.change(tx, before, after, now, keep_sent=self._core.config.keep_sent)
        return len(rows)

    def _end_grace(self, tx: Tables, now: Instant) -> int:
        rows = list(islice(tx.sent.by("grace", until=now), AT_ONCE))
        for row in rows:
            ledger.settle(tx, row, now, keep_sent=self._core.config.keep_sent)
        return len(rows)

    def _forget(self, tx: Tables, now: Instant) -> int:
        """Retractions, invites and pickups whose time is over."""
        gone = list(islice(tx.withdrawn.by("until", until=now), AT_ONCE))
        for row in gone:
            tx.withdrawn.delete(row)
        invites = list(islice(tx.invites.by("until", until=now - limits.KEEP_DEFAULT), AT_ONCE))
        for invite in invites:
            tx.invites.delete(invite)
        pickups = list(islice(tx.pickups.by("until", until=now), AT_ONCE))
        for pickup in pickups:
            arrive.fail(tx, pickup)
        return max(len(gone), len(invites), len(pickups))

    async def _find_orphans(self) -> None:
        """Files that a crash left without a row go to the trash, one folder at a time.

        A pickup that was interrupted loses its parts by this, and fetches them again.
        """
        names = await self._core.files.names(self._folder)
        self._folder = (self._folder + 1) % FANOUT

        def work(tx: Tables) -> None:
            drafted = {part for draft in tx.drafts.scan() for part in draft.parts}
            for name in names:
                block = tx.blocks.get(name)
                if (block is None or not block.refs) and name not in drafted:
                    tx.trash.put(Trash(cid=name))

        if names:
            self._core.db.apply(work)

    def _make_room(self, tx: Tables, now: Instant) -> int:
        """What waits only for room is picked up, however the room was made."""
        waiting = {row.owner for row in islice(tx.pickups.by("full"), AT_ONCE)}
        if sum(arrive.make_room(tx, owner, now) for owner in sorted(waiting)):
            self._core.incoming.ring()
        return 0

    async def _empty_trash(self) -> None:
        """Files that no row needs are removed, one at a time, under the files' lock."""
        core = self._core
        doomed = core.db.read(lambda tx: list(islice(tx.trash.scan(), AT_ONCE)))
        for row in doomed:
            async with core.files_lock:
                if core.keeping[row.cid] > 0:
                    continue
                block = core.db.read(lambda tx, row=row: tx.blocks.get(row.cid))  # type: ignore[misc]
                if block is None or not block.refs:
                    # The row that freed it must be durable before its bytes are gone.
                    await core.db.transact(lambda tx: None)
                    await core.files.drop(row.cid)
                core.db.apply(lambda tx, row=row: tx.trash.delete(row))  # type: ignore[misc]


def rewind(tx: Tables, now: Instant) -> None:
    """The clock went back: what was put off into a future that is gone is due again."""
    far = Instant(now + 2 * limits.HELD_RETRY)
    for peer in list(tx.peers.scan()):
        if peer.wake_at is not None:
            tx.peers.put(peers.on_owed(peer.but(silent=0), now, now))
    for row in list(tx.deliveries.by("until")):
        if row.next_at is not None and row.next_at > far:
            tx.deliveries.put(row.but(next_at=now))
    for errand in list(tx.errands.scan()):
        if errand.next_at > far:
            tx.errands.put(errand.but(next_at=now))
    for pickup in list(tx.pickups.scan()):
        if pickup.next_at is not None and pickup.next_at > far:
            tx.pickups.put(pickup.but(next_at=now))
            sender = tx.peers.get(pickup.owner, pickup.sender)
            if sender is not None:
                tx.peers.put(peers.on_wanted(sender, now))
