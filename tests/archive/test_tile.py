"""Tiles: the numbers of the specification, and names with one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.archive import tile
from node.archive.tile import WIDTH, Tile
from node.errors import Malformed

sizes = st.integers(0, 2**34)


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 5, 112), "tile/0/005.p/112"),
        (Tile(1, 999), "tile/1/999"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(None, 1234067, 1), "tile/entries/x001/x234/067.p/1"),
    ],
)
def test_names(made: Tile, path: str) -> None:
    assert tile.path(made) == path
    assert tile.parse(path) == made


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/x000/001",
        "tile/0/x1/001",
        "tile/0/001/000",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/data/000",
        "tile/0/" + "x001/" * 200 + "000",
    ],
)
def test_no_names(path: str) -> None:
    with pytest.raises(Malformed):
        tile.parse(path)


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**18 - 1), st.integers(1, WIDTH))
def test_every_name_has_one_spelling(level: int | None, index: int, width: int) -> None:
    made = Tile(level, index, width)
    assert tile.parse(tile.path(made)) == made


def test_the_worked_number() -> None:
    tiles = list(tile.grown(0, 70_000))
    rows = {level: [t for t in tiles if t.level == level] for level in (0, 1, 2)}
    assert (len(rows[0]), rows[0][-1].width) == (274, 112)
    assert [t.width for t in rows[1]] == [256, 17]
    assert [t.width for t in rows[2]] == [1]
    assert sum(len(row) for row in rows.values()) == len(tiles)


@given(sizes, st.integers(0, 3_000))
def test_growing_touches_what_is_new_only(old: int, more: int) -> None:
    new = old + more
    grown = list(tile.grown(old, new))
    assert bool(grown) is (more > 0)
    for each in grown:
        assert tile.has(each, new)
        # What an older log had in full is not written again.
        assert not tile.has(Tile(each.level, each.index), old)
        assert not tile.has(each, old)
    assert len(grown) <= more // WIDTH + 3 * tile.LEVELS


@given(sizes, sizes)
def test_a_log_has_what_it_had(old: int, new: int) -> None:
    old, new = sorted((old, new))
    for level, end in enumerate(tile.rows(old)):
        edge = Tile(level, (end - 1) // WIDTH, (end - 1) % WIDTH + 1)
        assert tile.has(edge, old)
        assert tile.has(edge, new)
