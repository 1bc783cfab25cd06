"""Turns: requests begin one after the other, one in each round of the event loop.

A round runs every task that can run. If a flood's requests were all answered in one round, each
step of the node's own work (picking up a contact's mail takes some thirty) would wait for all of
them. So in each round one request begins, and all that the node does by itself, for its owners and
for its contacts has the loop in between. Whoever goes first waits for no stranger; the others
come in the order in which they asked.

    asks ── nobody has the baton ──▶ takes it, begins in the next round ─▶ hands it on
       └─── somebody has it ───────▶ waits ── it is handed over ─────────▶ begins, hands it on
"""

import trio


class Turns:
    """The order in which requests begin."""

    def __init__(self) -> None:
        self._free = True
        self._first, self._rest = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._first) + len(self._rest)

    async def take(self, *, first: bool) -> None:
        """Returns when the request may begin.

        Args:
            first: whether it goes before all who wait without this word.
        """
        if not self._free:
            await (self._first if first else self._rest).park()
            self._hand_on()
            return
        self._free = False
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self._hand_on()

    def _hand_on(self) -> None:
        """The next one begins in the next round."""
        lot = self._first or self._rest
        if lot:
            lot.unpark()
        else:
            self._free = True
