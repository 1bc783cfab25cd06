"""Serving: blocks to whoever holds a ticket, records to whoever asks.

    a ticket of an addressee that may still fetch → the block
    a ticket whose delivery is over; or no ticket, and all deliveries are over → 410
    a wrong ticket, none, or a CID never seen → 404: no difference to be seen
    no ticket, and a message of an archive that is published here → the block; a private archive's
    to its readers

Spec: 06 §serving, 07.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node import limits
from node.encoding import car, cid
from node.encoding.cid import Cid
from node.errors import Absent, Gone, StoreFailed
from node.machines import outbox
from node.machines.rows import Block, Delivery, Sent
from node.objects import answer
from node.ports import Tables
from node.services import ledger, library
from node.services.core import Core
from node.units import ByteCount, Instant, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A block that may be served to this ticket; without one, of an archive for everybody."""

    block: Block
    data: bytes | None
    told: tuple[Delivery, Sent] | None = None


class Serving:
    """Serves the blocks of mail."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def block(self, name: Cid, ticket: bytes | None, *, wrong: bool, count: bool) -> bytes:
        """One block.

        Args:
            name: which.
            ticket: of the addressee that asks.
            wrong: an authorization was shown that is no ticket of ours.
            count: whether it counts towards `fetched` (HEAD does not).

        Raises:
            Gone: its delivery is over.
            Absent: no such block for this ticket.
        """
        found = self._core.db.read(lambda tx: _find(tx, name, ticket, wrong=wrong))
        data = await self._bytes(found)
        if count:
            self._note([found])
        return data

    async def size(self, name: Cid, ticket: bytes | None, *, wrong: bool) -> int:
        """How many bytes `block` would give; raises the same."""
        return self._core.db.read(lambda tx: _find(tx, name, ticket, wrong=wrong)).block.size

    async def car(self, body: bytes, most: ByteCount = limits.CAR, who: Key | None = None) -> bytes:
        """Many blocks, as a CARv1 of at most `most` bytes or one block, in the order asked for.

        Args:
            body: which, and with which tickets.
            most: how large the answer may be.
            who: who asks, for messages of private archives.

        Raises:
            Malformed: the request.
            Absent: none of them can be served.
        """
        wanted = answer.decode_wanted(body)
        found = self._core.db.read(lambda tx: list(_find_all(tx, wanted, who)))
        blocks: list[tuple[bytes, bytes]] = []
        served: list[_Found] = []
        room: int = most - car.HEADER
        for each in found:
            size = each.block.size + car.FRAME + car.ROOT
            if size > room and blocks:
                continue
            try:
                blocks.append((each.block.cid, await self._bytes(each)))
            except StoreFailed:
                continue
            served.append(each)
            room -= size
        if not blocks:
            raise Absent("there are no such blocks")
        self._note(served)
        return car.write(blocks)

    async def _bytes(self, found: _Found) -> bytes:
        if found.data is not None:
            return found.data
        try:
            return await self._core.files.read(found.block.cid)
        except Absent as error:
            # Freed between look-up and read, or lost: the next look-up tells.
            raise StoreFailed("a block could not be read", reason="damaged") from error

    def _note(self, served: Sequence[_Found]) -> None:
        """Which blocks an addressee's ticket was used for; losing it in a crash is harmless."""
        now = self._core.now()
        noted = [(each.block, each.told) for each in served if each.told is not None]
        if not noted:
            return

        def work(tx: Tables) -> None:
            for block, (delivery, sent) in noted:
                row = tx.deliveries.get(delivery.owner, delivery.message, delivery.to)
                if row is not None:
                    after = _fetched(row, block.cid, sent, now)
                    ledger.change(tx, row, after, now, keep_sent=self._core.config.keep_sent)

        self._core.db.apply(work)


def _fetched(row: Delivery, name: Cid, sent: Sent, now: Instant) -> Delivery:
    parts = sent.parts
    which = len(parts) if name == sent.message else parts.index(name)
    return outbox.on_fetched(row, [which], len(parts) + 1, now)


def _find_all(tx: Tables, wanted: Sequence[answer.Wanted], who: Key | None) -> list[_Found]:
    found: list[_Found] = []
    near: bytes | None = None
    for each in wanted:
        for name in each.cids:
            try:
                if each.ticket is None and (near := library.shelf(tx, name, near, who)) is not None:
                    found.append(_open(tx, name))
                else:
                    found.append(_find(tx, name, each.ticket, wrong=False, who=who))
            except (Absent, StoreFailed):
                continue  # asked again singly, which tells
    return found


def _find(
    tx: Tables, name: Cid, ticket: bytes | None, *, wrong: bool, who: Key | None = None
) -> _Found:
    block = tx.blocks.get(name)
    if block is None or block.author is None or block.message is None or wrong:
        raise _absent(name)
    if ticket is None:
        if library.serves(tx, name, who):
            return _open(tx, name)
        if _all_over(tx, block):
            raise Gone(f"nobody may fetch {cid.show(name)} any more")
        raise _absent(name)
    row = tx.deliveries.called("ticket", ticket)
    if row is None or (row.owner, row.message) != (block.author, block.message):
        raise _absent(name)
    return _served(tx, block, row)


def _open(tx: Tables, name: Cid) -> _Found:
    """A block of an archive that is served to everybody."""
    block = tx.blocks.get(name)
    assert block is not None, "it was found on a shelf"
    return _Found(block=block, data=tx.blocks.data(block))


def _served(tx: Tables, block: Block, row: Delivery) -> _Found:
    sent = tx.sent.get(row.owner, row.message)
    if not outbox.is_open(row) or not block.refs or sent is None:
        raise Gone(f"the delivery of {cid.show(block.cid)} is over")
    return _Found(block=block, data=tx.blocks.data(block), told=(row, sent))


def _all_over(tx: Tables, block: Block) -> bool:
    assert block.author is not None
    assert block.message is not None
    sent = tx.sent.get(block.author, block.message)
    return sent is not None and sent.open == 0


def _absent(name: Cid) -> Absent:
    return Absent(f"there is no block {cid.show(name)} for you")
