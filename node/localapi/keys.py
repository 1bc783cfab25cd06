"""An owner's keys, renewed."""

from typing import Any

import trio

from node.localapi.call import Call, Handler
from node.machines.rows import Owner
from node.ports import Tables
from node.services import meet, owners, views
from node.services.core import the_owner
from node.services.node import Node
from node.units import Key

PATIENCE = 10.0
"""Seconds: contacts that are up know a new record by then."""


class KeyCalls:
    """What changes keys, and tells contacts."""

    def __init__(self, node: Node) -> None:
        self._core = node.core
        self.table: dict[str, Handler] = {"POST rotate": self._rotate}

    async def _rotate(self, call: Call) -> Any:
        """A new sealing key; the answer waits until contacts that are up know it."""
        secret, now = self._core.randomness.bytes(32), self._core.now()

        def work(tx: Tables) -> tuple[Owner, int]:
            before = the_owner(tx, call.owner.owner)
            row = owners.rotated(before, secret, now)
            tx.owners.put(row)
            meet.tell_record(tx, row, now)
            return row, len(before.sealing) + 1 - len(row.sealing)

        row, dropped = await self._core.db.transact(work)
        self._core.outgoing.ring()
        told, contacts = await self._told(row.owner)
        return views.whoami(row, self._core.config.origin) | {
            "keys": len(row.sealing),
            "dropped": dropped,
            "told": told,
            "contacts": contacts,
        }

    async def _told(self, owner: Key) -> tuple[int, int]:
        """How many contacts know the record, and how many there are."""

        def work(tx: Tables) -> tuple[int, int]:
            return meet.knowing(tx, owner)

        told, contacts = self._core.db.read(work)
        with trio.move_on_after(PATIENCE):
            while told < contacts:
                await trio.sleep(0.05)
                told, contacts = self._core.db.read(work)
        return told, contacts
