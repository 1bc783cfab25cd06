"""The tree of RFC 6962 against published proofs, a recursive oracle, and pymerkle."""

import base64
import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import batch
from node.errors import Malformed, Unverified

items_of_any_size = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def definition(items: list[bytes]) -> bytes:
    """MTH as RFC 6962 §2.1 writes it."""
    if not items:
        return sha256().digest()
    if len(items) == 1:
        return sha256(b"\0" + items[0]).digest()
    split = 1 << (len(items) - 1).bit_length() - 1
    return sha256(b"\1" + definition(items[:split]) + definition(items[split:])).digest()


def definition_path(index: int, items: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 §2.1.1 writes it."""
    if len(items) == 1:
        return []
    split = 1 << (len(items) - 1).bit_length() - 1
    if index < split:
        return [*definition_path(index, items[:split]), definition(items[split:])]
    return [*definition_path(index - split, items[split:]), definition(items[:split])]


# From the certificate-transparency reference implementation: its eight leaves and their roots.
LEAVES = [bytes.fromhex(leaf) for leaf in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_known_roots(size: int, root: str) -> None:
    assert batch.root(LEAVES[:size]).hex() == root


@given(items_of_any_size)
def test_definition(items: list[bytes]) -> None:
    root = batch.root(items)
    assert root == definition(items)
    paths = batch.paths(items)
    for index, item in enumerate(items):
        path = batch.path(items, index)
        assert path == paths[index] == definition_path(index, items)
        assert batch.root_from_path(batch.leaf(item), index, len(items), path) == root


def test_pymerkle_agrees() -> None:
    pymerkle = pytest.importorskip("pymerkle")
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    root_of = getattr(tree, "get_root", None) or tree.get_state  # renamed in 7.0
    items = [bytes([number]) * number for number in range(70)]
    for size, item in enumerate(items, 1):
        tree.append_entry(item)
        assert root_of() == batch.root(items[:size])


def test_largest_batch() -> None:
    items = [number.to_bytes(2, "big") for number in range(256)]
    paths = batch.paths(items)
    assert {len(path) for path in paths} == {8}
    root = batch.root(items)
    for index in (0, 1, 127, 128, 255):
        assert batch.root_from_path(batch.leaf(items[index]), index, 256, paths[index]) == root


def test_paths_of_none_and_one() -> None:
    assert batch.paths([]) == []
    assert batch.paths([b"x"]) == [[]]
    for index in (-1, 1):
        with pytest.raises(Malformed):
            batch.path([b"x"], index)


def proves(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    try:
        return batch.root_from_path(leaf, index, size, path) == root
    except Unverified:
        return False


def test_published_inclusion_proofs(corpus: Path) -> None:
    files = sorted((corpus / "vectors/merkle-rfc6962/inclusion").glob("**/*.json"))
    assert len(files) == 98
    good = 0
    for file in files:
        case = json.loads(file.read_text())
        path = [base64.b64decode(node) for node in case["proof"] or ()]
        leaf, root = base64.b64decode(case["leafHash"]), base64.b64decode(case["root"] or "")
        proved = proves(leaf, case["leafIdx"], case["treeSize"], path, root)
        assert proved == (not case["wantErr"]), file.name
        good += proved
    assert good


@given(st.data(), st.integers(1, 40))
def test_the_length_of_a_path_is_fixed(data: st.DataObject, size: int) -> None:
    items = [bytes([number]) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path, leaf = batch.path(items, index), batch.leaf(items[index])
    for wrong in (path[:-1] if path else None, [*path, bytes(32)], [bytes(32), *path]):
        if wrong is not None:
            with pytest.raises(Unverified):
                batch.root_from_path(leaf, index, size, wrong)
    for place, node in enumerate(path):
        changed = [*path[:place], bytes(32), *path[place + 1 :]]
        assert batch.root_from_path(leaf, index, size, changed) != batch.root(items)
        with pytest.raises(Unverified):
            batch.root_from_path(leaf, index, size, [*path[:place], node[:31], *path[place + 1 :]])


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0), (5, 3), (0, -1), (2**64, 8)])
def test_places_outside_the_batch(index: int, size: int) -> None:
    with pytest.raises(Unverified):
        batch.root_from_path(bytes(32), index, size, [])


def test_signing_input() -> None:
    root = bytes(range(32))
    expected = b"willcall/v1/notifications\0" + b"\0\0\0\0\0\0\1\0" + root
    assert batch.signing_input(256, root) == expected
