"""A directory: keeps records for others, so that who moved is found again.

Order, cheap first: size and shape → signature → the source's share → room → what is known →
call-back. A record is kept only when the node at one of its origins tells it too: no list of dead
keys grows here, and who fills it has to be somewhere. Nobody is called for it more often than a
third party would bear. Spec: 08 §8.7.
"""

import hashlib
from itertools import islice

import trio

from node import limits
from node.discovery.directory import Allowance
from node.encoding import address
from node.errors import Conflict, OverQuota, RateLimited, Refused, Unreachable, Unverified
from node.machines.rows import Listed
from node.objects import record
from node.objects.record import Record
from node.objects.signed import Signed
from node.ports import Tables
from node.services.calls import Calls
from node.services.core import Core
from node.units import DAY, HOUR, Instant, Key, Millis

AT_ONCE = 8
"""Call-backs under way: bounds sockets, and what an offer can make us wait for."""
PATIENCE = 12.0
"""Seconds for all origins of one record: whoever offers it waits 20 s for our answer."""
AGAIN = DAY
"""How long a call-back counts for the same record: its owner comes by weekly."""


class Directory:
    """Keeps and tells records of owners that live elsewhere."""

    def __init__(self, core: Core, calls: Calls) -> None:
        self._core, self._calls = core, calls
        hour, keys = Millis(HOUR), limits.DIRECTORY_SOURCES
        self._offers = Allowance(limits.DIRECTORY_OFFERS, hour, keys)
        self._called = Allowance(limits.DIRECTORY_CALLS, hour, keys)
        self._calling = 0

    @property
    def enabled(self) -> bool:
        """Whether this node is one."""
        return self._core.config.directory.enabled

    def told(self, did: Key) -> bytes | None:
        """The record kept for a key."""
        if not self.enabled:
            return None
        row = self._core.db.read(lambda tx: tx.listed.get(did))
        return None if row is None or row.until <= self._core.now() else row.block

    async def offer(self, signed: Signed[Record], source: str) -> None:
        """Somebody at `source` offers a record to be kept; durable when it returns.

        Raises:
            RateLimited: this source, or this origin, had its share of the hour.
            OverQuota: there is no room.
            Conflict: a newer record is kept.
            Refused: it lives here; `GET /v1/owners` tells it.
            Unverified: the signature does not hold, or none of its origins tells this record.
        """
        now, network = self._core.now(), _network(source)
        row = self._core.db.read(lambda tx: tx.listed.get(signed.claim.id))
        if row is not None and row.block == signed.block and 0 <= now - row.checked < AGAIN:
            return
        if not self._offers.take(network, now):
            raise RateLimited("too many records from your network: try again in an hour")
        self._core.db.read(lambda tx: _check_room(tx, row, network))
        offered = signed.verify()
        if row is not None and record.decode(row.block).claim.beats(offered):
            raise Conflict("a newer record is kept here", reason="older-record")
        block = await self._call_back(signed, now)
        await self._core.db.transact(lambda tx: _keep(tx, offered.id, block, network, now))

    async def _call_back(self, signed: Signed[Record], now: Instant) -> bytes:
        """The record as the node at one of its origins tells it."""
        here = self._core.config.origin
        places = [place for place in signed.claim.nodes if place.origin != here]
        if not places:
            raise Refused("this record is of this very node", reason="own-origin")
        if self._calling >= AT_ONCE:
            raise RateLimited("busy with other records: try again in a minute")
        self._calling += 1
        try:
            with trio.move_on_after(PATIENCE):
                for place in places:
                    if not self._called.take(place.origin, now):
                        raise RateLimited(f"{place.origin} was asked too often in this hour")
                    try:
                        told = await self._calls.owner(place, signed.claim.id)
                    except Unreachable:
                        continue
                    if told.block == signed.block or told.claim.beats(signed.claim):
                        return told.block
        finally:
            self._calling -= 1
        raise Unverified("none of its origins tells this record", reason="not-there")


def _network(source: str) -> bytes:
    """The network that an offer counts for, as 16 bytes."""
    return hashlib.sha256(address.network(source).encode()).digest()[:16]


def _check_room(tx: Tables, row: Listed | None, network: bytes) -> None:
    if row is not None and row.network == network:
        return
    mine = sum(1 for _ in islice(tx.listed.by("network", network), limits.DIRECTORY_NETWORK))
    if mine >= limits.DIRECTORY_NETWORK:
        raise OverQuota("your network has all the room it may have", reason="directory-full")
    if row is None and tx.node().listed >= limits.DIRECTORY_RECORDS:
        raise OverQuota("there is no room for further records", reason="directory-full")


def _keep(tx: Tables, did: Key, block: bytes, network: bytes, now: Instant) -> None:
    row = tx.listed.get(did)
    if row is not None and record.decode(row.block).claim.beats(record.decode(block).claim):
        return  # a newer one was offered while we called back
    _check_room(tx, row, network)
    until = Instant(now + limits.DIRECTORY_KEPT)
    tx.listed.put(Listed(did=did, block=block, network=network, checked=now, until=until))
    if row is None:
        node = tx.node()
        tx.put_node(node.but(listed=node.listed + 1))


def forget(tx: Tables, now: Instant, most: int) -> int:
    """Records whose time is over go; how many."""
    gone = list(islice(tx.listed.by("until", until=now), most))
    for row in gone:
        tx.listed.delete(row)
    if gone:
        node = tx.node()
        tx.put_node(node.but(listed=node.listed - len(gone)))
    return len(gone)
