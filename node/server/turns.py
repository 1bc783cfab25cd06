"""Turns: requests begin one after the other, strangers' some rounds of the event loop apart.

A round runs every task that can run. If a flood's requests were all answered in one round, each
step of the node's own work (picking up a contact's mail takes some forty) would wait for all of
them. So one request begins at a time, and before a stranger's the loop goes round a few times for
all that the node does by itself, for its owners and for its contacts. Where nothing of that can
run a round takes microseconds, so nobody waits for nothing. Whoever goes first has a lane of its
own, where nobody waits for a stranger; in each lane requests begin in the order in which they came.

    asks ── nobody has the baton ──▶ takes it ── calm? ── begins some rounds later ─▶ hands it on
       └─── somebody has it ───────▶ waits ── it is handed over ──────────────────▶ the same
"""

from collections.abc import Awaitable, Callable

import trio

APART = 4
"""Rounds before a stranger's request: four steps of the node's own for each of theirs."""


class Turns:
    """The order in which requests begin.

    Args:
        calm: returns when a stranger's request may begin.
    """

    def __init__(self, calm: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint) -> None:
        self._first, self._rest = trio.StrictFIFOLock(), trio.StrictFIFOLock()
        self._calm = calm

    async def take(self, *, first: bool) -> None:
        """Returns when the request may begin.

        Args:
            first: whether it waits for no stranger.
        """
        lane = self._first if first else self._rest
        try:
            lane.acquire_nowait()  # nobody has it: no round for that
        except trio.WouldBlock:
            await lane.acquire()
        try:
            if not first:
                await self._calm()
            for _ in range(1 if first else APART):
                await trio.lowlevel.checkpoint()
        finally:
            lane.release()
