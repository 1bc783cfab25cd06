"""Where a peer is called: an origin of its newest record, whose node said so itself.

At an origin that is new to us `GET /v1/owners` comes before anything else: the record there
must be signed by that key and list that very origin, and its pin be that of the connection.
Where a pin is not met any more, the place is new again (`machines.peer`). Spec: 07 §7.1, 08.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from node.encoding import origin as origins
from node.errors import Unreachable
from node.machines.rows import Owner, Peer
from node.objects import record
from node.objects.record import Endpoint, Record
from node.ports import Tables
from node.services import meet
from node.services.calls import Calls
from node.services.core import Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """One peer to be spoken to: who speaks, to whom, where."""

    owner: Owner
    peer: Peer
    record: Record
    at: Endpoint


@lru_cache(maxsize=1024)
def _read(block: bytes) -> Record:
    return record.decode(block).claim


def known(row: Peer) -> Record | None:
    """The peer's newest record, if it has told us one."""
    return None if row.record is None else _read(row.record)


def place(row: Peer) -> Endpoint | None:
    """Where a peer is called next for what is owed to it; None: nobody has told us."""
    found = known(row)
    if found is not None:
        return found.nodes[row.silent % len(found.nodes)]
    return None if row.origin is None else Endpoint(origin=row.origin)


def pickup_place(row: Peer, origin: str) -> Endpoint:
    """Where to pick up: `origin` if the newest record lists it, else the record's first."""
    found = known(row)
    return Endpoint(origin=origin) if found is None else found.endpoint(origin)


class Greeter:
    """Greets whoever is new at a place."""

    def __init__(self, core: Core, calls: Calls) -> None:
        self._core, self._calls = core, calls

    async def meet(self, owner: Owner, row: Peer) -> Met:
        """Where to call `row` for what is owed to it.

        Raises:
            Unreachable: no node there says that this key is its owner.
        """
        if row.did == owner.owner:  # its own, unlisted contact: reached without a look-up
            own = _read(owner.record)
            at = own.endpoint(self._core.config.origin)
            return Met(owner=owner, peer=row, record=own, at=at)
        row = await self._moved(row)
        aim = place(row)
        if aim is None:
            raise Unreachable("it is not known where to reach this address", reason="no-origin")
        self._check_width(aim)
        (row,), at = await self.greeted([row], aim)
        found = known(row)
        assert found is not None, "whoever was greeted has told its record"
        return Met(owner=owner, peer=row, record=found, at=at)

    def _check_width(self, at: Endpoint) -> None:
        """Raises Unreachable for an address that only its own machine or network can call."""
        config = self._core.config
        near = origins.is_private(at.origin) and config.network.private
        if not near and not origins.reaches(at.origin, config.origin):
            raise Unreachable(f"{at.origin} can't be called from here", reason="not-callable")

    async def _moved(self, row: Peer) -> Peer:
        """The row, after a place was greeted that only a link has named: is the contact there?"""
        found = known(row)
        if found is None or row.origin is None or found.lists(row.origin):
            return row
        with suppress(Unreachable):  # then where the record says; not there either: both again
            (row,), _ = await self.greeted([row], Endpoint(origin=row.origin))
        return row

    async def greeted(self, rows: Sequence[Peer], at: Endpoint) -> tuple[list[Peer], Endpoint]:
        """The same peers and place, when that node has said that this key lives there.

        Args:
            rows: what different owners know of one and the same key.
            at: where it is called.

        Raises:
            Unreachable: no node there says so.
        """
        new = [row for row in rows if row.record is None or at.origin not in row.greeted]
        if not new:
            return list(rows), at
        signed, now = await self._calls.owner(at, rows[0].did), self._core.now()

        def work(tx: Tables) -> list[Peer]:
            # Who was removed meanwhile is not stored again: the round ends with what it had.
            return [
                meet.learn(tx, row.owner, row.did, signed.block, now, greeted=at.origin)
                or row.but(record=signed.block)
                for row in rows
            ]

        after = await self._core.db.transact(work)
        newest = signed.claim  # of what is told here and what is known: an old pin may be stolen
        for found in map(known, after):
            newest = found if found is not None and found.beats(newest) else newest
        if not newest.lists(at.origin):
            raise Unreachable(f"a newer record does not name {at.origin}", reason="wrong-record")
        return after, newest.endpoint(at.origin)
