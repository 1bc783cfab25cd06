"""Growing a log: which tiles change, and what is in them then.

Only the edge is read and written: the last, partial tile of each row, and new ones behind it.
What is full never changes. All of it enters the store together with the new head, so that a
crash leaves the log as it was, or as it is now.

Decides: bytes. Leaves the tree to `tree`, storing and signing to the services.
Source: https://c2sp.org/tlog-tiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.archive import tree
from node.archive.entry import bundle
from node.archive.tile import WIDTH, Tile
from node.archive.tree import Frontier
from node.errors import Malformed

HASH = 32
"""Bytes of a hash."""

ReadTile = Callable[[int | None, int], bytes]
"""`read(level, index)`: what is stored of a tile; b"" where there is none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A log with more entries.

    Attributes:
        frontier: its right edge now.
        tiles: what is to be written: level (None: entries), index, all its bytes.
    """

    frontier: Frontier
    tiles: list[tuple[int | None, int, bytes]]


def grow(frontier: Frontier, entries: Sequence[bytes], read: ReadTile) -> Grown:
    """The log with these entries behind it.

    Args:
        frontier: the log so far.
        entries: canonical bytes of the new ones, in order.
        read: gives the tiles at the edge.
    """
    after, made = tree.append(frontier, [tree.leaf(each) for each in entries])
    parts: dict[tuple[int | None, int], list[bytes]] = {}
    for number, each in enumerate(entries, frontier.size):
        parts.setdefault((None, number // WIDTH), []).append(bundle([each]))
    for one in made:
        parts.setdefault((one.level, one.index // WIDTH), []).append(one.hash)
    tiles = [
        (level, index, read(level, index) + b"".join(added))
        for (level, index), added in parts.items()
    ]
    return Grown(frontier=after, tiles=tiles)


def cut(tile: Tile, stored: bytes) -> bytes:
    """The tile as it was when it had its width: the beginning of what is stored of it.

    Raises:
        Malformed: less than that is stored.
    """
    if tile.level is not None:
        if len(stored) < tile.width * HASH:
            raise Malformed("a tile of a log is shorter than it has to be")
        return stored[: tile.width * HASH]
    at = 0
    for _ in range(tile.width):
        if at + 2 > len(stored):
            raise Malformed("a bundle of a log is shorter than it has to be")
        at += 2 + int.from_bytes(stored[at : at + 2], "big")
    return stored[:at]


def reader(read: ReadTile) -> tree.Read:
    """The hashes of a log, out of its tiles.

    Raises:
        Malformed: (when called) the tile has no such hash.
    """

    def hash_at(level: int, index: int) -> bytes:
        at = index % WIDTH * HASH
        found = read(level, index // WIDTH)[at : at + HASH]
        if len(found) != HASH:
            raise Malformed("a log lacks a hash that it has to have")
        return found

    return hash_at
