"""Who is due: peers whose clock rings are served, all of one place together.

    look ──▶ due peers, gathered by place ──▶ one task for each, so many at a time ──▶ bell

What a round says or fetches is its owner's (`deliver`, `pickup`). Here is only that it runs,
and that nothing it meets ends the others: a disk that fails pauses one round, or one look.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from itertools import islice

import trio

from node.errors import Damaged, StoreFailed, WillcallError
from node.machines.rows import Peer
from node.ports import Tables
from node.services.core import Bell, Core
from node.units import Instant

LOOKED_AT = 256
"""Due peers that one look gathers: a whole batch, and a few milliseconds."""
SOON = 0.5
"""Seconds until the next look where one could not see all that are due: 2 % of a processor while a
place that is being served has many of them."""
AGAIN = 5.0
"""Seconds until a disk that failed is tried again."""

Serve = Callable[[Sequence[Peer]], Awaitable[None]]


def of_the_disk(error: WillcallError) -> bool:
    """Whether it is our disk that failed, so that no peer is to wait for it."""
    return isinstance(error, StoreFailed) and not isinstance(error, Damaged)


class Rounds:
    """Runs one kind of round for all peers.

    Args:
        core: the node's ports.
        name: what pauses, in a line for the operator.
        bell: rung when somebody may be due.
        index: the index of peers by the clock that is meant.
        clock: that clock in a row.
        place: what is served together, and by one task at a time.
        serve: one round with peers of one place; raises nothing but StoreFailed.
        at_once: rounds that run at the same time.
    """

    def __init__(
        self,
        core: Core,
        *,
        name: str,
        bell: Bell,
        index: str,
        clock: Callable[[Peer], Instant | None],
        place: Callable[[Peer], Hashable],
        serve: Serve,
        at_once: int,
    ) -> None:
        self._core, self._name, self._bell = core, name, bell
        self._index, self._clock, self._place = index, clock, place
        self._serve, self._at_once = serve, at_once
        self._busy: set[Hashable] = set()
        self._reached: Peer | None = None
        self._failed = False

    async def run(self) -> None:
        """Serves whoever is due until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._bell.wait(self._begin(nursery))

    def _begin(self, nursery: trio.Nursery) -> float:
        """Starts the rounds that are due; seconds until the next look."""
        now = self._core.now()
        try:
            due, pause = self._core.db.read(lambda tx: self._look(tx, now))
        except StoreFailed as error:
            self._core.warn(f"{self._name}-pauses", why=error.text)
            return AGAIN
        for place, peers in due.items():
            self._busy.add(place)
            nursery.start_soon(self._one, place, peers)
        return pause

    def _look(self, tx: Tables, now: Instant) -> tuple[dict[Hashable, list[Peer]], float]:
        """Who is due at a place that is not being served; seconds until the next one is.

        Where more are due than it looks at, the next look goes on behind the last one: all of
        these may be of one place that is being served for long.
        """
        due: dict[Hashable, list[Peer]] = {}
        begun, self._reached = self._reached, None
        rows = list(islice(tx.peers.by(self._index, behind=begun), LOOKED_AT))
        for row in rows:
            at = self._clock(row)
            if at is not None and at > now:
                return due, SOON if begun else (at - now) / 1000
            place = self._place(row)
            free = place in due or len(self._busy) + len(due) < self._at_once
            if free and place not in self._busy:
                due.setdefault(place, []).append(row)
        self._reached = rows[-1] if len(rows) == LOOKED_AT else None
        # A round that ends rings.
        return due, SOON if begun or self._reached else 3600.0

    async def _one(self, place: Hashable, peers: Sequence[Peer]) -> None:
        try:
            if self._failed:
                # What can't be noted is not said either: it would be said again and again.
                await self._core.db.transact(_try_the_disk)
                self._failed = False
            await self._serve(peers)
            # Only now it is known that what came of it was kept, and is not due at once again.
            await self._core.db.transact(lambda tx: None)
        except StoreFailed as error:
            # Disk full: what was not noted did not leave; the same rows are due in a while.
            self._failed = True
            self._core.warn(f"{self._name}-pauses", why=error.text)
            await trio.sleep(AGAIN)
        finally:
            self._busy.discard(place)
            self._bell.ring()


def _try_the_disk(tx: Tables) -> None:
    tx.put_node(tx.node())
