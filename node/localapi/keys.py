"""An owner's keys, renewed."""

from collections.abc import Callable
from typing import Any

import trio

from node.crypto import phrase
from node.encoding import names
from node.localapi.call import Call, Handler, optional
from node.machines.rows import Owner
from node.ports import Tables
from node.services import meet, owners, succession, views
from node.services.core import the_owner
from node.services.node import Node
from node.units import Key

PATIENCE = 10.0
"""Seconds: contacts that are up know a new record by then."""

Count = Callable[[Tables, Key], tuple[int, int]]
"""Counts an owner's contacts: those that know something, and all."""


class KeyCalls:
    """What changes keys, and tells contacts."""

    def __init__(self, node: Node) -> None:
        self._core = node.core
        self.table: dict[str, Handler] = {
            "POST rotate": self._rotate,
            "POST replace": self._replace,
        }

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
        told, contacts = await self._told(row.owner, meet.knowing)
        return views.whoami(row, self._core.config.origin) | {
            "keys": len(row.sealing),
            "dropped": dropped,
            "told": told,
            "contacts": contacts,
        }

    async def _replace(self, call: Call) -> Any:
        """A new signing key, by the 24 words; the answer waits for contacts that are up."""
        words = optional(await call.json(), "words") or ""
        seed, now = self._core.randomness.bytes(32), self._core.now()

        def work(tx: Tables) -> tuple[Owner, Owner]:
            before = the_owner(tx, call.owner.owner)
            made = succession.replace(tx, before, words, seed, self._core.endpoints, now)
            meet.tell_record(tx, made[1], now)
            return made

        new, old = await self._core.db.transact(work)
        self._core.outgoing.ring()
        told, contacts = await self._told(new.owner, succession.followers)
        at = self._core.config.origin
        return views.whoami(new, at) | {
            "recovery_phrase": phrase.words(seed),
            "old": {"name": old.name, "did": names.did(old.owner)},
            "open": self._core.db.read(lambda tx: sum(1 for _ in tx.sent.by("open", old.owner))),
            "told": told,
            "contacts": contacts,
        }

    async def _told(self, owner: Key, count: Count) -> tuple[int, int]:
        """How many contacts know the record, or the key, and how many there are."""

        def work(tx: Tables) -> tuple[int, int]:
            return count(tx, owner)

        told, contacts = self._core.db.read(work)
        with trio.move_on_after(PATIENCE):
            while told < contacts:
                await trio.sleep(0.05)
                told, contacts = self._core.db.read(work)
        return told, contacts
