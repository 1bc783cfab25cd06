"""Trees: published vectors, an independent library, and every small log."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from node.archive import tree
from node.archive.tile import WIDTH
from node.crypto import batch
from node.errors import Malformed, Unverified


def leaves(count: int) -> list[bytes]:
    return [tree.leaf(str(index).encode()) for index in range(count)]


class Tiles:
    """All hashes that the tiles of a log hold, as they were made."""

    def __init__(self, count: int) -> None:
        self.frontier, made = tree.append(tree.Frontier(), leaves(count))
        self.hashes = {(each.level, each.index): each.hash for each in made}
        assert len(self.hashes) == len(made), "nothing is made twice"

    def __call__(self, level: int, index: int) -> bytes:
        return self.hashes[level, index]


def oracle(count: int) -> Any:
    made = InmemoryTree(algorithm="sha256")
    for index in range(count):
        made.append_entry(str(index).encode())
    return made


@pytest.mark.parametrize("count", [*range(40), 255, 256, 257, 511, 512, 513, 1000])
def test_roots_are_the_other_library_s(count: int) -> None:
    tiles = Tiles(count)
    expected = oracle(count).get_root() if count else tree.EMPTY
    assert tiles.frontier.root == expected
    assert tree.root(count, tiles) == expected
    assert tree.frontier(count, tiles) == tiles.frontier


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 300])
def test_every_entry_is_included(count: int) -> None:
    tiles, hashes = Tiles(count), leaves(count)
    for index in range(count):
        path = tree.inclusion(index, count, tiles)
        tree.check_inclusion(hashes[index], index, count, tiles.frontier.root, path)
        if count <= 256:
            items = [str(each).encode() for each in range(count)]
            assert path == batch.path(items, index)
        wrong = (index + 1) % count
        if wrong != index:
            with pytest.raises(Unverified):
                tree.check_inclusion(hashes[wrong], index, count, tiles.frontier.root, path)


@pytest.mark.parametrize("new", [*range(1, 34), 256, 300])
def test_every_older_log_is_proved(new: int) -> None:
    tiles = Tiles(new)
    roots = [tree.root(size, tiles) for size in range(new + 1)]
    other = tree.leaf(b"another")
    for old in range(new + 1):
        proof = tree.consistency(old, new, tiles)
        tree.check_consistency(old, new, roots[old], roots[new], proof)
        if 0 < old < new:
            for before, after in ((other, roots[new]), (roots[old], other)):
                with pytest.raises(Unverified):
                    tree.check_consistency(old, new, before, after, proof)
            for bad in (proof[:-1], [*proof, other], [other, *proof[1:]]):
                with pytest.raises(Unverified):
                    tree.check_consistency(old, new, roots[old], roots[new], bad)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_appending_in_pieces_gives_the_same(pieces: list[int]) -> None:
    count = sum(pieces)
    hashes = leaves(count)
    edge, made, at = tree.Frontier(), list[tree.Made](), 0
    for piece in pieces:
        edge, more = tree.append(edge, hashes[at : at + piece])
        made, at = made + more, at + piece
    assert (edge, made) == tree.append(tree.Frontier(), hashes)


def test_hashes_are_those_of_complete_tiles() -> None:
    tiles = Tiles(WIDTH * 2 + 3)
    assert {level for level, _ in tiles.hashes} == {0, 1}
    assert tiles(1, 1) == batch.root([str(i).encode() for i in range(WIDTH, 2 * WIDTH)])


def test_there_is_no_such_entry_or_log() -> None:
    with pytest.raises(Malformed):
        tree.inclusion(5, 5, Tiles(5))
    with pytest.raises(Malformed):
        tree.consistency(6, 5, Tiles(5))
    with pytest.raises(Malformed):
        tree.Frontier(3, (b"x",))


def test_nothing_is_the_beginning_of_everything() -> None:
    tree.check_consistency(0, 5, tree.EMPTY, b"r" * 32, [])
    tree.check_consistency(0, 0, tree.EMPTY, tree.EMPTY, [])
    for old, new, before, after in (
        (0, 5, b"x" * 32, b"r" * 32),
        (5, 5, b"x" * 32, b"r" * 32),
        (0, 0, tree.EMPTY, b"r" * 32),
        (6, 5, b"x" * 32, b"r" * 32),
    ):
        with pytest.raises(Unverified):
            tree.check_consistency(old, new, before, after, [])


# --- published vectors (transparency-dev/merkle) ----------------------------------------


def vectors(corpus: Path, kind: str) -> Iterator[dict[str, Any]]:
    for file in sorted((corpus / "vectors" / "merkle-rfc6962" / kind).rglob("*.json")):
        yield json.loads(file.read_text(encoding="utf-8"))


def holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except Unverified:
        return False
    return True


@pytest.mark.corpus
def test_published_inclusion(corpus: Path) -> None:
    count = 0
    for case in vectors(corpus, "inclusion"):
        proof = [b64decode(each) for each in case["proof"] or []]
        leaf, root = b64decode(case["leafHash"]), b64decode(case["root"])
        found = holds(
            partial(tree.check_inclusion, leaf, case["leafIdx"], case["treeSize"], root, proof)
        )
        assert found is not case["wantErr"], case["desc"]
        count += 1
    assert count > 90


@pytest.mark.corpus
def test_published_consistency(corpus: Path) -> None:
    count = 0
    for case in vectors(corpus, "consistency"):
        proof = [b64decode(each) for each in case["proof"] or []]
        roots = b64decode(case["root1"]), b64decode(case["root2"])
        sizes = case["size1"], case["size2"]
        found = holds(partial(tree.check_consistency, *sizes, *roots, proof))
        assert found is not case["wantErr"], case["desc"]
        count += 1
    assert count > 90
