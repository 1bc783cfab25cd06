"""One signature for many notifications: a Merkle tree whose root is signed.

The tree of RFC 6962 §2.1 with SHA-256. Its leaves are the exact bytes of the items, so that
a single notification can later stand alone as evidence with its path and the batch's signature.

Decides: hashes and paths. Leaves the signature to `keys` and limits to `objects`.
Spec: design §3; RFC 9162 §2.1.
"""

from collections.abc import Sequence
from hashlib import sha256

from node.errors import Malformed, Unverified


def leaf(item: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 + item). The prefix keeps a node from passing as a leaf."""
    return sha256(b"\0" + item).digest()


def root(items: Sequence[bytes]) -> bytes:
    """Root hash of the tree over these items; of none: SHA-256 of nothing."""
    if not items:
        return sha256().digest()
    return _levels(items)[-1][0]


def path(items: Sequence[bytes], index: int) -> list[bytes]:
    """Inclusion path of one item, from the leaf upwards (RFC 9162 §2.1.3.1).

    Raises:
        Malformed: there is no item `index`, counted from 0.
    """
    if not 0 <= index < len(items):
        raise Malformed(f"a batch of {len(items)} has no item {index}")
    return _siblings(_levels(items), index)


def paths(items: Sequence[bytes]) -> list[list[bytes]]:
    """Inclusion paths of all items, in their order; every node is hashed once."""
    levels = _levels(items)
    return [_siblings(levels, index) for index in range(len(items))]


def root_from_path(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion path leads to (RFC 9162 §2.1.3.2).

    Args:
        leaf_hash: `leaf` of the item.
        index: the item's place, from 0.
        size: items in the batch.
        path: hashes of 32 bytes, from the leaf upwards.

    Raises:
        Unverified: index, size and length of the path don't fit each other.
    """
    if not 0 <= index < size or any(len(node) != 32 for node in (leaf_hash, *path)):
        raise Unverified("the proof is not one for a batch of this size")
    found, place, last = leaf_hash, index, size - 1
    for node in path:
        if not last:
            raise Unverified("the proof is too long for its batch")
        if place & 1 or place == last:
            found = _inner(node, found)
            # A last node without a sibling goes up unchanged until it is a right child.
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = _inner(found, node)
        place, last = place >> 1, last >> 1
    if last:
        raise Unverified("the proof is too short for its batch")
    return found


def signing_input(size: int, root: bytes) -> bytes:
    """What the signature of a batch covers.

    Args:
        size: items in the batch, 1 to 256.
        root: its root hash, 32 bytes.
    """
    return b"willcall/v1/notifications\0" + size.to_bytes(8, "big") + root


def _inner(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _levels(items: Sequence[bytes]) -> list[list[bytes]]:
    """All hashes, leaves first. An odd last one is carried up: that is RFC 6962's split."""
    levels = [[leaf(item) for item in items]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [_inner(left, right) for left, right in zip(below[::2], below[1::2], strict=False)]
        levels.append(above + below[-1:] if len(below) & 1 else above)
    return levels


def _siblings(levels: list[list[bytes]], index: int) -> list[bytes]:
    found = []
    for level in levels:
        if index ^ 1 < len(level):
            found.append(level[index ^ 1])
        index >>= 1
    return found
