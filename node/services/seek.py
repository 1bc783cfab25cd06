"""Who moved is found again: directories are asked, and told where we are.

    a peer is silent for a while → its directories → a newer record → it is called at once
    our record changed, or a week passed → our directories hear it, and are asked whether they
    keep it

Which directories: the configured ones, and for each key the few seeds that are nearest to it.
Nothing of this is stored: who is still silent is looked for again, and a node that starts tells
its directories anew. Spec: 08 §8.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from node import limits
from node.discovery import directory, seeds
from node.discovery.directory import Allowance
from node.errors import StoreFailed, Unreachable
from node.machines import peer as peers
from node.machines import retry
from node.machines.rows import Owner
from node.objects import record
from node.objects.record import Endpoint, Record
from node.objects.signed import Signed
from node.ports import Tables
from node.services import meet
from node.services.calls import Calls
from node.services.core import Core, short
from node.units import Instant, Key

AT_ONCE = 4
"""Keys looked for, and directories told, at the same time."""
LOOK = 300.0
"""Seconds between looks at our own records: so late a directory may hear of a change."""


class Directories:
    """Which directories are there for a key."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def any(self) -> bool:
        """Whether there is one to speak to."""
        config = self._core.config.directory
        return bool(config.ask or (config.seeds and self._core.seeds))

    def of(self, did: Key) -> tuple[Endpoint, ...]:
        """Where its record is kept, or ought to be; never this node itself."""
        config = self._core.config
        own = tuple(seeds.parse_line(line) for line in config.directory.ask)
        more = self._core.seeds if config.directory.seeds else ()
        places = (*own, *directory.chosen(more, did, limits.DIRECTORY_SEEDS))
        return tuple(dict.fromkeys(place for place in places if place.origin != config.origin))


class Seeker:
    """Looks for peers that are silent where we knew them."""

    def __init__(self, core: Core, calls: Calls) -> None:
        self._core, self._calls = core, calls
        self._directories = Directories(core)
        self._lately = Allowance(1, limits.SEEK_PAUSE, limits.SEEK_KEYS)

    async def run(self) -> None:
        """Looks for whoever is missed until cancelled."""
        at_once = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            while True:
                while self._core.missed:
                    owner, did = self._core.missed.pop()
                    if self._lately.take((owner, did), self._core.now()):
                        borrower = object()
                        await at_once.acquire_on_behalf_of(borrower)
                        nursery.start_soon(self._one, owner, did, at_once, borrower)
                await self._core.missing.wait(3600.0)

    async def _one(
        self, owner: Key, did: Key, at_once: trio.CapacityLimiter, borrower: object
    ) -> None:
        try:
            await self.seek(owner, did)
        except StoreFailed as error:
            self._core.warn("looking-pauses", peer=short(did), why=error.text)
        finally:
            at_once.release_on_behalf_of(borrower)

    async def seek(self, owner: Key, did: Key) -> bool:
        """Asks the directories of a peer for a newer record; whether there was one."""
        found: list[Signed[Record]] = []
        async with trio.open_nursery() as nursery:
            for place in self._directories.of(did):
                nursery.start_soon(self._ask, place, did, found)
        if not found:
            return False
        now = self._core.now()
        newer = await self._core.db.transact(lambda tx: _learn(tx, owner, did, found, now))
        if newer:
            self._core.note("found-again", peer=short(did))
            self._core.outgoing.ring()
            self._core.incoming.ring()
        return newer

    async def _ask(self, place: Endpoint, did: Key, found: list[Signed[Record]]) -> None:
        try:
            told = await self._calls.listed(place, did)
        except Unreachable as error:
            self._core.note("directory-silent", at=place.origin, why=error.text)
            return
        if told is not None:
            found.append(told)


def _learn(tx: Tables, owner: Key, did: Key, found: Sequence[Signed[Record]], now: Instant) -> bool:
    row = tx.peers.get(owner, did)
    if row is None:
        return False
    known = None if row.record is None else record.decode(row.record).claim
    best = directory.newest((each.claim for each in found), known)
    if best is None:
        return False
    block = next(each.block for each in found if each.claim is best)
    row = meet.learn(tx, owner, did, block, now) or row
    tx.peers.put(peers.on_moved(row, now))
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a directory was told of one owner: which record, when again, failures in a row."""

    block: bytes
    next_at: Instant
    step: int = 0


class Teller:
    """Tells directories where our owners are.

    Args:
        core: the node.
        calls: how it reaches directories.
        every: seconds between looks at our own records.
    """

    def __init__(self, core: Core, calls: Calls, every: float = LOOK) -> None:
        self._core, self._calls, self._every = core, calls, every
        self._directories = Directories(core)
        self._told: dict[tuple[Key, str], _Told] = {}

    async def run(self) -> None:
        """Tells what is due until cancelled."""
        while True:
            await self.once()
            await trio.sleep(self._every)

    async def once(self) -> None:
        """Tells each directory what it was not told yet, or a week ago."""
        if not self._directories.any():
            return
        at_once = trio.CapacityLimiter(AT_ONCE)
        owners = self._core.db.read(lambda tx: list(tx.owners.by("order")))
        async with trio.open_nursery() as nursery:
            for owner in owners:
                for place in self._directories.of(owner.owner):
                    if self._is_due(owner, place):
                        nursery.start_soon(self._tell, owner, place, at_once)

    def _is_due(self, owner: Owner, place: Endpoint) -> bool:
        # A wider world is not told of a smaller one.
        if not self._core.is_called_from(place.origin):
            return False
        told = self._told.get((owner.owner, place.origin))
        now = self._core.now()
        # A clock that was put back must not make it wait for the old one's week.
        late = told is not None and told.next_at - now > limits.DIRECTORY_AGAIN * 2
        return told is None or told.block != owner.record or now >= told.next_at or late

    async def _tell(self, owner: Owner, place: Endpoint, at_once: trio.CapacityLimiter) -> None:
        async with at_once:
            why = await self._why_not(owner, place)
        now, jitter = self._core.now(), self._core.jitter()
        before = self._told.get((owner.owner, place.origin))
        step = 0 if before is None or before.block != owner.record else before.step
        if why is None:
            again = Instant(now + retry.moved(limits.DIRECTORY_AGAIN, jitter))
            told = _Told(block=owner.record, next_at=again)
        else:
            self._core.note("not-kept", at=place.origin, why=why)
            told = _Told(block=owner.record, next_at=retry.at(now, step, jitter), step=step + 1)
        self._told[(owner.owner, place.origin)] = told

    async def _why_not(self, owner: Owner, place: Endpoint) -> str | None:
        """Tells one directory; None: it keeps the record now."""
        try:
            await self._calls.record(place, owner.owner, owner.record)
            # 204 alone says nothing: a node that is no directory answers so too.
            kept = await self._calls.listed(place, owner.owner)
        except Unreachable as error:
            return error.text
        return (
            None if kept is not None and kept.block == owner.record else "it tells another, or none"
        )
