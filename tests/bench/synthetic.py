"""Logs of any size without their messages: what a poll costs, however long an archive is.

The entries are put into the stores of a publisher and of its follower, as both would have them; the
nodes are off meanwhile.
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import trio

from node import homes
from node.archive import entry
from node.archive.entry import Entry
from node.archive.tree import Frontier
from node.encoding.cid import OBJECT_PREFIX, Cid
from node.machines.rows import Archive, Log
from node.ports import Tables
from node.services.publish import append_to, grow_tiles
from node.units import Instant

STEP = 4096
"""Entries of one transaction."""


def grow(publisher: Path, follower: Path, size: int) -> None:
    """Both homes have one archive of `size` entries afterwards."""
    trio.run(_grow, publisher, follower, size)


async def _grow(publisher: Path, follower: Path, size: int) -> None:
    async with AsyncExitStack() as stack:
        theirs, _ = await stack.enter_async_context(homes.opened(homes.Home(publisher)))
        ours, _ = await stack.enter_async_context(homes.opened(homes.Home(follower)))
        for found in _entries(theirs.read(lambda tx: _of(tx)[1].size), size):
            said = [(each, bytes(24)) for each in found]
            log = await theirs.transact(lambda tx, said=said: append_to(tx, *_of(tx), said))  # type: ignore[misc]
            blocks = [entry.encode(each) for each in found]
            await ours.transact(lambda tx, log=log, blocks=blocks: _follow(tx, log, blocks))  # type: ignore[misc]


def _of(tx: Tables) -> tuple[Archive, Log]:
    row = next(iter(tx.archives.scan()))
    log = tx.logs.get(row.id, row.epoch)
    assert log is not None
    return row, log


def _follow(tx: Tables, theirs: Log, blocks: list[bytes]) -> None:
    _, log = _of(tx)
    edge = grow_tiles(tx, log, Frontier(log.size, log.peaks), blocks)
    assert edge.size == theirs.size
    tx.logs.put(log.but(size=edge.size, peaks=edge.peaks, note=theirs.note, applied=edge.size))


def _entries(start: int, stop: int) -> Iterator[list[Entry]]:
    for first in range(start, stop, STEP):
        numbers = range(first, min(stop, first + STEP))
        yield [
            Entry(
                message=Cid(OBJECT_PREFIX + sha256(b"%d" % number).digest()),
                size=number % 30_000,
                date=Instant(1_600_000_000_000 + number * 1000),
            )
            for number in numbers
        ]
