"""Turns: requests begin one after the other, strangers' some rounds of the event loop apart.

A round runs every task that can run. If a flood's requests were all answered in one round, each
step of the node's own work (picking up a contact's mail takes some forty) would wait for all of
them. So one request begins at a time, and before a stranger's the loop goes round a few times for
all that the node does by itself, for its owners and for its contacts. Where nothing of that can
run a round takes microseconds, so nobody waits for nothing. Whoever goes first waits for no
stranger; the others come in the order in which they asked.

    asks ── nobody has the baton ──▶ takes it, begins some rounds later ─▶ hands it on
       └─── somebody has it ───────▶ waits ── it is handed over ─────────▶ the same
"""

import trio

APART = 4
"""Rounds before a stranger's request: four steps of the node's own for each of theirs."""


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
        if self._free:
            self._free = False
        else:
            await (self._first if first else self._rest).park()
        try:
            for _ in range(1 if first else APART):
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
