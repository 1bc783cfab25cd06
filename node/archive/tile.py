"""Tiles: which files a log of n entries consists of, and what they are called.

A tile of level L holds up to 256 hashes, each of a complete subtree of 256**L entries; an
entry bundle holds up to 256 entries. The last of each row may be partial, and is then named
with its width. What is full never changes.

A worked number: a log of 70,000 entries has 273 full tiles of level 0 and one of width 112,
one full tile of level 1 and one of width 17 (273 = 256 + 17), one tile of level 2 of width 1.

Decides: arithmetic and names. Leaves hashes to `tree`.
Source: https://c2sp.org/tlog-tiles.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from node.errors import Malformed

HEIGHT = 8
"""Levels of the tree in one tile."""
WIDTH = 1 << HEIGHT
"""Hashes of a full tile, entries of a full bundle."""
LEVELS = 6
"""Rows of hash tiles a log can have: enough for 2**48 entries; an integer of ours has 53 bits."""
BIGGEST = 1 << (HEIGHT * LEVELS)
"""No log of this size is believed: 2**48 entries."""

_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/"
    r"(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One file of a log.

    Attributes:
        level: 0 and up for hashes; None for an entry bundle.
        index: its place in the row, from 0.
        width: how many it holds, 1 to 256.
    """

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def partial(self) -> bool:
        """Whether there is room for more."""
        return self.width < WIDTH


def path(tile: Tile) -> str:
    """Its name: `tile/0/x001/x234/067`, `tile/entries/000.p/5`."""
    level = "entries" if tile.level is None else str(tile.level)
    name = f"tile/{level}/{_grouped(tile.index)}"
    return f"{name}.p/{tile.width}" if tile.partial else name


def parse(text: str) -> Tile:
    """The tile of that name.

    Raises:
        Malformed: no such name in its one spelling.
    """
    found = _PATH.fullmatch(text)
    if found is None:
        raise Malformed("not the name of a tile")
    level = None if found["level"] == "entries" else int(found["level"])
    index = int(found["index"].replace("x", "").replace("/", ""))
    width = WIDTH if found["width"] is None else int(found["width"])
    if _grouped(index) != found["index"] or (found["width"] is not None and width >= WIDTH):
        raise Malformed("not the name of a tile")
    return Tile(level, index, width)


def rows(size: int) -> list[int]:
    """How many hashes each tile level has in a log of `size` entries, level 0 first."""
    found = []
    while size:
        found.append(size)
        size >>= HEIGHT
    return found


def row(level: int | None, first: int, end: int) -> Iterator[Tile]:
    """The tiles of a row that holds `end` things, from the one with thing `first` on."""
    for index in range(first // WIDTH, -(-end // WIDTH)):
        yield Tile(level, index, min(WIDTH, end - index * WIDTH))


def grown(old: int, new: int) -> Iterator[Tile]:
    """The hash tiles that a log gets when it grows from `old` to `new` entries."""
    before = rows(old)
    for level, end in enumerate(rows(new)):
        first = before[level] if level < len(before) else 0
        if first < end:
            yield from row(level, first, end)


def has(tile: Tile, size: int) -> bool:
    """Whether a log of `size` entries can give this tile: full ones, and any width it once had."""
    level = 0 if tile.level is None else tile.level
    return tile.index * WIDTH + tile.width <= size >> (HEIGHT * level)


def _grouped(index: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups))
