"""Growing a log: the tiles at its edge, whatever the steps it grew in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.archive import append, tile, tree
from node.archive.append import HASH, cut, grow, reader
from node.archive.entry import bundle
from node.archive.tile import WIDTH, Tile
from node.archive.tree import Frontier
from node.errors import Malformed
from tests.archive import independent

Stored = dict[tuple[int | None, int], bytes]


def grown(steps: list[int]) -> tuple[Stored, list[Frontier], list[bytes]]:
    """A log that grew in these steps; its heads, and its entries."""
    stored: Stored = {}
    heads, entries = [Frontier()], list[bytes]()
    for step in steps:
        fresh = [b"entry %d" % n for n in range(len(entries), len(entries) + step)]
        made = grow(heads[-1], fresh, lambda level, index: stored.get((level, index), b""))
        stored.update({(level, index): data for level, index, data in made.tiles})
        entries += fresh
        heads.append(made.frontier)
    return stored, heads, entries


@settings(deadline=None)
@given(st.lists(st.integers(0, 700), max_size=6))
def test_steps_make_no_difference(steps: list[int]) -> None:
    stored, heads, entries = grown(steps)
    at_once, once, _ = grown([sum(steps)])
    assert (stored, heads[-1]) == (at_once, once[-1])
    hashes = [independent.leaf(each) for each in entries]
    assert heads[-1].root == independent.mth(hashes)
    read = reader(lambda level, index: stored.get((level, index), b""))
    for head in heads:
        assert tree.root(head.size, read) == head.root
    for number in range(-(-len(entries) // WIDTH)):
        part = entries[number * WIDTH : number * WIDTH + WIDTH]
        assert stored[None, number] == bundle(part)


def test_only_the_edge_is_written() -> None:
    stored, heads, _ = grown([70_000])
    made = grow(heads[-1], [b"one more"], lambda level, index: stored[level, index])
    assert [(level, index) for level, index, _ in made.tiles] == [(None, 273), (0, 273)]
    # The row of level 1 grows where a tile of level 0 becomes full.
    made = grow(heads[-1], [b"x"] * 144, lambda level, index: stored[level, index])
    assert [at[:2] for at in made.tiles] == [(None, 273), (0, 273), (1, 1)]


@pytest.mark.parametrize("width", [1, 2, 100, 255, 256])
def test_any_width_that_was_served_is_served_again(width: int) -> None:
    stored, _, entries = grown([300])
    assert cut(Tile(None, 0, width), stored[None, 0]) == bundle(entries[:width])
    hashes = b"".join(tree.leaf(each) for each in entries[:width])
    assert cut(Tile(0, 0, width), stored[0, 0]) == hashes


def test_what_is_too_short() -> None:
    stored, _, _ = grown([3])
    for wanted, data in (
        (Tile(0, 0, 4), stored[0, 0]),
        (Tile(None, 0, 4), stored[None, 0]),
        (Tile(0, 0, 1), b""),
        (Tile(None, 0, 1), b"\0"),
    ):
        with pytest.raises(Malformed):
            cut(wanted, data)
    with pytest.raises(Malformed):
        reader(lambda _level, _index: bytes(HASH))(0, 1)


def test_the_tiles_are_those_of_the_page() -> None:
    """The worked number of `tile`: every tile it names is stored, and no other."""
    stored, heads, _ = grown([70_000])
    wanted: set[tuple[int | None, int]] = {
        (None, t.index) for t in tile.row(None, 0, heads[-1].size)
    }
    wanted |= {(t.level, t.index) for t in tile.grown(0, heads[-1].size)}
    assert stored.keys() == wanted
    assert append.HASH == 32
